"""Settings of the stage ``annotate_cxr``."""

from drrx.settings import Field, settings


@settings
class AnnotateCxrSettings:
    """Where boxes end, what counts as covered, and when a nodule counts as visible."""

    full_path_mm: float = Field(default=0.2, ge=0, description="full box: path above this, mm")
    full_fraction: float = Field(
        default=0.02, ge=0, lt=1, description="full box: and above this share of the peak path"
    )
    visual_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="visual box and mask: contrast above this share of its peak"
    )
    core_fraction: float = Field(default=0.5, gt=0, lt=1, description="core box: contrast above this share of its peak")
    ring_inner: float = Field(default=1.2, gt=0, description="background ring, inner radius in nodule radii")
    ring_outer: float = Field(default=2.0, gt=0, description="background ring, outer radius in nodule diameters")
    mediastinum_path_mm: float = Field(default=40.0, ge=0, description="covered by mediastinum: path above this, mm")
    bone_path_mm: float = Field(default=3.0, ge=0, description="covered by bone: path above this, mm")
    edge_fraction: float = Field(
        default=0.02, ge=0, lt=0.5, description="truncated: full box nearer to the border than this share of the image"
    )
    min_delta_log_peak: float = Field(
        default=0.01, ge=0, lt=1, description="inserted nodules fainter than this peak of -ln(I/I0) refuse the case"
    )
    max_volume_error: float = Field(
        default=0.05, gt=0, le=1, description="largest share by which an inserted nodule's volume may be off"
    )
    min_delta_hu_ratio: float = Field(
        default=0.8, ge=0, le=1, description="smallest share of the HU asked for that an inserted nodule adds"
    )
    d_prime_subtle: float = Field(default=0.74, gt=0, description="class 1 (subtle) from this d' on (AUC 0.70)")
    d_prime_visible: float = Field(default=1.19, gt=0, description="class 2 (visible) from this d' on (AUC 0.80)")
    d_prime_obvious: float = Field(default=2.5, gt=0, description="class 3 (obvious) from this d' on (AUC 0.96)")
