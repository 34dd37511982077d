"""Settings of the stage ``sample_nodules``; where the numbers come from is said in ``drrx/nodule/model.py``."""

from typing import Annotated, Literal

from drrx.records.nodule import Zone
from drrx.settings import Field, settings


@settings
class SampleNodulesSettings:
    """How many nodules, of what size and type, and where they may lie."""

    num_variants: int = Field(default=2, ge=0, le=100, description="sets of nodules per case, besides the twin")
    num_shams: int = Field(
        default=0, ge=0, le=100, description="of how many of those, from the first, a sham is made: lung for nodule"
    )
    num_nodules: int = Field(default=1, ge=1, le=3, description="nodules in each variant")
    num_nodules_max: int | None = Field(
        default=None, ge=1, le=3, description="draw the number evenly from num_nodules to this; none = num_nodules"
    )
    preset: Literal["cxr", "screening", "missed", "visible", "hidden"] = Field(
        default="cxr",
        description="cxr (6-30 mm), screening (4-30), missed (6-34); visible: solid in free lung; hidden: elsewhere",
    )
    diameter_min_mm: float | None = Field(default=None, gt=0, le=60, description="smallest diameter, mm; none = preset")
    diameter_max_mm: float | None = Field(default=None, gt=0, le=60, description="largest diameter, mm; none = preset")
    kind: Literal["mix", "solid", "part_solid", "ground_glass", "calcified"] = Field(
        default="mix",
        description="type; mix = the preset's: 70 % solid, 12 % part-solid, 10 % ground glass, 8 % calcified",
    )
    margin: Literal["mix", "smooth", "lobulated", "spiculated"] = Field(
        default="mix", description="margin; mix = shares that depend on the diameter"
    )
    lobe_weights: Literal["malignant", "uniform", "missed_ct"] = Field(
        default="malignant",
        description="malignant = upper lobes preferred, uniform = by volume, missed_ct = 12 regions (Miki 2020)",
    )
    zone_weights: dict[Zone, Annotated[float, Field(ge=0)]] = Field(
        default={},
        description="weights of apical, hilar, retrocardiac, subdiaphragm, free; left out is 0; {} = the preset's",
    )
    outer_share: float | None = Field(
        default=0.85,
        ge=0,
        le=1,
        description="share of nodules off the pleura in the outer two thirds of the lung; none = by volume",
    )
    solid_hu_mean: float = Field(
        default=50.0, ge=-100, le=200, description="mean of solid tissue, HU; 70-100 suits a contrast-enhanced CT"
    )
    cavity_share: float = Field(
        default=0.05, ge=0, le=1, description="share of solid nodules above 15 mm with a cavity"
    )
    texture: bool = Field(default=True, description="uneven density inside: 70 HU in solid, 90 in ground glass")
    strands: bool = Field(default=True, description="tags to the pleura and vessels that converge, more on large ones")
    juxtavascular_share: float = Field(default=0.3, ge=0, le=1, description="share that touches a vessel")
    juxtapleural_share: float = Field(default=0.15, ge=0, le=1, description="share that touches the pleura")
    nodule_library: str = Field(
        default="",
        description="folder of real nodules (docs/nodules.md) to transplant beside simulated ones; '' = none",
    )
    transplant_share: float = Field(default=0.5, ge=0, le=1, description="share of nodules taken from it")
    transplant_scale_min: float = Field(
        default=0.8, ge=0.5, le=1, description="a real nodule may shrink to this times its diameter"
    )
    transplant_scale_max: float = Field(
        default=1.25, ge=1, le=2, description="and grow to this times; more makes its texture coarse"
    )
    transplant_tilt_deg: float = Field(
        default=15.0, ge=0, le=180, description="and lean this far; it is turned about the head axis by any angle"
    )
    blur: Literal["scan", "fixed", "none"] = Field(
        default="scan", description="scan = as blurred as the CT, measured on its skin; fixed = by psf_fwhm_mm; or none"
    )
    psf_fwhm_mm: float = Field(
        default=1.0, gt=0, le=3, description="in-plane width of a fixed blur, or where the skin shows too little, mm"
    )
    psf_axial_max_mm: float = Field(
        default=3.0, gt=0, le=10, description="upper limit of the axial width, mm (else measured, or the slice spacing)"
    )
    grid_spacing_mm: float = Field(
        default=0.35, ge=0.1, le=0.35, description="voxel edge of the nodule's grid, mm; below 6.3 mm of diameter finer"
    )
    min_diameter_slices: float = Field(
        default=2.5, ge=1, le=5, description="smallest diameter in slice spacings: 5 mm slices take 12.5 mm and more"
    )
    max_attempts: int = Field(default=200, ge=1, le=10000, description="places tried per nodule before giving up")
    edge_margin_mm: float = Field(default=10.0, ge=0, le=50, description="distance kept from first and last slice, mm")
    lung_hu_min: float = Field(default=-980.0, ge=-1024, description="darkest local lung that takes a nodule, HU")
    lung_hu_max: float = Field(default=-650.0, le=-300, description="brightest local lung that takes a nodule, HU")
