"""The ways to make an LQ copy of a film, behind one door."""

from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from drrx.pairs.degrade import degrade, draw_degradation
from drrx.pairs.films import stack_film
from drrx.seeds import make_rng

DegraderName = Literal["munit_lq", "ddpm_lq", "physics", "bicubic", "identity"]
DEGRADERS: tuple[DegraderName, ...] = get_args(DegraderName)


class Degrader(Protocol):
    """Makes LQ copies of films.

    Attributes
    ----------
    name
        One of ``DEGRADERS``.
    sha256
        Hash of its weights; empty where it has none.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102

    def degrade(self, film: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return the LQ copy of a film.

        Parameters
        ----------
        film
            Windowed values in 0..1 on the 0.42 mm grid, bone white, float32 ``[row, column]``.
        seed
            Draws style, strength and noise. A film with and without a nodule gets the same ones from one seed.

        Returns
        -------
        float32 ``[row, column]``
            Display values in 0..1, of the film's shape and registered to it.
        """
        ...


class FormulaLq:
    """LQ copies by formula: like a CT's DRR (``physics``), by bicubic shrinking, or not at all (``identity``)."""

    sha256 = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def degrade(self, film: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return the LQ copy; see ``Degrader.degrade``."""
        return degrade(stack_film(film), draw_degradation(make_rng(seed), self.name)).numpy()


def load_degrader(name: DegraderName, path: Path | None = None, device: str = "cpu") -> Degrader:
    """Return a degrader; ``path`` names other weights than the delivered ones of ``munit_lq`` or ``ddpm_lq``.

    Raises
    ------
    DrrxError
        The weights are missing, damaged or of another kind.
    """
    if name == "munit_lq":
        from drrx.degrader.munit_lq import load_munit_lq

        return load_munit_lq(path, device)
    if name == "ddpm_lq":
        from drrx.degrader.ddpm_lq import load_ddpm_lq

        return load_ddpm_lq(path, device)
    return FormulaLq(name)
