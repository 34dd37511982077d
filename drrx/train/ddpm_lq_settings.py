"""Settings of the training of DDPM-LQ."""

from drrx.settings import Field, settings


@settings
class TrainDdpmLqSettings:
    """Numbers of one training run of DDPM-LQ, the diffusion model of DRRs."""

    minutes: float = Field(default=25.0, gt=0, le=100_000, description="training time, minutes of wall clock")
    steps: int = Field(default=0, ge=0, description="stop after this many steps instead of minutes; 0 = use minutes")
    batch_size: int = Field(default=6, ge=1, le=4096, description="crops per step")
    crop_px: int = Field(default=192, ge=32, le=1024, description="side of a crop, px of 0.84 mm, a multiple of 32")
    crops_per_view: int = Field(default=3, ge=1, le=64, description="crops cut from one disguised DRR")
    tone: float = Field(default=1.0, ge=0, le=4, description="gain of the tones in the structure map; 0 = band-pass")
    detail: float = Field(default=0.2, gt=0, le=4, description="gain of the detail in the structure map")
    learning_rate: float = Field(default=1e-3, gt=0, lt=1, description="peak learning rate of AdamW")
    warmup_fraction: float = Field(default=0.02, ge=0, le=1, description="share of the run with rising rate")
    decay_fraction: float = Field(
        default=0.40, ge=0, le=1, description="share of the run, at its end, with rate falling to 0"
    )
    weight_decay: float = Field(default=0.01, ge=0, lt=1, description="weight decay of AdamW")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="decay per step of the averaged weights")
    terminal_share: float = Field(default=0.25, ge=0, le=1, description="share of a batch at pure noise")
    snr_shift: float = Field(default=2.0, gt=0, le=64, description="the signal-to-noise ratio is divided by this")
    scale_crops: int = Field(default=192, ge=1, description="crops from which the scale of the bands is measured")
    widths: tuple[int, ...] = Field(
        default=(24, 48, 96, 128), description="channels on the grids of 1/4, 1/8, 1/16, ... of the image"
    )
    blocks: tuple[int, ...] = Field(default=(1, 1, 2, 2), description="residual blocks per grid")
    embedding: int = Field(default=96, ge=4, le=2048, description="length of the time embedding")
    refine: int = Field(default=8, ge=1, le=256, description="channels of the last full-resolution convolution")
    sample_steps: int = Field(default=5, ge=1, le=1000, description="steps by which the trained model draws a copy")
    alpha: float = Field(default=0.5, ge=0, le=1, description="share of the sample in a copy, the rest is the mean")
    seed: int = Field(default=0, ge=0, description="master seed")
    save_minutes: float = Field(default=3.0, gt=0, description="minutes between checkpoints, each with a figure")
