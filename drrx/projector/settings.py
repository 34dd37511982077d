"""Settings of the projection stage."""

from typing import Literal

from drrx.settings import Field, settings


@settings
class ProjectCtSettings:
    """Where source and detector stand, and how many pixels there are."""

    size_px: int = Field(default=1024, ge=32, le=8192, description="rows and columns of the detector, pixels")
    projection: Literal["pa", "ap"] = Field(
        default="pa", description="pa: source behind the patient; ap: source in front of the patient"
    )
    source_to_detector_mm: float = Field(default=1800.0, gt=0, le=10000, description="source to detector, mm")
    source_to_center_mm: float = Field(
        default=1600.0, gt=0, le=10000, description="source to the centre of the CT volume, mm"
    )
    detector_mm: float = Field(default=430.0, gt=0, le=2000, description="side of the square detector, mm")
    device: str = Field(default="cpu", min_length=1, description="cpu, or a torch device such as cuda")
