"""The parts of an evaluation, one after another, into one report."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrx.degrader.model import Degrader
from drrx.errors import DrrxError
from drrx.evaluate.blobs import compare_blobs, find_blobs
from drrx.evaluate.cost import measure_cost
from drrx.evaluate.drr_nodules import measure_twins
from drrx.evaluate.drrs import restore_drr
from drrx.evaluate.grain import measure_grain
from drrx.evaluate.judge import judge_realism
from drrx.evaluate.ledger import Ledger
from drrx.evaluate.matrix import FilmJob, measure_matrix
from drrx.evaluate.methods import Restoration, System, find_main, make_methods, open_window
from drrx.evaluate.nodules import measure_nodules
from drrx.evaluate.pictures import write_montage
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.evaluate.steps import CurveJob, measure_steps
from drrx.evaluate.texture import TextureJob, measure_texture
from drrx.evaluate.twins import TwinRow
from drrx.io.files import read_json, write_text
from drrx.pairs.domain import DrrRow
from drrx.pairs.films import FilmRow, load_film
from drrx.restorer.settings import RestoreCxrSettings
from drrx.seeds import make_seed

REPORT, CACHE, PICTURES = "report.json", "cache", "before_after.png"
NUM_PICTURES = 2


@dataclass(frozen=True)
class Bench:
    """Everything an evaluation works with.

    Attributes
    ----------
    films
        All usable films: the realism test learns from training films.
    test, split
        Films to test on, of patients of one split.
    drrs
        DRRs to restore; may be none.
    twins
        Views with variants and twin, to see what becomes of nodules; may be none.
    systems
        Restorers by name.
    degraders
        How test films are made worse.
    settings, how
        What is measured; how images are restored (mode and tone are set by each part).
    folder
        Where report, figures and the cache are written.
    """

    films: tuple[FilmRow, ...]
    test: tuple[FilmRow, ...]
    split: str
    drrs: tuple[DrrRow, ...]
    twins: tuple[TwinRow, ...]
    systems: tuple[System, ...]
    degraders: tuple[Degrader, ...]
    settings: EvaluateRestorerSettings
    how: RestoreCxrSettings
    folder: Path
    progress: Callable[[str], None] = lambda _: None

    def use(self, mode: str) -> Restoration:
        """Return the main system in one mode, in the films' full range of tones."""
        return Restoration(find_main(self.systems), dataclasses.replace(self.how, mode=mode, tone="full"))  # type: ignore[arg-type]

    @property
    def cache(self) -> Path:
        """Return the folder of images and scores that are kept."""
        return self.folder / CACHE


def choose_films(rows: Sequence[FilmRow], split: str, max_films: int) -> tuple[FilmRow, ...]:
    """Return the films of a split, the first ``max_films`` of them (0 = all)."""
    chosen = tuple(row for row in rows if row.split == split)
    if not chosen:
        raise DrrxError(
            where="the table of radiographs", found=f"no film in split {split}", needed="at least one",
            hint="Take another --split: train, val or test.",
        )  # fmt: skip
    return chosen[:max_films] if max_films else chosen


def evaluate_restorer(bench: Bench) -> dict[str, Any]:
    """Measure the chosen parts; return the report with these and the parts measured before into the same folder."""
    path = bench.folder / REPORT
    report: dict[str, Any] = read_json(path) if path.is_file() else {}
    for name in bench.settings.parts:
        found = PARTS[name](bench)
        report[name] = found | {"settings": dataclasses.asdict(bench.settings), "split": bench.split}
        # In the order of measuring, unlike write_json: it is the order of the tables and figures.
        write_text(path, json.dumps(report, indent=1, allow_nan=False) + "\n")
    return report


def _measure_matrix(bench: Bench) -> dict[str, Any]:
    methods = make_methods(bench.systems, bench.settings, bench.how)
    job = FilmJob(methods, bench.degraders, bench.settings, bench.cache)
    patients = {row.patient for row in bench.test}
    return measure_matrix(bench.test, job, bench.progress) | {"films": len(bench.test), "patients": len(patients)}


