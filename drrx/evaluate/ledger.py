"""What was made and scored already: a stopped evaluation goes on, and one more system costs its own time only."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.degrader.model import Degrader
from drrx.evaluate.scores import Score
from drrx.io.files import read_json, write_json, write_whole

Image = NDArray[np.float32]
WHITE = 65535


class Ledger:
    """One film's LQ copies (16-bit files) and scores, kept in a folder under names made of all they depend on.

    The code is not among these: delete the folder after a change of it.
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
        path = self.folder / f"{degrader.name}-{degrader.sha256[:16]}-{seed}.npy"
        if path.is_file():
            levels = np.load(path)
        else:
            levels = np.round(degrader.degrade(self.film, seed) * WHITE).astype(np.uint16)
            if degrader.sha256:
                with write_whole(path) as temporary, temporary.open("wb") as stream:
                    np.save(stream, levels)
        return levels.astype(np.float32) / np.float32(WHITE)
