"""DRRs as a domain of their own: what the two degraders learn the look of low-quality radiographs from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.io.film import SUFFIXES, read_film
from drrx.pairs.films import PIXEL_MM, to_grid
from drrx.pairs.window import Window, measure_window

DRR_NAME = "drr.png"


@dataclass(frozen=True)
class DrrRow:
    """One DRR: file, case (its CT), and ``weight``, its share of the draws; the weights of all rows sum to 1."""

    path: Path
    case: str
    weight: float


def read_drrs(folders: Sequence[str], exclude: Sequence[str] = ()) -> tuple[DrrRow, ...]:
    """Return the DRRs below folders given as ``DIR`` or ``DIR=WEIGHT``, in the order of their paths.

    A results folder of the workflow counts by its files ``drr.png``, any other folder by all its images. The case is
    the folder below ``cases``, or the file's own name. Folders share the draws by their weights (1 where none is
    given), the cases of a folder equally, and the images of a case equally: so that hundreds of phantoms do not drown
    a few patients.

    Raises
    ------
    DrrxError
        A folder holds no image, or a weight is not above 0.
    """
    parts = [_split_weight(text) for text in folders]
    total = sum(weight for _, weight in parts)
    return tuple(row for folder, weight in parts for row in _list_cases(folder, weight / total, frozenset(exclude)))


def _split_weight(text: str) -> tuple[Path, float]:
    name, _, tail = text.rpartition("=")
    if not name or Path(text).is_dir():
        return Path(text), 1.0
    try:
        weight = float(tail)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise DrrxError(
            where=f"--drrs {text}", found=f"weight {tail!r}", needed="DIR or DIR=WEIGHT with a weight above 0",
            hint="For instance --drrs results=0.7 --drrs phantoms=0.3.",
        )  # fmt: skip
    return Path(name), weight


def _list_cases(folder: Path, share: float, exclude: frozenset[str]) -> list[DrrRow]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    files = [path for path in files if path.name == DRR_NAME] or files
    cases: dict[str, list[Path]] = {}
    for path in files:
        cases.setdefault(_case_of(path.relative_to(folder)), []).append(path)
    kept = {case: paths for case, paths in cases.items() if case not in exclude}
    if not kept:
        raise DrrxError(
            where=str(folder), found="no DRR to use", needed=f"files {DRR_NAME}, or other images",
            hint="Give the results folder of a run, or a folder of DRRs.",
        )  # fmt: skip
    return [DrrRow(path, case, share / len(kept) / len(paths)) for case, paths in kept.items() for path in paths]


def _case_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return parts[parts.index("cases") + 1] if "cases" in parts[:-2] else parts[0]


def load_drr(row: DrrRow, pixel_mm: float = PIXEL_MM) -> tuple[NDArray[np.float32], Window]:
    """Return a DRR windowed to 0..1 on the grid of ``pixel_mm``, float32 ``[row, column]``, and that window.

    The window is in display values, 0..1 of the file's full range: its ends tell how hazy the DRR is.
    """
    film = read_film(row.path)
    values = to_grid(film.values, film.spacing_mm, pixel_mm) / np.float32(film.white)
    window = measure_window(values)
    return np.clip(window.apply(values), 0.0, 1.0), window
