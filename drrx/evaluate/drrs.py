"""The DRRs that are restored for noise, realism and pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.evaluate.ledger import Ledger, hash_key
from drrx.evaluate.methods import Method
from drrx.pairs.domain import DrrRow, load_drr
from drrx.seeds import make_seed

Image = NDArray[np.float32]


def choose_drrs(rows: Sequence[DrrRow], max_drrs: int) -> tuple[DrrRow, ...]:
    """Return at most ``max_drrs`` rows: the first view of every case, then every second view, and so on."""
    rank = {case: [row.path for row in rows if row.case == case] for case in {row.case for row in rows}}
    ordered = sorted(rows, key=lambda row: (rank[row.case].index(row.path), row.case))
    return tuple(ordered[:max_drrs])


def restore_drr(row: DrrRow, method: Method, seed: int, folder: Path) -> tuple[Image, Image]:
    """Return a DRR windowed to 0..1 and what a method makes of it; the latter is kept in ``folder``."""
    image, _ = load_drr(row)
    seed = make_seed(seed, "evaluate", row.case, row.path.parent.name, row.path.name)
    return image, Ledger(folder, image).make(hash_key(f"{method.key} {seed}"), lambda: method(image, seed))
