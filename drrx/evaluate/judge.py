"""The realism test on our images: DRRs before and after restoration against films of patients never seen."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.evaluate.drrs import restore_drr
from drrx.evaluate.lung_field import find_lung_field
from drrx.evaluate.methods import Restoration, open_window
from drrx.evaluate.pool import map_rows
from drrx.evaluate.realism import Subject, code_as_film, cut_subject, measure_realism
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.domain import DrrRow
from drrx.pairs.films import FilmRow, load_film

Image = NDArray[np.float32]
RAW = "DRR"


def judge_realism(
    films: Sequence[FilmRow], test: Sequence[FilmRow], drrs: Sequence[DrrRow], methods: Sequence[Restoration],
    settings: EvaluateRestorerSettings, folder: Path, progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return ``measure_realism`` of the DRRs as they are and after every method.

    The classifier learns from training films and from DRRs of cases that are not ``held_out``; it is judged on test
    films and on held-out cases. Both kinds are windowed from percentile 0.5 to 99.5, and outputs go through a JPEG
    like the films'.
    """
    if not drrs:
        raise DrrxError(
            where="the realism part", found="no DRRs", needed="--drrs with DRRs of at least two CTs",
            hint="Give the results folder of a run, and its CTs kept out of training as --held-out.",
        )  # fmt: skip
    train = [row for row in films if row.split == "train"][:: max(1, len(films) // settings.realism_films)]
    cut = partial(_cut_film, held_out=frozenset(row.patient for row in test))
    real = list(map_rows(cut, [*train[: settings.realism_films], *test], settings.jobs, settings.threads))
    progress(f"realism: {len(real)} films cut")
    look = partial(_cut_drr, methods=tuple(methods), settings=settings, folder=folder)
    others = list(map_rows(look, drrs, settings.jobs, settings.threads))
    progress(f"realism: {len(others)} DRRs restored")
    outputs = {}
    for name in (RAW, *(method.name for method in methods)):
        fake = [subjects[name] for subjects in others]
        outputs[name] = measure_realism(real, fake, seed=settings.seed, steps=settings.realism_steps)
        progress(f"realism: {name} judged")
    return {"outputs": outputs, "films": len(real), "drrs": len(others)}


def _cut_film(row: FilmRow, held_out: frozenset[str]) -> Subject:
    return cut_subject(load_film(row), row.patient, row.patient in held_out)


def _cut_drr(
    row: DrrRow, methods: Sequence[Restoration], settings: EvaluateRestorerSettings, folder: Path
) -> dict[str, Subject]:
    images: dict[str, Image] = {}
    for method in methods:
        images[RAW], images[method.name] = restore_drr(row, method, settings.seed, folder)
    lungs, held_out = find_lung_field(images[RAW]), row.case in settings.held_out
    return {
        name: cut_subject(code_as_film(open_window(image)), row.case, held_out, lungs)
        for name, image in images.items()
    }  # fmt: skip
