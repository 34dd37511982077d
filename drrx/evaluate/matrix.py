"""The cross-degradation matrix: systems trained on some degradations, tested on every one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrx.degrader.model import Degrader
from drrx.evaluate.interval import bootstrap_mean, find_p_value
from drrx.evaluate.ledger import Ledger, hash_key
from drrx.evaluate.methods import BICUBIC, Method, Restoration
from drrx.evaluate.pool import map_rows
from drrx.evaluate.scores import MEASURES, Score, Scorer, to_psnr
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.films import FilmRow, load_film
from drrx.seeds import make_seed

Table = dict[str, dict[str, Score]]


@dataclass(frozen=True)
class FilmJob:
    """Score all methods on all degradations of one film."""

    methods: tuple[Method, ...]
    degraders: tuple[Degrader, ...]
    settings: EvaluateRestorerSettings
    folder: Path

    def __call__(self, row: FilmRow) -> Table:
        """Return scores by degradation and method; those in the ledger are taken from there."""
        ledger, scorer = Ledger(self.folder, load_film(row)), None
        table: Table = {}
        for degrader in self.degraders:
            seed = make_seed(self.settings.seed, "evaluate", row.path.name, degrader.name)
            keys = {method.name: self._make_key(degrader, method, seed) for method in self.methods}
            found = {method.name: ledger.find(keys[method.name]) for method in self.methods}
            missing = [method for method in self.methods if found[method.name] is None]
            if missing:
                scorer = scorer or Scorer(ledger.film, self.settings.border_px)
                worse = ledger.degrade(degrader, seed)
                new = {method.name: scorer.score(method(worse, seed)) for method in missing}
                ledger.keep({keys[name]: score for name, score in new.items()})
                found |= new
            table[degrader.name] = {name: score for name, score in found.items() if score}
        return table

    def _make_key(self, degrader: Degrader, method: Method, seed: int) -> str:
        return hash_key(f"{degrader.name} {degrader.sha256} {seed} {method.key} {self.settings.border_px}")


def measure_matrix(
    rows: Sequence[FilmRow], job: FilmJob, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return scores and gains by test degradation.

    ``scores``: per degradation and method the mean over films of every measure with its 95 % interval over patients;
    ``psnr_of_mean_mse_db`` beside ``psnr_db``, the mean of PSNRs. ``gains``: per degradation and system, what it has
    over the system ``bicubic`` in the same mode, with intervals and the p value of Wilcoxon's signed-rank test over
    patients, where such a system is given.
    """
    tables = []
    for table in map_rows(job, rows, job.settings.jobs, job.settings.threads):
        tables.append(table)
        progress(f"matrix: {len(tables)} of {len(rows)} films")
    patients, resamples = [row.patient for row in rows], job.settings.resamples
    names = [method.name for method in job.methods]
    rivals = [m.name for m in job.methods if isinstance(m, Restoration) and m.how.mode == job.settings.matrix_mode]
    twin = f"{BICUBIC} {job.settings.matrix_mode}"
    scores: dict[str, Any] = {}
    gains: dict[str, Any] = {}
    for degrader in job.degraders:
        columns = {name: [table[degrader.name][name] for table in tables] for name in names}
        scores[degrader.name] = {name: _summarise(column, patients, resamples) for name, column in columns.items()}
        gains[degrader.name] = {
            name: _compare(columns[name], columns[twin], patients, resamples)
            for name in rivals
            if twin in columns and name != twin
        }
    return {
        "scores": scores, "gains": gains,
        "weights_sha256": {m.system.name: m.system.restorer.sha256 for m in job.methods if isinstance(m, Restoration)},
        "degrader_sha256": {degrader.name: degrader.sha256 for degrader in job.degraders},
    }  # fmt: skip


def _summarise(scores: Sequence[Score], patients: Sequence[str], resamples: int) -> dict[str, list[float]]:
    found = {name: bootstrap_mean([getattr(score, name) for score in scores], patients, resamples) for name in MEASURES}
    mean, low, high = found.pop("mse")
    found["psnr_of_mean_mse_db"] = (to_psnr(mean), to_psnr(high), to_psnr(low))
    return {name: [round(value, 4) for value in values] for name, values in found.items()}


def _compare(
    ones: Sequence[Score], twos: Sequence[Score], patients: Sequence[str], resamples: int
) -> dict[str, list[float]]:
    """Return mean difference, interval and p value of PSNR and SSIM."""
    gains = {}
    for name in ("psnr_db", "ssim"):
        differences = [getattr(one, name) - getattr(two, name) for one, two in zip(ones, twos, strict=True)]
        gain = [round(value, 4) for value in bootstrap_mean(differences, patients, resamples)]
        gains[name] = [*gain, float(f"{find_p_value(differences, patients):.2g}")]
    return gains
