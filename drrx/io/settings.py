"""Settings of read_ct."""

from typing import Literal

from drrx.settings import Field, settings


@settings
class ReadCtSettings:
    """What a CT must be to get in, and what may be repaired on the way."""

    min_num_slices: int = Field(default=40, ge=2, description="fewest slices; fewer are refused (TOO_FEW_SLICES)")
    min_length_mm: float = Field(default=150.0, ge=0, description="shortest scan from first to last slice, mm")
    max_slice_spacing_mm: float = Field(default=5.0, gt=0, description="widest distance of slices, mm (BAD_SPACING)")
    thick_slice_mm: float = Field(default=3.0, gt=0, description="distance of slices above which a case is flagged, mm")
    max_pixel_spacing_mm: float = Field(default=4.0, gt=0, description="widest pixel in a slice, mm (BAD_SPACING)")
    max_gap_mm: float = Field(
        default=5.0, ge=0, description="widest gap between slices that is filled by interpolation, mm (else SLICE_GAP)"
    )
    max_missing_percent: float = Field(
        default=2.0, ge=0, le=50, description="most slices that may be filled, % of all (one is always allowed)"
    )
    max_tilt_deg: float = Field(default=30.0, gt=0, lt=60, description="largest gantry tilt that is corrected, degrees")
    padding_below_hu: float = Field(
        default=-1100.0, lt=-1000, description="darker voxels are padding and become air (-1000 HU)"
    )
    max_hu: int = Field(default=3071, gt=1000, le=32767, description="brighter voxels (metal) are cut to this, HU")
    nifti_transform: Literal["same", "sform", "qform"] = Field(
        default="same", description="which NIfTI transform to trust; `same` refuses files whose two differ"
    )
    unannotated_nodules: Literal["keep", "refuse"] = Field(
        default="keep",
        description="a CT with has_nodules = yes and no annotations: keep with a flag, or refuse (UNANNOTATED_NODULES)",
    )
    not_supine: Literal["refuse", "keep"] = Field(
        default="refuse",
        description="a patient on the belly or side (DICOM PatientPosition): refuse (NOT_SUPINE), or keep with a flag",
    )
    add_hu: float = Field(
        default=0.0, ge=-4096, le=4096,
        description="added to every voxel, HU: gives CTs that lost their offset (HU_OFFSET) their numbers back",
    )  # fmt: skip
    follow_links: Literal["inside", "any"] = Field(
        default="inside", description="links in a DICOM folder: only to places inside it (else LINK_ESCAPE), or any"
    )
    max_unpacked_mb: int = Field(
        default=8192, ge=1, description="most that is unpacked of a .zip or .tar archive, MiB (TOO_LARGE)"
    )
    decode_memory_mb: int = Field(
        default=2048, ge=256, description="memory of the process that opens DICOM files, MiB (TOO_LARGE)"
    )
    decode_seconds: int = Field(
        default=10, ge=1, description="CPU time for one DICOM file or frame, s; four times as much on the clock"
    )
    max_num_voxels: int = Field(default=1_000_000_000, gt=0, description="largest CT that is read, voxels (TOO_LARGE)")
    max_compression: float = Field(
        default=200.0, ge=1,
        description="a compressed file may unpack to this many times its size if that is more than 64 MB (TOO_LARGE)",
    )  # fmt: skip
