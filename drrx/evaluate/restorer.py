"""PSNR and SSIM of the restorer on degraded films of unseen patients, beside simple methods."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.exposure import equalize_adapthist

from drrx.errors import DrrxError
from drrx.evaluate.nodules import measure_nodules
from drrx.evaluate.scores import bootstrap_mean, score_image
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.degrade import KINDS, degrade, draw_degradation
from drrx.pairs.films import FilmRow, load_film, stack_film
from drrx.pairs.window import measure_window
from drrx.restorer.model import Restorer
from drrx.restorer.restore import restore_cxr
from drrx.restorer.settings import RestoreCxrSettings
from drrx.seeds import make_rng, make_seed

LOG = logging.getLogger(__name__)
MODES = ("mean", "sample", "blend")
METHODS = ("input", "window", "unsharp+CLAHE", *MODES)
MEASURES = ("psnr_db", "ssim", "detail_db")
Image = NDArray[np.float32]


def evaluate_restorer(
    rows: Sequence[FilmRow], split: str, restorer: Restorer, settings: EvaluateRestorerSettings,
    progress: Callable[[str], None] = LOG.info,
) -> dict[str, Any]:  # fmt: skip
    """Return scores per degradation kind and method, with 95 % intervals over patients.

    The reference is the film windowed to 0..1 on the 0.42 mm grid. The input is its degraded copy; the restorer gets
    the input alone. Methods: ``input`` as it is, ``window`` (percentile stretch, what the restorer begins with),
    ``unsharp+CLAHE`` after the window, and the three modes.
    """
    chosen = [row for row in rows if row.split == split]
    chosen = chosen[: settings.max_films] if settings.max_films else chosen
    if not chosen:
        raise DrrxError(
            where="the table of radiographs", found=f"no film in split {split}", needed="at least one",
            hint="Take another --split: train, val or test.",
        )  # fmt: skip
    scores: dict[str, dict[str, list[Any]]] = {kind: {method: [] for method in METHODS} for kind in KINDS}
    for number, row in enumerate(chosen):
        for kind, method, image, film in _images(row, restorer, settings):
            scores[kind][method].append(score_image(image, film, settings.border_px))
        progress(f"{number + 1} of {len(chosen)} films")
    patients = [row.patient for row in chosen]
    table = {
        kind: {method: _summary(found, patients, settings.resamples) for method, found in methods.items()}
        for kind, methods in scores.items()
    }
    how = RestoreCxrSettings(alpha=settings.alpha, steps=settings.steps, tone="full")
    return {
        "split": split, "films": len(chosen), "patients": len(set(patients)), "weights_sha256": restorer.sha256,
        "settings": dataclasses.asdict(settings), "scores": table,
        "nodules": measure_nodules(chosen, restorer, how, settings.seed),
    }  # fmt: skip


def _images(
    row: FilmRow, restorer: Restorer, settings: EvaluateRestorerSettings
) -> Iterator[tuple[str, str, Image, Image]]:
    film = load_film(row)
    stack = stack_film(film)
    for kind in KINDS:
        seed = make_seed(settings.seed, "evaluate", row.path.name, kind)
        worse = degrade(stack, draw_degradation(make_rng(seed), kind)).numpy()
        window = measure_window(worse)
        opened = np.clip(window.apply(worse), 0.0, 1.0)
        yield kind, "input", worse, film
        yield kind, "window", opened, film
        yield kind, "unsharp+CLAHE", sharpen_classically(opened), film
        for mode in MODES:
            how = RestoreCxrSettings(mode=mode, alpha=settings.alpha, steps=settings.steps, tone="full")  # type: ignore[arg-type]
            yield kind, mode, restore_cxr([worse], restorer, how, [seed])[0], film


def sharpen_classically(image: Image) -> Image:
    """Return the image after an unsharp mask (sigma 2 px, amount 1) and CLAHE (tiles of 1/8, clip limit 0.01)."""
    sharp = np.clip(image + (image - ndimage.gaussian_filter(image, 2.0)), 0.0, 1.0)
    return np.asarray(equalize_adapthist(sharp, clip_limit=0.01), dtype=np.float32)


def _summary(scores: Sequence[Any], patients: Sequence[str], resamples: int) -> dict[str, list[float]]:
    return {
        name: [round(v, 4) for v in bootstrap_mean([getattr(s, name) for s in scores], patients, resamples)]
        for name in MEASURES
    }


def to_markdown(report: dict[str, Any]) -> str:
    """Return the report's table: mean and 95 % interval."""
    lines = [
        f"{report['films']} films of {report['patients']} patients, split `{report['split']}`, weights "
        f"`{report['weights_sha256'][:12]}`.", "",
        "| degradation | method | PSNR dB | SSIM | detail power against the film, dB |",
        "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for kind, methods in report["scores"].items():
        for method, score in methods.items():
            cells = [f"{score[name][0]:.{digits}f} ({score[name][1]:.{digits}f} to {score[name][2]:.{digits}f})"
                     for name, digits in zip(MEASURES, (2, 3, 1), strict=True)]  # fmt: skip
            lines.append(f"| {kind} | {method} | {' | '.join(cells)} |")
    lines += ["", "Nodule twin test, physics, mode blend: median (5th to 95th percentile over films)."]
    lines += ["", "| measure | value |", "| --- | --- |"]
    lines += [f"| {name} | {v[1]:.3f} ({v[0]:.3f} to {v[2]:.3f}) |" for name, v in report["nodules"].items()]
    return "\n".join(lines) + "\n"
