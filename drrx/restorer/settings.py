"""Settings of restoration."""

from typing import Literal

from drrx.settings import Field, settings


@settings
class RestoreCxrSettings:
    """How radiographs are restored."""

    mode: Literal["mean", "sample", "blend"] = Field(
        default="blend",
        description="mean: least error, smoothest; sample: one plausible film, with grain; blend: between both",
    )
    alpha: float = Field(default=0.5, ge=0, le=1, description="share of sample in blend: mean + alpha (sample - mean)")
    solver: Literal["ddim", "dpmpp"] = Field(default="ddim", description="sampler: DDIM with eta 0, or DPM-Solver++ 2M")
    steps: int = Field(default=5, ge=1, le=1000, description="network calls per sample (mean always takes one)")
    field_mm: float = Field(
        default=430.0, gt=50, le=1000, description="width of the longer image side on the detector, mm"
    )
    tone: Literal["open", "full", "input"] = Field(
        default="open",
        description="grey range of the result: open keeps a good range and opens a hazed one; full is always 0..1 of "
        "the window; input is that of the input",
    )
    lock_sigma_px: float = Field(
        default=40.0, ge=0, le=512,
        description="keep tones of the input coarser than this (Gaussian sigma, px of 0.42 mm); 0 = restore them",
    )  # fmt: skip
    tile_px: int = Field(default=1024, ge=256, le=4096, description="tile side, px; a larger image is cut in tiles")
    overlap_px: int = Field(default=128, ge=32, le=512, description="overlap of tiles, px, blended smoothly")
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads; 0 = as torch has it")
    weights: str = Field(default="", description="weights file (.safetensors); empty = the delivered one")
    device: str = Field(default="cpu", min_length=1, description="cpu, or a torch device such as cuda")
