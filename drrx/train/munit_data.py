"""The two domains of MUNIT-LQ in memory: films and DRRs at half resolution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from drrx.errors import DrrxError
from drrx.pairs.domain import DrrRow, load_drr
from drrx.pairs.films import FilmRow, load_film, measure_noise
from drrx.pairs.window import Window
from drrx.train.munit_crops import Images, halve
from drrx.train.munit_settings import TrainMunitLqSettings


@dataclass(frozen=True, eq=False)
class MunitData:
    """Both domains, and the DRRs whose styles go into the bank, with their windows, noise (display values), cases."""

    films: Images
    drrs: Images
    bank: Sequence[Tensor]
    windows: Sequence[Window]
    noise: Sequence[float]
    cases: Sequence[str]


def load_data(
    films: Sequence[FilmRow], drrs: Sequence[DrrRow], bank: Sequence[DrrRow], settings: TrainMunitLqSettings
) -> MunitData:
    """Load the training films and all DRRs at half resolution; ``bank`` are the DRRs whose styles are stored."""
    rows = [row for row in films if row.split == "train"]
    if not rows:
        raise DrrxError(
            where="the table of radiographs", found=f"{len(films)} usable rows, none for training",
            needed="at least one patient in the training split", hint="Give more radiographs.",
        )  # fmt: skip
    weights = np.array([row.weight for row in drrs], dtype=np.float64)
    stored = [bank[i] for i in np.unique(np.linspace(0, len(bank) - 1, settings.bank_size).round().astype(int))]
    real = [load_drr(row) for row in stored]
    return MunitData(
        Images([halve(load_film(row)).half() for row in rows], np.full(len(rows), 1 / len(rows))),
        Images([halve(load_drr(row)[0]).half() for row in drrs], weights / weights.sum()),
        [halve(values).half() for values, _ in real], [window for _, window in real],
        [measure_noise(values) * (window.high - window.low) for values, window in real], [row.case for row in stored],
    )  # fmt: skip
