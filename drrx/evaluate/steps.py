"""Quality against cost: network calls per sample, and the share of sample in a blend."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.degrader.model import Degrader
from drrx.evaluate.ledger import Ledger
from drrx.evaluate.lung_field import find_lung_field
from drrx.evaluate.methods import Restoration, System
from drrx.evaluate.noise import compare_noise, make_norm, measure_octaves
from drrx.evaluate.pool import map_rows
from drrx.evaluate.scores import Scorer
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.films import FilmRow, load_film
from drrx.restorer.settings import RestoreCxrSettings
from drrx.seeds import make_seed

Image = NDArray[np.float32]
Point = tuple[float, float, NDArray[np.float64]]
"""PSNR in dB, SSIM, octaves of lung-field noise in dB."""
FILM = "film"


@dataclass(frozen=True)
class CurveJob:
    """Restore one degraded film with every number of steps and every share of sample."""

    system: System
    degrader: Degrader
    settings: EvaluateRestorerSettings
    how: RestoreCxrSettings
    folder: Path

    def __call__(self, row: FilmRow) -> dict[str, Point]:
        """Return a point per ``steps N`` and ``alpha A``, and the film's own."""
        ledger = Ledger(self.folder, load_film(row))
        scorer, lungs = Scorer(ledger.film, self.settings.border_px), find_lung_field(ledger.film)
        seed = make_seed(self.settings.seed, "evaluate", row.path.name, self.degrader.name)
        worse = ledger.degrade(self.degrader, seed)

        def restore(**how: Any) -> Image:
            return Restoration(self.system, dataclasses.replace(self.how, tone="full", **how))(worse, seed)

        def measure(image: Image) -> Point:
            score = scorer.score(image)
            return score.psnr_db, score.ssim, measure_octaves(image, lungs)

        images = {FILM: ledger.film}
        images |= {f"steps {steps}": restore(mode="sample", steps=steps) for steps in self.settings.curve_steps}
        images |= {f"alpha {alpha:g}": restore(mode="blend", alpha=alpha) for alpha in self.settings.curve_alphas}
        return {name: measure(image) for name, image in images.items()}


def measure_steps(
    rows: Sequence[FilmRow], job: CurveJob, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return two curves: mean PSNR, mean SSIM and the noise's distance from the films for steps and for alpha.

    ``noise_db`` is ``distance_db`` of ``compare_noise``, the films being these films themselves before degradation.
    """
    points = []
    for found in map_rows(job, rows, job.settings.jobs, job.settings.threads):
        points.append(found)
        progress(f"steps: {len(points)} of {len(rows)} films")
    norm = make_norm([found[FILM][2] for found in points])

    def summarise(name: str) -> dict[str, float]:
        psnr, ssim, octaves = zip(*(found[name] for found in points), strict=True)
        noise = compare_noise(octaves, norm)
        return {
            "psnr_db": round(float(np.mean(psnr)), 3), "ssim": round(float(np.mean(ssim)), 4),
            "noise_db": noise["distance_db"], "noise_worst_db": noise["worst_db"],
        }  # fmt: skip

    return {
        "system": job.system.name, "weights_sha256": job.system.restorer.sha256, "degradation": job.degrader.name,
        "films": len(rows), "alpha_steps": job.how.steps,
        "steps": [{"steps": steps} | summarise(f"steps {steps}") for steps in job.settings.curve_steps],
        "alphas": [{"alpha": alpha} | summarise(f"alpha {alpha:g}") for alpha in job.settings.curve_alphas],
    }  # fmt: skip
