"""Settings of segment_anatomy."""

from drrx.settings import Field, settings


@settings
class SegmentAnatomySettings:
    """Thresholds and sizes of the classical segmentation, and what makes a case unfit."""

    work_spacing_mm: float = Field(default=2.0, ge=0.8, le=4.0, description="voxel size on which shapes are found, mm")
    body_hu: float = Field(default=-400.0, ge=-800, le=-100, description="tissue is brighter than this, HU")
    lung_hu: float = Field(default=-400.0, ge=-600, le=-200, description="lung is darker than this, HU")
    closing_mm: float = Field(
        default=12.0, gt=0, le=30, description="ball that closes the lungs over vessels and nodules at the pleura, mm"
    )
    costal_closing_mm: float = Field(
        default=30.0, ge=0, le=60, description="disc that closes the lungs at the chest wall, mm (0: as closing_mm)"
    )
    vessel_hu: float = Field(default=-500.0, ge=-800, le=0, description="vessels in the lung are brighter, HU")
    bone_hu: float = Field(default=180.0, ge=100, le=400, description="bone is brighter than this, HU")
    min_lungs_litre: float = Field(default=1.0, gt=0, description="both lungs together, litres (else NO_LUNGS)")
    min_lung_litre: float = Field(default=0.15, gt=0, description="the smaller lung, litres (else NO_LUNGS)")
    max_lung_cut_mm: float = Field(
        default=10.0, ge=0, description="most lung that may be missing above or below the CT, mm, estimated (LUNG_CUT)"
    )
