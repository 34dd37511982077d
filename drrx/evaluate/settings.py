"""Settings of the evaluation of a restorer."""

from typing import Literal

from drrx.settings import Field, settings

Part = Literal["matrix", "steps", "cost", "noise", "realism", "nodules", "pictures", "grain"]
Degradation = Literal["munit_lq", "ddpm_lq", "physics", "bicubic", "identity"]
Mode = Literal["mean", "sample", "blend"]


@settings
class EvaluateRestorerSettings:
    """What is measured on the held-out films."""

    parts: tuple[Part, ...] = Field(
        default=("matrix", "steps", "cost", "noise", "realism", "nodules", "pictures"), min_length=1,
        description="parts to measure; the others stay in the report as they are (grain: fit that setting to --drrs)",
    )  # fmt: skip
    degradations: tuple[Degradation, ...] = Field(
        default=("munit_lq", "ddpm_lq", "physics", "bicubic", "identity"), min_length=1,
        description="how the test films are degraded",
    )  # fmt: skip
    matrix_mode: Mode = Field(default="mean", description="mode of every system in the matrix")
    modes: tuple[Mode, ...] = Field(
        default=("mean", "sample", "blend"), description="modes of the delivered system beside it"
    )
    max_films: int = Field(default=0, ge=0, description="use at most so many films of the split; 0 = all")
    curve_films: int = Field(default=8, ge=1, description="films of the curve of quality against steps")
    curve_degradation: Degradation = Field(default="physics", description="degradation of that curve")
    curve_steps: tuple[int, ...] = Field(
        default=(1, 2, 3, 4, 5, 6, 8, 12, 20), min_length=1, description="network calls of that curve"
    )
    curve_alphas: tuple[float, ...] = Field(
        default=(0.0, 0.25, 0.5, 0.75, 1.0), min_length=1, description="shares of sample of that curve"
    )
    max_drrs: int = Field(default=48, ge=1, description="DRRs to restore, at most; evenly from all cases")
    held_out: tuple[str, ...] = Field(
        default=(), description="cases of --drrs that no training saw; the realism test judges on these"
    )
    realism_films: int = Field(default=80, ge=1, description="training films that the realism test learns from")
    realism_steps: int = Field(default=500, ge=1, description="training steps of the classifier of the realism test")
    cost_px: int = Field(default=1024, ge=256, le=4096, description="side of the timed image, px")
    cost_runs: int = Field(default=5, ge=1, le=100, description="timed runs of each mode after a warm-up; median")
    paper_calls: int = Field(default=3, ge=0, le=100, description="timed calls of the paper's network; 0 = leave out")
    border_px: int = Field(default=16, ge=0, le=64, description="border left out of the scores, px")
    resamples: int = Field(default=2000, ge=100, description="bootstrap draws over patients for the 95 % interval")
    jobs: int = Field(default=1, ge=1, le=256, description="processes that share the films of the matrix")
    threads: int = Field(default=2, ge=1, le=256, description="CPU threads of all processes together")
    seed: int = Field(default=0, ge=0, description="master seed of degradations and samples")
