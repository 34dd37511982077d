"""What was made and scored already: a stopped evaluation goes on, and one more system costs its own time only."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.degrader.model import Degrader
from drrx.evaluate.scores import Score
from drrx.io.files import read_json, write_json, write_whole

Image = NDArray[np.float32]
WHITE = 65535


class Ledger:
    """A film's or DRR's copies, degraded or restored (16-bit files), and its scores.

    They are kept in a folder under names made of all they depend on, but for the code: delete the folder after a
    change of it.
    """

    def __init__(self, folder: Path, film: Image) -> None:
        self.film = film
        self.folder = folder / hashlib.blake2b(film.tobytes(), digest_size=8).hexdigest()
        self.path = self.folder / "scores.json"
        self.scores: dict[str, dict[str, float]] = read_json(self.path) if self.path.is_file() else {}

    def find(self, key: str) -> Score | None:
        """Return a score kept under ``key``."""
        return Score(**self.scores[key]) if key in self.scores else None

    def keep(self, scores: dict[str, Score]) -> None:
        """Add scores and write the file."""
        self.scores |= {key: vars(score) for key, score in scores.items()}
        write_json(self.path, self.scores)

    def degrade(self, degrader: Degrader, seed: int) -> Image:
        """Return the film's LQ copy, rounded to 16 bits; one that a network made is kept."""
        key = f"{degrader.name}-{degrader.sha256[:16]}-{seed}"
        return self.make(key, lambda: degrader.degrade(self.film, seed), keep=bool(degrader.sha256))

    def make(self, key: str, work: Callable[[], Image], keep: bool = True) -> Image:
        """Return the image kept under ``key``, or the result of ``work``, rounded to 16 bits either way."""
        path = self.folder / f"{key}.npy"
        if path.is_file():
            levels = np.load(path)
        else:
            levels = np.round(work() * WHITE).astype(np.uint16)
            if keep:
                with write_whole(path) as temporary, temporary.open("wb") as stream:
                    np.save(stream, levels)
        return levels.astype(np.float32) / np.float32(WHITE)


def hash_key(text: str) -> str:
    """Return a short name for a long key."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
