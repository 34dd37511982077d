"""Noise and grid peaks of what a restorer makes of degraded films and of DRRs, against the films."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.degrader.model import Degrader
from drrx.errors import DrrxError
from drrx.evaluate.drrs import restore_drr
from drrx.evaluate.grid import measure_peaks
from drrx.evaluate.ledger import Ledger, hash_key
from drrx.evaluate.lung_field import find_lung_field
from drrx.evaluate.methods import Restoration
from drrx.evaluate.noise import compare_noise, make_norm, measure_octaves
from drrx.evaluate.pool import map_rows
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.domain import DrrRow
from drrx.pairs.films import FilmRow, load_film
from drrx.seeds import make_seed

Image = NDArray[np.float32]
FILM, DRR, RESTORED_DRR = "film", "DRR", "restored DRR"


@dataclass(frozen=True)
class Texture:
    """Octaves of lung-field noise in dB, and the largest grid peak in dB."""

    octaves: NDArray[np.float64]
    peak_db: float


@dataclass(frozen=True)
class TextureJob:
    """Measure a film and its restored copies, or a DRR before and after restoration."""

    method: Restoration
    degraders: tuple[Degrader, ...]
    settings: EvaluateRestorerSettings
    folder: Path

    def __call__(self, row: FilmRow | DrrRow) -> dict[str, Texture]:
        """Return textures by name; nothing for an image whose lung field has no room for one tile."""
        images = self._restore_film(row) if isinstance(row, FilmRow) else self._restore_drr(row)
        lungs = find_lung_field(next(iter(images.values())))
        try:
            return {
                name: Texture(measure_octaves(image, lungs), measure_peaks(image, lungs)["largest"])
                for name, image in images.items()
            }
        except DrrxError:
            return {}

    def _restore_film(self, row: FilmRow) -> dict[str, Image]:
        ledger = Ledger(self.folder, load_film(row))
        images = {FILM: ledger.film}
        for degrader in self.degraders:
            seed = make_seed(self.settings.seed, "evaluate", row.path.name, degrader.name)
            worse = ledger.degrade(degrader, seed)
            key = hash_key(f"{degrader.name} {degrader.sha256} {self.method.key} {seed}")
            images[degrader.name] = ledger.make(key, partial(self.method, worse, seed))
        return images

    def _restore_drr(self, row: DrrRow) -> dict[str, Image]:
        return dict(
            zip((DRR, RESTORED_DRR), restore_drr(row, self.method, self.settings.seed, self.folder), strict=True)
        )


def measure_texture(
    films: Sequence[FilmRow], drrs: Sequence[DrrRow], job: TextureJob, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return ``compare_noise`` with the films and grid peaks for every kind of output.

    Keys of ``outputs``: a degradation (films degraded by it and restored), ``DRR`` (as it is), ``restored DRR``.
    ``peaks_db``: median and largest over images of the largest grid peak, for these and for the films themselves.
    """
    found: dict[str, list[Texture]] = {}
    rows: list[FilmRow | DrrRow] = [*films, *drrs]
    for number, textures in enumerate(map_rows(job, rows, job.settings.jobs, job.settings.threads), 1):
        for name, texture in textures.items():
            found.setdefault(name, []).append(texture)
        progress(f"noise: {number} of {len(rows)} images")
    norm = make_norm([texture.octaves for texture in found[FILM]])
    peaks = {name: [texture.peak_db for texture in textures] for name, textures in found.items()}
    return {
        "method": job.method.name, "weights_sha256": job.method.system.restorer.sha256,
        "outputs": {
            name: compare_noise([texture.octaves for texture in textures], norm)
            for name, textures in found.items() if name != FILM
        },
        "peaks_db": {name: [round(float(np.median(v)), 2), round(max(v), 2)] for name, v in peaks.items()},
        "films": len(found[FILM]), "left_out": len(rows) - len(found[FILM]) - len(found.get(DRR, ())),
    }  # fmt: skip
