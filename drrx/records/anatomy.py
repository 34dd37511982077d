"""Which voxel belongs to what."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.volume import Volume


class Label(IntEnum):
    """Value of a voxel in the anatomy label map; every voxel has exactly one.

    Lobes and vessels together are the lung. Lobes are approximate (planes for fissures) and never truth.
    """

    OUTSIDE = 0
    BODY = 1
    BONE = 2
    MEDIASTINUM = 3
    AIRWAY = 4
    VESSEL_RIGHT = 5
    VESSEL_LEFT = 6
    LOBE_RIGHT_UPPER = 11
    LOBE_RIGHT_MIDDLE = 12
    LOBE_RIGHT_LOWER = 13
    LOBE_LEFT_UPPER = 14
    LOBE_LEFT_LOWER = 15


RIGHT_LUNG = (Label.VESSEL_RIGHT, Label.LOBE_RIGHT_UPPER, Label.LOBE_RIGHT_MIDDLE, Label.LOBE_RIGHT_LOWER)
LEFT_LUNG = (Label.VESSEL_LEFT, Label.LOBE_LEFT_UPPER, Label.LOBE_LEFT_LOWER)
LOBES = tuple(label for label in Label if label.name.startswith("LOBE_"))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Label map of one CT.

    Attributes
    ----------
    labels
        ``Volume`` of uint8 ``Label`` values on the grid of the CT. Right and left are the patient's.
    qc
        Plain numbers for quality control (lung volumes in litres, mean HU, ...), JSON-ready.
    """

    labels: Volume
    qc: dict[str, float | int | str | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels.values.dtype != np.uint8:
            raise DrrxError(
                where="Anatomy",
                found=f"labels of dtype {self.labels.values.dtype}",
                needed="uint8 label values",
                hint="Convert the label map with astype('uint8').",
            )

    def mask(self, *labels: Label) -> NDArray[np.bool_]:
        """Return ``[slice, row, column]`` bool: voxels that have one of ``labels``."""
        table = np.zeros(256, dtype=bool)
        table[list(labels)] = True
        return table[self.labels.values]

    @property
    def lung(self) -> NDArray[np.bool_]:
        """Both lungs with their vessels, ``[slice, row, column]`` bool."""
        return self.mask(*RIGHT_LUNG, *LEFT_LUNG)

    @property
    def body(self) -> NDArray[np.bool_]:
        """Everything inside the skin, ``[slice, row, column]`` bool."""
        return self.labels.values != Label.OUTSIDE
