"""Twins and variants in a results folder of the workflow, as ``docs/pipeline.md`` lists its files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.shadow import Shadow, shadows_from_arrays
from drrx.errors import DrrxError
from drrx.io.arrays import read_arrays
from drrx.io.image import read_image
from drrx.records.variant import TWIN, variant_role

Image = NDArray[np.float32]


@dataclass(frozen=True)
class TwinRow:
    """One view of one case: folder of the case, name of the view, names of its variants with inserted nodules."""

    case: Path
    view: str
    variants: tuple[str, ...]

    @property
    def name(self) -> str:
        """Case and view."""
        return f"{self.case.name}_{self.view}"

    def read_drr(self, variant: str = TWIN) -> Image:
        """Return the DRR of a variant, float32 ``[row, column]``, display values 0..1."""
        return read_image(self.case / variant / self.view / "drr.png")

    def read_shadows(self, variant: str) -> list[Shadow]:
        """Return what each nodule of a variant adds to the projection."""
        return list(shadows_from_arrays(read_arrays(self.case / variant / self.view / "paths.npz")))

    def map_nodules(self) -> Image:
        """Return where any variant has a nodule, 0 or 1, float32 ``[row, column]``: the map a guided network takes."""
        shape = self.read_drr().shape
        full = np.zeros(shape, np.float32)
        for variant in self.variants:
            for shadow in self.read_shadows(variant):
                full = np.maximum(full, shadow.place(shadow.path_mm, (shape[0], shape[1])) > 0)
        return full.astype(np.float32)

    def read_lung(self) -> NDArray[np.bool_]:
        """Return where rays meet lung, ``[row, column]``."""
        return np.asarray(read_arrays(self.case / self.view / "projection.npz")["lung_path_mm"] > 0)


def read_twins(results: Path, views: Sequence[str] = (), cases: Sequence[str] = ()) -> tuple[TwinRow, ...]:
    """Return the frontal views with a twin's DRR, sorted by case and view; ``views``, ``cases``: only those, if given.

    Raises
    ------
    DrrxError
        The folder holds none.
    """
    rows = tuple(_list_rows(results, views, cases))
    if not rows:
        raise DrrxError(
            where=str(results), found=f"no frontal view with {TWIN}/<view>/drr.png",
            needed="a results folder of the workflow", hint="Give the folder that `drrx run` wrote.",
        )  # fmt: skip
    return rows


def _list_rows(results: Path, views: Sequence[str], cases: Sequence[str]) -> Iterator[TwinRow]:
    for drr in sorted(results.glob(f"cases/*/{TWIN}/*/drr.png")):
        case, view = drr.parents[2], drr.parent.name
        if view.startswith("lateral") or (views and view not in views) or (cases and case.name not in cases):
            continue
        variants = sorted(path.parents[1].name for path in case.glob(f"*/{view}/paths.npz"))
        yield TwinRow(case, view, tuple(name for name in variants if variant_role(name) == "positive"))
