"""Settings of the training of MUNIT-LQ."""

from drrx.settings import Field, settings


@settings
class TrainMunitLqSettings:
    """Numbers of one training run; loss weights are those of the paper's street scenes (cycle 10)."""

    minutes: float = Field(default=30.0, gt=0, le=100_000, description="training time, minutes of wall clock")
    steps: int = Field(default=0, ge=0, description="stop after this many steps instead of minutes; 0 = use minutes")
    batch_size: int = Field(default=1, ge=1, le=4096, description="crops of each domain per step")
    crop_px: int = Field(default=256, ge=32, le=2048, description="side of a crop, px of 0.84 mm, a multiple of 16")
    learning_rate: float = Field(default=4e-4, gt=0, lt=1, description="peak learning rate of encoders and decoders")
    critic_rate: float = Field(default=4e-4, gt=0, lt=1, description="peak learning rate of the discriminators")
    warmup_fraction: float = Field(default=0.02, ge=0, le=1, description="share of the run with rising rate")
    decay_fraction: float = Field(
        default=0.50, ge=0, le=1, description="share of the run, at its end, with rate falling to 0"
    )
    weight_decay: float = Field(default=1e-4, ge=0, lt=1, description="weight decay of Adam")
    clip_norm: float = Field(default=10.0, gt=0, description="largest norm of the gradient")
    ema_decay: float = Field(default=0.995, ge=0, lt=1, description="decay per step of the averaged weights")
    image_weight: float = Field(default=10.0, ge=0, description="weight of image reconstruction")
    content_weight: float = Field(default=1.0, ge=0, description="weight of content reconstruction")
    style_weight: float = Field(default=1.0, ge=0, description="weight of style reconstruction")
    cycle_weight: float = Field(default=10.0, ge=0, description="weight of the style-augmented cycle")
    structure_weight: float = Field(default=5.0, ge=0, description="weight of structure consistency")
    critic_weight: float = Field(default=1.0, ge=0, description="weight of the adversarial loss")
    encoded_share: float = Field(
        default=0.5, ge=0, le=1, description="share of drawn styles that are those of real images, not random numbers"
    )
    min_deviation: float = Field(
        default=0.05, ge=0, lt=1, description="crops with a smaller standard deviation (window 0..1) are drawn again"
    )
    shift_share: float = Field(
        default=0.15, ge=0, le=0.5, description="largest shift of a crop off the middle, share of the image's side"
    )
    scale_jitter: float = Field(default=0.10, ge=0, lt=0.5, description="largest change of a crop's scale")
    width: int = Field(default=16, ge=1, le=256, description="channels; the content code has 4 times as many")
    blocks: int = Field(default=3, ge=1, le=16, description="residual blocks of encoders and of decoders")
    critic_width: int = Field(default=16, ge=1, le=256, description="channels of the discriminators")
    style_size: int = Field(default=8, ge=1, le=256, description="length of a style code")
    hidden: int = Field(default=128, ge=1, le=4096, description="hidden units of the decoder's MLP")
    refine: int = Field(default=8, ge=1, le=256, description="channels of the last full-resolution convolutions")
    bank_size: int = Field(default=128, ge=1, le=100_000, description="real DRRs whose styles are stored, at most")
    seed: int = Field(default=0, ge=0, description="master seed")
    save_minutes: float = Field(default=3.0, gt=0, description="minutes between checkpoints")
    figure_minutes: float = Field(default=5.0, gt=0, description="minutes between figures of samples")
