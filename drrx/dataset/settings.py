"""Settings of the stage ``collect_dataset``."""

from typing import Literal

from drrx.settings import Field, settings

FormatName = Literal[
    "coco", "node21", "vindr", "nih", "yolo", "imagefolder", "masks", "luna", "path_maps"
]  # fmt: skip
DEFAULT_FORMATS: tuple[FormatName, ...] = ("coco", "node21", "vindr", "nih", "yolo", "imagefolder", "masks", "luna")
DEFAULT_SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


@settings
class CollectDatasetSettings:
    """How the data set's folder is laid out."""

    formats: tuple[FormatName, ...] = Field(
        default=DEFAULT_FORMATS,
        description="what is written beside images and tables; path_maps = mm inside each nodule, float32 TIFF",
    )
    split_shares: dict[str, float] = Field(
        default=DEFAULT_SHARES, description="shares of the splits; a hash of the patient chooses, for good"
    )
    dicom: Literal["none", "dx", "dx+seg"] = Field(
        default="none",
        description="dx = every CXR as DICOM too, Digital X-Ray for presentation; dx+seg = and its masks (highdicom)",
    )
    date_published: str | None = Field(
        default=None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="YYYY-MM-DD for croissant.json; none = not published"
    )
    image_files: Literal["link", "copy"] = Field(
        default="link", description="link = images share the disk space of the case's own files, copy = independent"
    )
    preview_px: int = Field(
        default=256, ge=64, le=2048, description="long side of the thumbnails in index.html and contact_sheet.png, px"
    )
    contact_rows: int = Field(default=12, ge=1, le=200, description="rows of contact_sheet.png")
