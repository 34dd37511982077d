"""Settings of the stage ``make_phantom``."""

from typing import Literal

from drrx.settings import Field, settings


@settings
class MakePhantomSettings:
    """Grid, sex and noise of a drawn thorax CT. Everything else about the body is drawn from the seed."""

    sex: Literal["drawn", "female", "male"] = Field(
        default="drawn", description="sex of the phantom; 'drawn' lets the seed decide"
    )
    in_plane_mm: float = Field(default=0.9, ge=0.5, le=8.0, description="row and column spacing of the CT in mm")
    slice_mm: float = Field(default=1.5, ge=0.5, le=8.0, description="slice spacing of the CT in mm")
    width_mm: float = Field(
        default=440.0, ge=380.0, le=600.0, description="extent from the patient's right to left in mm"
    )
    depth_mm: float = Field(
        default=316.0, ge=300.0, le=500.0, description="extent from front to back in mm, table included"
    )
    height_mm: float = Field(default=414.0, ge=340.0, le=600.0, description="extent from foot end to head end in mm")
    noise_sd_hu: float = Field(
        default=16.0, ge=0.0, le=60.0, description="standard deviation of the CT noise in soft tissue in HU"
    )
