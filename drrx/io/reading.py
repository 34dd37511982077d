"""A CT as its files give it, before it is made canonical."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseRefused
from drrx.io.settings import ReadCtSettings
from drrx.records.case import Correction, Fact
from drrx.volume import Volume

MAX_SLOPE, MAX_INTERCEPT_HU = 10, 32768


@dataclass(eq=False)
class Reading:
    """Values with their place, and what is known or was repaired so far.

    Attributes
    ----------
    volume
        HU (int16, int32 or float32) in the file's own axis order; LPS mm; axes may be oblique or sheared.
    padding
        Voxels that the file itself names as padding, or None.
    data_file
        File beside a header that holds the voxels, or None.
    """

    volume: Volume
    padding: NDArray[np.bool_] | None = None
    corrections: list[Correction] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    source: dict[str, Fact] = field(default_factory=dict)
    data_file: Path | None = None

    def correct(self, code: str, text: str) -> None:
        """Note a repair."""
        self.corrections.append(Correction(code, text))


def check_shape(where: str, shape: Sequence[int], settings: ReadCtSettings, num_components: int = 1) -> list[int]:
    """Return the three sizes of a volume in the file's order; single 4th axes are dropped.

    Raises
    ------
    CaseRefused
        ``NOT_3D`` for 2-D, 4-D and multi-component images, ``TOO_LARGE`` beyond the voxel limit.
    """
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) != 3 or min(sizes) < 2 or num_components != 1:
        parts = f"{num_components} values per voxel, " if num_components != 1 else ""
        raise CaseRefused(
            "NOT_3D", where=where, found=f"{parts}size {' x '.join(map(str, sizes))}",
            needed="one CT volume: three axes, one value per voxel",
            hint="Save one phase of a 4-D series, or the whole stack of slices, as its own file.",
        )  # fmt: skip
    if int(np.prod(sizes, dtype=object)) > settings.max_num_voxels:
        raise CaseRefused(
            "TOO_LARGE", where=where, found=f"{int(np.prod(sizes, dtype=object)):,} voxels",
            needed=f"at most {settings.max_num_voxels:,}",
            hint="Crop or resample it, or raise read_ct.max_num_voxels if the memory is there.",
        )  # fmt: skip
    return sizes


def check_number_type(where: str, dtype: np.dtype[Any]) -> None:
    """Refuse colours and complex numbers (``NOT_3D``: more than one value per voxel)."""
    if dtype.kind not in "iuf":
        raise CaseRefused(
            "NOT_3D", where=where, found=f"voxels of type {dtype}", needed="one real number per voxel",
            hint="Export the CT in HU, not a colour picture of it.",
        )  # fmt: skip


def make_header_error(path: Path, found: str, needed: str) -> CaseRefused:
    """Return the refusal of a header that cannot be understood."""
    return CaseRefused(
        "BAD_HEADER", where=path.name, found=found, needed=needed,
        hint="Export the image again, for example as .nii.gz or as a DICOM folder.",
    )  # fmt: skip


def is_sane_rescale(slope: float, intercept: float) -> bool:
    """Return whether a rescale can lead to HU: a step of more than 10 HU is no CT, NaN is no number."""
    return 0 < abs(slope) <= MAX_SLOPE and abs(intercept) <= MAX_INTERCEPT_HU


def apply_rescale(values: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Return ``slope * values + intercept``: int16 or int32 where exact, else float32."""
    if values.dtype.kind == "f":
        values = values.astype(np.float32, copy=False)
        return values if (slope, intercept) == (1.0, 0.0) else values * np.float32(slope) + np.float32(intercept)
    if float(slope).is_integer() and float(intercept).is_integer() and values.dtype.itemsize <= 4:
        low, high = (int(values.min()), int(values.max()))
        ends = [low * int(slope) + int(intercept), high * int(slope) + int(intercept)]
        kind = np.int16 if min(ends) >= -32768 and max(ends) <= 32767 else np.int64
        if (slope, intercept) == (1.0, 0.0):
            return values.astype(kind, copy=False)
        wide = np.int32 if max(map(abs, [*ends, low, high])) < 2**31 else np.int64
        return (values.astype(wide) * int(slope) + int(intercept)).astype(kind, copy=False)
    return (values * np.float64(slope) + intercept).astype(np.float32)
