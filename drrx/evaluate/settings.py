"""Settings of the evaluation of a restorer."""

from drrx.settings import Field, settings


@settings
class EvaluateRestorerSettings:
    """What is measured on the held-out films."""

    max_films: int = Field(default=0, ge=0, description="use at most so many films of the split; 0 = all")
    alpha: float = Field(default=0.5, ge=0, le=1, description="share of sample in mode blend")
    steps: int = Field(default=5, ge=1, le=1000, description="network calls per sample")
    border_px: int = Field(default=16, ge=0, le=256, description="border left out of the scores, px")
    resamples: int = Field(default=2000, ge=100, description="bootstrap draws over patients for the 95 % interval")
    seed: int = Field(default=0, ge=0, description="master seed of degradations and samples")
