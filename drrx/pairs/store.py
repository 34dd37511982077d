"""A folder of ready pairs: films with made nodules, their LQ copies, and nodule masks, beside a table of them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drrx.errors import DrrxError
from drrx.io.files import write_text
from drrx.io.image import read_image, write_image
from drrx.pairs.window import measure_window

TABLE = "pairs.csv"


@dataclass(frozen=True)
class PairRow:
    """One pair: name of its files, film, patient, split, degrader and the hash of its weights, seed, nodules in it."""

    pair: str
    film: str
    patient: str
    split: str
    model: str
    weights_sha256: str
    seed: int
    nodules: int


@dataclass(frozen=True, eq=False)
class Pair:
    """``film`` (windowed, 0..1), ``lq`` (display values, 0..1) and soft nodule ``mask``, float32 ``[row, column]``."""

    film: NDArray[np.float32]
    lq: NDArray[np.float32]
    mask: NDArray[np.float32]


def pair_files(folder: Path, pair: str) -> tuple[Path, Path, Path]:
    """Return the files of a pair: film, LQ copy, mask."""
    return folder / f"{pair}_hq.png", folder / f"{pair}_lq.png", folder / f"{pair}_mask.png"


def write_pair(folder: Path, row: PairRow, pair: Pair) -> None:
    """Write the three images of a pair: 16 bit, the mask 8 bit."""
    hq, lq, mask = pair_files(folder, row.pair)
    write_image(hq, pair.film)
    write_image(mask, pair.mask, bits=8)
    write_image(lq, pair.lq)


def write_table(folder: Path, rows: Sequence[PairRow]) -> None:
    """Write the table of a folder's pairs; it comes last, so that it never names a pair that is not there."""
    names = [field.name for field in fields(PairRow)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(folder / TABLE, stream.getvalue())


def read_table(folder: Path) -> tuple[PairRow, ...]:
    """Read the table of a folder of pairs.

    Raises
    ------
    DrrxError
        There is none, or a column is missing.
    """
    try:
        with (folder / TABLE).open(newline="", encoding="utf-8") as stream:
            rows: list[dict[str, Any]] = list(csv.DictReader(stream))
        return tuple(PairRow(**(row | {name: int(row[name]) for name in ("seed", "nodules")})) for row in rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DrrxError(
            where=str(folder / TABLE), found=str(error), needed="the table of a folder of pairs",
            hint="Make the pairs with drrx make-lq, and wait for its end.",
        ) from error  # fmt: skip


def load_pair(folder: Path, row: PairRow) -> Tensor:
    """Return film, LQ copy (windowed by its own percentiles) and mask, float16 ``[3, row, column]``."""
    film, lq, mask = (read_image(path) for path in pair_files(folder, row.pair))
    return torch.from_numpy(np.stack([film, measure_window(lq).apply(lq), mask])).half()
