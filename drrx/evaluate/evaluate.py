"""The parts of an evaluation, one after another, into one report."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrx.degrader.model import Degrader
from drrx.errors import DrrxError
from drrx.evaluate.cost import measure_cost
from drrx.evaluate.ledger import Ledger
from drrx.evaluate.matrix import FilmJob, measure_matrix
from drrx.evaluate.methods import Restoration, System, find_main, make_methods, open_window
from drrx.evaluate.pictures import write_montage
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.evaluate.steps import CurveJob, measure_steps
from drrx.io.files import read_json, write_json
from drrx.pairs.domain import DrrRow, load_drr
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
    films, split
        Films to test on, of patients of one split.
    drrs
        DRRs to restore; may be none.
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
    split: str
    drrs: tuple[DrrRow, ...]
    systems: tuple[System, ...]
    degraders: tuple[Degrader, ...]
    settings: EvaluateRestorerSettings
    how: RestoreCxrSettings
    folder: Path
    progress: Callable[[str], None] = lambda _: None


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
        write_json(path, report)
    return report


def _measure_matrix(bench: Bench) -> dict[str, Any]:
    methods = make_methods(bench.systems, bench.settings, bench.how)
    job = FilmJob(methods, bench.degraders, bench.settings, bench.folder / CACHE)
    patients = {row.patient for row in bench.films}
    found = measure_matrix(bench.films, job, bench.progress)
    return found | {"films": len(bench.films), "patients": len(patients)}


def _measure_steps(bench: Bench) -> dict[str, Any]:
    job = CurveJob(
        find_main(bench.systems), _find_degrader(bench), bench.settings, bench.how, bench.folder / CACHE
    )  # fmt: skip
    return measure_steps(bench.films[: bench.settings.curve_films], job, bench.progress)


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
    system, rows, titles = find_main(bench.systems), [], []
    restore = Restoration(system, dataclasses.replace(bench.how, tone="full"))
    for row in bench.films[:NUM_PICTURES]:
        ledger = Ledger(bench.folder / CACHE, load_film(row))
        for degrader in bench.degraders:
            seed = make_seed(bench.settings.seed, "evaluate", row.path.name, degrader.name)
            worse = ledger.degrade(degrader, seed)
            rows.append([worse, open_window(worse), restore(worse, seed), ledger.film])
            titles.append([degrader.name, "window", restore.name, f"film {row.path.stem[:40]}"])
    for drr in {drr.case: drr for drr in reversed(bench.drrs)}.values():
        image, _ = load_drr(drr)
        rows.append([image, restore(image, bench.settings.seed)])
        titles.append([f"DRR {drr.case}", restore.name])
    write_montage(bench.folder / PICTURES, rows, titles)
    return {"file": PICTURES, "system": system.name, "weights_sha256": system.restorer.sha256}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "matrix": _measure_matrix, "steps": _measure_steps, "cost": _measure_cost, "pictures": _draw_pictures,
}  # fmt: skip
