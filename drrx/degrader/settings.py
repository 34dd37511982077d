"""Settings of the making of LQ copies."""

from drrx.settings import Field, settings


@settings
class MakeLqSettings:
    """Which films are copied, how often, and with how many nodules."""

    splits: tuple[str, ...] = Field(default=("train", "val"), description="splits whose films are used")
    copies: int = Field(
        default=1, ge=1, le=1000, description="LQ copies of every film, each with its own nodules and style"
    )
    nodules: int = Field(default=8, ge=0, le=100, description="made nodules in a film of 430 x 430 mm")
    quiet_share: float = Field(
        default=0.65, gt=0, le=1, description="share of the training films used, those of least noise"
    )
    seed: int = Field(default=0, ge=0, description="master seed")
