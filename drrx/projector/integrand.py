"""What is integrated along the rays: one grid of values, seen through bands, and the labels on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.volume import Volume

Band = tuple[float, float]
ALL_VALUES: Band = (-np.inf, np.inf)
NATIVE_DTYPES = (np.int16, np.uint8, np.float32)


@dataclass(frozen=True, eq=False)
class Integrand:
    """Channels over one grid, projected in one pass over its voxels; every channel is 0 outside the grid.

    A CT has two bands (HU up to water, HU above it) and some masks (lung, bone, ...); a nodule patch has one band.

    Attributes
    ----------
    volume
        Values of any real dtype.
    bands
        One channel each: how far a value reaches into ``(low, high)``, that is ``clip(value, low, high) - low``; an
        infinite ``low`` takes nothing off, so ``ALL_VALUES`` is the value itself.
    labels
        uint8, the shape of the volume, or ``None``.
    masks
        One channel each, after the bands: 1 where the label is one of these, else 0. At most 8.
    """

    volume: Volume
    bands: tuple[Band, ...] = (ALL_VALUES,)
    labels: NDArray[np.uint8] | None = None
    masks: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if any(not low < high for low, high in self.bands) or not self.bands + self.masks or len(self.masks) > 8:
            raise DrrxError(
                where="Integrand", found=f"bands {self.bands}, {len(self.masks)} masks",
                needed="bands with low < high, at most 8 masks, at least one channel",
                hint="Give a band as (low, high) in the unit of the values.",
            )  # fmt: skip
        if self.masks and (
            self.labels is None or self.labels.shape != self.volume.shape or self.labels.dtype != np.uint8
        ):
            found = "no labels" if self.labels is None else f"{self.labels.dtype} labels of shape {self.labels.shape}"
            raise DrrxError(
                where="Integrand.labels", found=found, needed=f"uint8 labels of shape {self.volume.shape}",
                hint="Masks are sets of label values on the grid of the volume.",
            )  # fmt: skip

    @property
    def num_channels(self) -> int:
        """Number of bands and masks together."""
        return len(self.bands) + len(self.masks)

    @property
    def native_values(self) -> NDArray:
        """The values in a dtype that kernels are compiled for: bool is read as uint8, any other as float32."""
        values = self.volume.values
        if values.dtype == np.bool_:
            return values.view(np.uint8)
        return values if values.dtype in NATIVE_DTYPES else values.astype(np.float32)

    @property
    def offsets(self) -> NDArray[np.float64]:
        """What each band takes off its clipped values: its low end, 0 where that is infinite."""
        lows = np.array([low for low, _ in self.bands], np.float64)
        return np.where(np.isfinite(lows), lows, 0.0)

    @property
    def mask_bits(self) -> NDArray[np.uint8]:
        """Table of 256 entries: bit ``k`` says whether a label belongs to mask ``k``."""
        table = np.zeros(256, np.uint8)
        for bit, members in enumerate(self.masks):
            table[list(members)] |= np.uint8(1 << bit)
        return table
