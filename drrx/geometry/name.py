"""Names of views: which standard projection, and whether jittered."""

import re
from dataclasses import dataclass
from typing import Literal, Self, cast

from drrx.errors import DrrxError

Projection = Literal["pa", "ap", "lateral"]
#: DICOM's View Position (0018,5101), and Patient Orientation (0020,0020): where columns and rows of the image run to.
_DICOM: dict[str, tuple[str, tuple[str, str]]] = {
    "pa": ("PA", ("L", "F")), "ap": ("AP", ("L", "F")), "lateral": ("LL", ("P", "F"))
}  # fmt: skip
PROJECTIONS = tuple(_DICOM)
VIEW_NAME_PATTERN = rf"^({'|'.join(PROJECTIONS)})(_[1-9][0-9]*)?$"
VIEW_NAMES = f"{', '.join(PROJECTIONS)}, or one of these with a number, such as pa_1, for a jittered view"


@dataclass(frozen=True)
class ViewName:
    """``pa``, ``ap`` and ``lateral`` are the exact views; ``pa_1``, ``pa_2``, ... are that projection jittered.

    Attributes
    ----------
    projection
        ``pa``: source behind the patient; ``ap``: in front; ``lateral``: at the patient's right, the left side at the
        detector.
    number
        0 for the exact view, else which of the jittered ones.
    """

    projection: Projection = "pa"
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name as it stands in ``views`` of the configuration.

        Raises
        ------
        DrrxError
            It is no name of a view.
        """
        match = re.fullmatch(VIEW_NAME_PATTERN, text)
        if match is None:
            raise DrrxError(
                where="name of a view",
                found=repr(text),
                needed=VIEW_NAMES,
                hint="Spell it as docs/conventions.md does.",
            )
        return cls(cast("Projection", match[1]), int((match[2] or "_0")[1:]))

    def __str__(self) -> str:
        return f"{self.projection}_{self.number}" if self.is_jittered else self.projection

    @property
    def is_jittered(self) -> bool:
        """Whether the patient and the source are moved a little from the standard position."""
        return self.number > 0

    @property
    def view_position(self) -> str:
        """DICOM's View Position: ``PA``, ``AP`` or ``LL`` (left lateral)."""
        return _DICOM[self.projection][0]

    @property
    def patient_orientation(self) -> tuple[str, str]:
        """DICOM's Patient Orientation: what lies at the image's right (L left, P posterior) and bottom (F foot)."""
        return _DICOM[self.projection][1]
