"""Settings of restoration."""

from typing import Annotated, Literal

from drrx.settings import Field, settings

Gain = Annotated[float, Field(ge=0, le=8)]


@settings
class RestoreCxrSettings:
    """How radiographs are restored."""

    mode: Literal["mean", "sample", "blend"] = Field(
        default="blend",
        description="mean: least error, smoothest; sample: one plausible film, with grain; blend: between both",
    )
    alpha: float = Field(default=1.0, ge=0, le=1, description="share of sample in blend: mean + alpha (sample - mean)")
    grain: tuple[Gain, Gain, Gain, Gain] = Field(
        default=(2.5, 1.3, 0.5, 0.3),
        description="further gain of (sample - mean) in blend, for periods of 2-4, 4-8, 8-16, and 16-32 px and above",
    )
    solver: Literal["ddim", "dpmpp"] = Field(
        default="dpmpp", description="sampler: DDIM with eta 0, or DPM-Solver++ 2M"
    )
    steps: int = Field(default=5, ge=1, le=1000, description="network calls per sample (mean always takes one)")
    quality: Literal["normal", "high"] = Field(
        default="normal", description="high: mean over two shifts against the network's grid, at twice the cost"
    )
    field_mm: float = Field(
        default=430.0, gt=50, le=1000, description="width of the longer image side on the detector, mm"
    )
    tone: Literal["open", "full", "input"] = Field(
        default="open",
        description="grey range of the result: open keeps a good range and opens a hazed one; full is always 0..1 of "
        "the window; input is that of the input",
    )
    low_band: Literal["input", "tone", "free"] = Field(
        default="tone",
        description="what is coarser than lock_sigma_px: input keeps it; tone lets the network change its tones by one "
        "rising curve, but not its structures; free leaves it to the network",
    )
    lock_sigma_px: float = Field(
        default=40.0, ge=8, le=512, description="Gaussian sigma that parts the low band, px of 0.42 mm"
    )
    nodule_mode: Literal["matched", "restored", "additive"] = Field(
        default="matched",
        description="restored: every variant through the network; matched: the restored twin plus the nodule's own "
        "change of the DRR, as strong as the network makes it; additive: the same through the local tone gain alone",
    )
    nodule_condition: bool = Field(
        default=False,
        description="tell the network where nodules are (one map for twin and variants), if its weights know of it",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the network; bfloat16 is for CPUs and GPUs with units for it"
    )
    batch_size: int = Field(
        default=1, ge=1, le=256,
        description="images of one size per network call; 1 keeps an image bit-equal in any company, more is for GPUs",
    )  # fmt: skip
    tile_px: int = Field(default=1536, ge=256, le=8192, description="tile side, px; a larger image is cut in tiles")
    overlap_px: int = Field(default=384, ge=32, le=1024, description="overlap of tiles, px, blended smoothly")
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads; 0 = as torch has it")
    weights: str = Field(default="", description="weights file (.safetensors); empty = the delivered one")
    device: str = Field(
        default="cpu", min_length=1,
        description="cpu; cuda = a free GPU of this machine; auto = cuda where there is one, else cpu; or a torch "
        "device such as cuda:1",
    )  # fmt: skip
