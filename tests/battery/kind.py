"""A kind of odd input: how it is built, and what must become of it."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drrx.anatomy.settings import SegmentAnatomySettings
from drrx.io.settings import ReadCtSettings
from drrx.volume import Volume

Outcome = Literal["accepted", "corrected", "refused"]

DEFAULT = ReadCtSettings()
SMALL = replace(DEFAULT, min_num_slices=5, min_length_mm=0.0)
# Of each kind so many inputs are drawn; they differ in shape, spacing, place, size of the fault and what it hits.
NUM_VARIANTS = 3


@dataclass(frozen=True, eq=False)
class Built:
    """One odd input on disk, and what is known of it.

    Attributes
    ----------
    path
        File or folder to read.
    truth
        Canonical HU and place that a right reader gives; None where nothing right can be made of the input.
    markers_mm
        LPS places ``(n, 3)`` of the bright balls in it.
    others
        Volumes that would be right as well (the other one of two series that are equally good).
    series_uid
        The series that the user names.
    secrets
        Bytes in the input that must be in no output.
    """

    path: Path
    truth: Volume | None = None
    markers_mm: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    others: tuple[Volume, ...] = ()
    series_uid: str | None = None
    secrets: tuple[bytes, ...] = ()


Builder = Callable[[Path, Generator], Built]


@dataclass(frozen=True)
class Kind:
    """One kind of odd input and its one outcome.

    Attributes
    ----------
    row
        Row of the table in the list of odd inputs that the battery follows; "good" for inputs that are not odd.
    outcome, codes
        What becomes of it; of a refusal the code (one of ``codes``).
    corrections, flags
        Codes that the case record must hold, no others.
    exact
        Whether HU must be equal to the bit; otherwise they were resampled, and 10 HU away from edges are allowed.
    cuts
        Settings of ``segment_anatomy`` when the fault shows there and not on reading.
    """

    name: str
    row: str
    group: str
    text: str
    build: Builder
    outcome: Outcome = "accepted"
    codes: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    exact: bool = True
    settings: ReadCtSettings = SMALL
    cuts: SegmentAnatomySettings | None = None

    def __post_init__(self) -> None:
        wanted = "refused" if self.codes else "corrected" if self.corrections else "accepted"
        if self.outcome != wanted:
            raise ValueError(f"{self.name}: outcome {self.outcome}, but its codes say {wanted}")

    def make(self, folder: Path, variant: int) -> Built:
        """Build one variant below ``folder``; the seed is the kind's name and the number of the variant."""
        folder.mkdir(parents=True, exist_ok=True)
        return self.build(folder, np.random.default_rng([zlib.crc32(self.name.encode()), variant]))


class Group:
    """Kinds of one group, in the order of their definition."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kinds: list[Kind] = []

    def add(self, name: str, row: object, text: str, build: Builder, **expected: object) -> None:
        """Add a kind; ``refused``, ``corrected`` or neither (``accepted``) follows from what is expected."""
        for key in ("codes", "corrections", "flags"):
            value = expected.get(key, ())
            expected[key] = (value,) if isinstance(value, str) else value
        outcome = "refused" if expected["codes"] else "corrected" if expected["corrections"] else "accepted"
        self.kinds.append(Kind(name, str(row), self.name, text, build, outcome, **expected))  # type: ignore[arg-type]

    def kind(self, name: str, row: object, text: str, **expected: object) -> Callable[[Builder], Builder]:
        """Add the kind that the decorated function builds."""

        def keep(build: Builder) -> Builder:
            self.add(name, row, text, build, **expected)
            return build

        return keep