def _measure_steps(bench: Bench) -> dict[str, Any]:
    job = CurveJob(find_main(bench.systems), _find_degrader(bench), bench.settings, bench.how, bench.cache)
    return measure_steps(bench.test[: bench.settings.curve_films], job, bench.progress)


def _find_degrader(bench: Bench) -> Degrader:
    named = {degrader.name: degrader for degrader in bench.degraders}
    name = bench.settings.curve_degradation
    if name not in named:
        raise DrrxError(
            where="--curve-degradation", found=f"{name}, which is not tested",
            needed=f"one of --degradations ({', '.join(named)})", hint="Name one of them, or add it there.",
        )  # fmt: skip
    return named[name]


def _measure_cost(bench: Bench) -> dict[str, Any]:
    return measure_cost(find_main(bench.systems), bench.settings, bench.how)


def _draw_pictures(bench: Bench) -> dict[str, Any]:
    """Write degraded, restored and true films, and DRRs before and after; one view of each CT."""
    rows, titles, restore = [], [], bench.use(bench.how.mode)
    for row in bench.test[:NUM_PICTURES]:
        ledger = Ledger(bench.cache, load_film(row))
        for degrader in bench.degraders:
            seed = make_seed(bench.settings.seed, "evaluate", row.path.name, degrader.name)
            worse = ledger.degrade(degrader, seed)
            rows.append([worse, open_window(worse), restore(worse, seed), ledger.film])
            titles.append([degrader.name, "window", restore.name, f"film {row.path.stem[:40]}"])
    for drr in {drr.case: drr for drr in reversed(bench.drrs)}.values():
        rows.append(list(restore_drr(drr, restore, bench.settings.seed, bench.cache)))
        titles.append([f"DRR {drr.case}", restore.name])
    write_montage(bench.folder / PICTURES, rows, titles)
    return {"file": PICTURES, "method": restore.name, "weights_sha256": restore.system.restorer.sha256}


def _measure_noise(bench: Bench) -> dict[str, Any]:
    job = TextureJob(bench.use(bench.how.mode), bench.degraders, bench.settings, bench.cache)
    return measure_texture(bench.test, bench.drrs, job, bench.progress)


def _measure_realism(bench: Bench) -> dict[str, Any]:
    methods = [bench.use(mode) for mode in bench.settings.modes]
    return judge_realism(bench.films, bench.test, bench.drrs, methods, bench.settings, bench.cache, bench.progress)


def _measure_nodules(bench: Bench) -> dict[str, Any]:
    """Measure made nodules on films, projected nodules of ``twins``, and blobs that nobody put into ``drrs``."""
    restore, seed = bench.use(bench.how.mode), bench.settings.seed
    restorer, how = restore.system.restorer, restore.how
    found: dict[str, Any] = {"method": restore.name, "weights_sha256": restorer.sha256}
    found["films"] = measure_nodules(bench.test, restorer, how, seed)
    if bench.twins:
        found["twins"] = measure_twins(bench.twins, restorer, how, seed, progress=bench.progress)
    if bench.drrs:
        films = [find_blobs(load_film(row)) for row in bench.test]
        outputs = [restore_drr(row, restore, seed, bench.cache)[1] for row in bench.drrs]
        found["blobs"] = compare_blobs(
            films, [find_blobs(image) for image in outputs], [row.case for row in bench.drrs]
        )
    return found


def _measure_grain(bench: Bench) -> dict[str, Any]:
    system, films = find_main(bench.systems), [load_film(row) for row in bench.test]
    found = measure_grain(bench.drrs, films, system.restorer, bench.how, bench.settings.seed, bench.progress)
    return {"system": system.name, "weights_sha256": system.restorer.sha256} | found


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "matrix": _measure_matrix, "steps": _measure_steps, "cost": _measure_cost, "noise": _measure_noise,
    "realism": _measure_realism, "nodules": _measure_nodules, "pictures": _draw_pictures, "grain": _measure_grain,
}  # fmt: skip
