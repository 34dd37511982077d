"""Settings of the projector's benchmark."""

from drrx.settings import Field, settings


@settings
class BenchmarkProjectorSettings:
    """What is measured, how often and for how long."""

    sizes_px: tuple[int, ...] = Field(
        default=(512, 1024, 2048), min_length=1, description="rows and columns of the detector, pixels"
    )
    threads: tuple[int, ...] = Field(default=(1, 2), min_length=1, description="threads a projector may use")
    runs: int = Field(default=5, ge=1, le=100, description="timed runs after a warm-up; the median counts")
    budget_s: float = Field(
        default=20.0, gt=0, description="no further timed run, and no larger detector, once this is used, s"
    )
    limit_s: float = Field(default=900.0, gt=0, description="a projector that takes longer in all is stopped, s")
    accuracy_px: int = Field(
        default=1024, ge=0, le=4096, description="detector for the closed forms, px; 0 = leave out"
    )
    peers: tuple[str, ...] = Field(default=(), description="peers to run, as in the table; none = all")
    seed: int = Field(default=1, ge=0, description="phantom to draw when no CT is given")
