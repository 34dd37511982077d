"""Settings of the projection stage."""

from typing import Annotated

from drrx.settings import Field, settings

Offset = Annotated[float, Field(ge=-1000, le=1000)]


@settings
class ProjectCtSettings:
    """Where source and detector stand, and how many pixels there are."""

    size_px: int = Field(default=1024, ge=32, le=8192, description="rows and columns of the detector, pixels")
    source_to_detector_mm: float = Field(default=1800.0, gt=0, le=10000, description="source to detector, mm")
    source_to_center_mm: float = Field(
        default=1600.0, gt=0, le=10000,
        description="pa and ap: source to the centre of the CT, mm; source to detector over it is the magnification",
    )  # fmt: skip
    source_to_center_lateral_mm: float = Field(
        default=1530.0, gt=0, le=10000,
        description="lateral: the same; a chest is wider than deep, so its centre is further from the detector",
    )  # fmt: skip
    detector_mm: float = Field(default=430.0, gt=0, le=2000, description="side of the square detector, mm")
    detector_offset_mm: tuple[Offset, Offset] = Field(
        default=(0.0, 0.0), description="middle of the detector right of and below the central ray, mm"
    )
    jitter_rotation_deg: float = Field(
        default=3.0, ge=0, le=30, description="jittered views: turn about the patient's long axis, within +/- degrees"
    )
    jitter_tilt_deg: float = Field(
        default=3.0,
        ge=0,
        le=30,
        description="jittered views: tilt about the image's horizontal axis, within +/- degrees",
    )
    jitter_roll_deg: float = Field(
        default=3.0, ge=0, le=30, description="jittered views: turn in the plane of the image, within +/- degrees"
    )
    jitter_distance_mm: float = Field(
        default=30.0, ge=0, le=500, description="jittered views: source to detector, within +/- mm"
    )
    jitter_shift_mm: float = Field(
        default=10.0, ge=0, le=200, description="jittered views: patient sideways and up or down, within +/- mm each"
    )
    device: str = Field(
        default="cpu", min_length=1,
        description="cpu; cuda = a free GPU of this machine; auto = cuda where there is one, else cpu; or a torch "
        "device such as cuda:1",
    )  # fmt: skip
