"""Everything a training run draws its crops from: films to degrade by formula, and ready pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from drrx.errors import DrrxError
from drrx.pairs.crops import Crop, cut_crop, draw_crop
from drrx.pairs.degrade import KINDS
from drrx.pairs.films import FilmRow, load_film, measure_noise, stack_film
from drrx.pairs.store import load_pair, read_table


class PairPool:
    """Draws crops of pairs, each kind by its share.

    Parameters
    ----------
    films
        Stacks of good films (``stack_film``), for the kinds made by formula.
    pairs
        Ready pairs by kind, ``[3, row, column]`` each (``load_pair``).
    shares
        Share of the draws of every kind; they need not sum to 1.
    nodule_share
        Share of the crops made by formula that get nodules; ready pairs hold theirs.
    """

    def __init__(
        self, films: Sequence[Tensor], pairs: Mapping[str, Sequence[Tensor]], shares: Mapping[str, float],
        nodule_share: float,
    ) -> None:  # fmt: skip
        self.films, self.pairs, self.nodule_share = films, pairs, nodule_share
        self.kinds = [kind for kind, share in shares.items() if share > 0]
        wanted = np.array([shares[kind] for kind in self.kinds])
        self.shares = wanted / wanted.sum()

    def draw(self, rng: np.random.Generator, size_px: int, kind: str = "") -> Crop:
        """Return one crop of ``size_px``; of any kind, by their shares, where none is named."""
        kind = kind or str(rng.choice(self.kinds, p=self.shares))
        if kind in KINDS:
            film = self.films[int(rng.integers(len(self.films)))]
            return draw_crop(film, rng, size_px, self.nodule_share, kind)
        stored = self.pairs[kind]
        return cut_crop(stored[int(rng.integers(len(stored)))], rng, size_px)


def choose_quiet(rows: Sequence[FilmRow], split: str, share: float) -> list[FilmRow]:
    """Return the ``share`` of a split's films with the least noise: what is not in a target is not learned.

    Raises
    ------
    DrrxError
        The split is empty.
    """
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        raise DrrxError(
            where="the table of radiographs", found=f"{len(rows)} usable rows, none in split {split}",
            needed="at least one patient in that split", hint="Give more radiographs.",
        )  # fmt: skip
    if share >= 1.0:
        return chosen
    noise = [measure_noise(load_film(row)) for row in chosen]
    order = sorted(range(len(chosen)), key=lambda index: noise[index])
    return [chosen[index] for index in sorted(order[: max(1, round(share * len(chosen)))])]


def load_pool(
    rows: Sequence[FilmRow], folders: Sequence[Path], shares: Mapping[str, float], split: str, *,
    nodule_share: float, quiet_share: float = 1.0, max_films: int = 0,
) -> PairPool:  # fmt: skip
    """Load the quiet films of a split and the ready pairs made of films of that split.

    Raises
    ------
    DrrxError
        The split has no film; a kind with a share has no pairs; all shares are 0.
    """
    some = slice(max_films or None)
    listed = [(folder, row) for folder in folders for row in read_table(folder) if row.split == split]
    _check_shares(shares, {row.model for _, row in listed})
    kept = choose_quiet(rows, split, quiet_share)[some] if any(shares.get(kind, 0) > 0 for kind in KINDS) else []
    pairs = {
        kind: [load_pair(folder, row) for folder, row in listed if row.model == kind][some]
        for kind, share in shares.items() if kind not in KINDS and share > 0
    }  # fmt: skip
    films = [stack_film(load_film(row)) for row in kept]
    return PairPool(films, pairs, shares, nodule_share)


def _check_shares(shares: Mapping[str, float], made: set[str]) -> None:
    wanted = {kind for kind, share in shares.items() if share > 0}
    missing = sorted(wanted - set(KINDS) - made)
    if missing or not wanted:
        found = f"no pairs of {', '.join(missing)}" if missing else "every share is 0"
        raise DrrxError(
            where="the kinds of pairs", found=found, needed="pairs of every kind whose share is above 0",
            hint="Make them with drrx make-lq and give the folder with --pairs, or set the share to 0.",
        )  # fmt: skip
