"""Settings of the audit of inserted nodules."""

from drrx.settings import Field, settings


@settings
class EvaluateNodulesSettings:
    """How inserted nodules are looked at."""

    seed: int = Field(default=0, ge=0, description="seed of the choice of pictures and of the matched nodules")
    num_pictures: int = Field(default=24, ge=0, le=120, description="nodules drawn at random for the picture; 0 = none")
    crop_mm: float = Field(
        default=50.0, ge=20, le=120, description="side of the crops of that picture, mm in the chest"
    )
