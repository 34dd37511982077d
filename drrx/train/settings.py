"""Settings of the training of DDPM-HQ and of its bicubic twin."""

from drrx.settings import Field, settings


@settings
class TrainDdpmHqSettings:
    """Numbers of one training run; docs/model_card.md tells those of the delivered weights."""

    minutes: float = Field(default=90.0, gt=0, le=100_000, description="training time, minutes of wall clock")
    steps: int = Field(default=0, ge=0, description="stop after this many steps instead of minutes; 0 = use minutes")
    batch_size: int = Field(default=8, ge=1, le=4096, description="crops per step, over all processes")
    crop_px: int = Field(default=256, ge=32, le=2048, description="side of a crop, px of 0.42 mm, a multiple of 32")
    late_crop_px: int = Field(
        default=512, ge=0, le=2048,
        description="side of the crops in the last part of the run, so that it sees more of the image; 0 = as crop_px",
    )  # fmt: skip
    late_fraction: float = Field(default=0.3, ge=0, le=1, description="share of the run with the larger crops")
    share_munit_lq: float = Field(default=0.35, ge=0, description="share of pairs made by MUNIT-LQ (--pairs)")
    share_ddpm_lq: float = Field(default=0.35, ge=0, description="share of pairs made by DDPM-LQ (--pairs)")
    share_physics: float = Field(default=0.20, ge=0, description="share of pairs degraded by formula, like a DRR")
    share_bicubic: float = Field(default=0.05, ge=0, description="share of pairs shrunk by bicubic interpolation")
    share_identity: float = Field(default=0.05, ge=0, description="share of pairs that are left as they are")
    learning_rate: float = Field(default=8e-4, gt=0, lt=1, description="peak learning rate of AdamW")
    warmup_fraction: float = Field(default=0.02, ge=0, le=1, description="share of the run with rising rate")
    decay_fraction: float = Field(
        default=0.40, ge=0, le=1, description="share of the run, at its end, with rate falling to 0"
    )
    weight_decay: float = Field(default=0.01, ge=0, lt=1, description="weight decay of AdamW")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="decay per step of the averaged weights")
    terminal_share: float = Field(
        default=0.25, ge=0, le=1, description="share of the crops at pure noise, which trains mode mean"
    )
    nodule_share: float = Field(
        default=0.5, ge=0, le=1, description="share of crops with made nodules (ready pairs hold theirs)"
    )
    nodule_weight: float = Field(default=6.0, ge=0, le=100, description="extra loss weight inside made nodules")
    nodule_map_share: float = Field(
        default=0.5, ge=0, le=1, description="share of crops whose nodule map is shown to the network"
    )
    condition_noise: float = Field(
        default=0.04, ge=0, le=0.5, description="largest deviation of noise added to the input, shares of its window"
    )
    snr_shift: float = Field(default=2.0, gt=0, le=64, description="the signal-to-noise ratio is divided by this")
    quiet_share: float = Field(
        default=0.65, gt=0, le=1, description="share of the training films kept, those of least noise"
    )
    max_films: int = Field(default=0, ge=0, description="use at most so many films; 0 = all")
    scale_crops: int = Field(default=192, ge=4, description="crops measured to scale the residual's Haar bands")
    widths: tuple[int, ...] = Field(
        default=(32, 64, 128, 192), description="channels on the grids of 1/4, 1/8, 1/16, ... of the image"
    )
    blocks: tuple[int, ...] = Field(default=(1, 2, 2, 2), description="residual blocks per grid")
    embedding: int = Field(default=128, ge=4, le=2048, description="length of the time embedding")
    refine: int = Field(default=8, ge=1, le=256, description="channels of the last full-resolution convolution")
    seed: int = Field(default=0, ge=0, description="master seed")
    save_minutes: float = Field(default=3.0, gt=0, description="minutes between checkpoints")
    figure_steps: int = Field(
        default=500, ge=0, description="steps between figures of samples and scores on validation films; 0 = none"
    )
    tensorboard: bool = Field(default=False, description="write the log for TensorBoard too")

    def shares(self) -> dict[str, float]:
        """Return the share of each kind of pair by its name."""
        kinds = ("munit_lq", "ddpm_lq", "physics", "bicubic", "identity")
        return {kind: getattr(self, f"share_{kind}") for kind in kinds}


@settings
class TrainSettings:
    """What the workflow's training targets work on; the numbers of each run are options of its command."""

    images: str = Field(default="", description="table (CSV) or folder of real radiographs; needed for training")
    drrs: tuple[str, ...] = Field(
        default=("results",),
        description="folders of DRRs to learn the look of, DIR or DIR=WEIGHT, real ones first",
    )
    held_out: tuple[str, ...] = Field(default=(), description="cases of those folders to keep out of training")
    copies: int = Field(default=2, ge=1, le=1000, description="LQ copies of every radiograph and degrader")
    minutes_lq: float = Field(default=30.0, gt=0, description="training time of MUNIT-LQ and of DDPM-LQ, minutes each")
    minutes_hq: float = Field(default=90.0, gt=0, description="training time of DDPM-HQ and of its bicubic twin, each")
    device: str = Field(default="cpu", pattern="^(cpu|cuda)$", description="cpu or cuda")
