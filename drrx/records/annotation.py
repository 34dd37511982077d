"""What is true about each nodule in one radiograph.

Pixel convention of every ``x, y`` here: continuous coordinates whose origin is the top-left corner of pixel (0, 0), so
the centre of pixel ``[row, column]`` is ``x = column + 0.5, y = row + 0.5``. A box is ``(x, y, width, height)``.
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from drrx.errors import DrrxError
from drrx.records.nodule import Nodule
from drrx.records.nodule_shape import Triple
from drrx.records.variant import Role

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class Rle:
    """COCO's compressed run lengths of a mask (column-major); ``size`` is rows, columns."""

    size: tuple[int, int]
    counts: str


@dataclass(frozen=True)
class Signal:
    """How a nodule shows in one displayed image (values 0..1, bone white); differences are against its twin.

    Attributes
    ----------
    contrast_mean, contrast_peak
        Mean over the visual mask and largest value of positive minus twin.
    background_sd
        Standard deviation of the twin in the ring around the nodule: anatomy and noise.
    cnr
        ``contrast_mean / background_sd``.
    d_prime
        Detectability by a zero-mean matched filter against the anatomy around; a proxy, not a reader.
    visibility_class
        0 hidden, 1 subtle, 2 visible, 3 obvious: limits on ``d_prime``.
    """

    contrast_mean: float
    contrast_peak: float
    background_sd: float
    cnr: float
    d_prime: float
    visibility_class: int


@dataclass(frozen=True)
class Overlap:
    """What lies on the rays through a nodule, weighted with its path length.

    Attributes
    ----------
    mediastinum_fraction, bone_fraction
        Share of the nodule behind or before more mediastinum, more bone, than the settings' limits.
    lung_path_mm, mediastinum_path_mm, bone_path_mm
        Mean path through each, mm.
    subdiaphragm_fraction
        Share of the nodule below the dome of the diaphragm in a frontal view (``NoduleMeasures.zone_fractions``).
    vessel_fraction
        Share of the nodule that took the place of vessels (``NoduleMeasures.vessel_fraction``).
    """

    mediastinum_fraction: float
    bone_fraction: float
    lung_path_mm: float
    mediastinum_path_mm: float
    bone_path_mm: float
    subdiaphragm_fraction: float
    vessel_fraction: float


@dataclass(frozen=True)
class Annotation:
    """One nodule in one radiograph.

    Attributes
    ----------
    nodule
        The whole 3-D record: type, sizes, HU, place, every drawn number.
    center_index_zyx
        Its centroid as fractional voxel index of the canonical CT; ``None`` where the CT's grid is not known.
    center_px, centroid_px
        Projection of the 3-D centroid, and path-weighted centroid of the shadow, ``(x, y)``. In a cone beam they
        differ: what lies nearer to the source is magnified more.
    magnification
        Source-detector over source-nodule distance; detector millimetres divided by it are patient millimetres.
    bbox_full, bbox_visual, bbox_core
        Box of path > max(0.2 mm, 2 % of its peak); of contrast > 20 % of its peak (for detectors); > 50 %.
    mask, area_px
        The visual mask and its number of pixels.
    diameter_detector_mm, diameter_patient_mm
        Diameter of the disc with the mask's area on the detector, and divided by ``magnification``.
    peak_path_mm
        Longest path through the nodule, mm.
    delta_log_peak, delta_log_mean
        Change of -ln(I/I0) by the nodule alone (no scatter, no noise): peak, and mean over the visual mask.
    contrast_primary, contrast_total
        Share of the radiation that the nodule takes away where it is strongest: of the primary beam,
        ``1 - exp(-delta_log_peak)``, and of primary and scatter together; ``None`` where the scatter is not known.
    truncated
        The full box comes near the border of the image, or is cut by it.
    overlap
        What lies before and behind.
    before, after
        Signal in the DRR and in the restored CXR (``None`` without a CXR).
    contrast_transfer_ratio
        Slope of the CXR's difference against the DRR's within the full mask; 1 keeps the nodule as it was.
    visibility_class, truth_visible
        Class in the last image there is, the CXR or else the DRR; whether it is 2 or 3.
    """

    nodule: Nodule
    center_index_zyx: Triple | None
    center_px: Point
    centroid_px: Point
    magnification: float
    bbox_full: Box
    bbox_visual: Box
    bbox_core: Box
    mask: Rle
    area_px: int
    diameter_detector_mm: float
    diameter_patient_mm: float
    peak_path_mm: float
    delta_log_peak: float
    delta_log_mean: float
    contrast_primary: float
    contrast_total: float | None
    truncated: bool
    overlap: Overlap
    before: Signal
    after: Signal | None
    contrast_transfer_ratio: float | None
    visibility_class: int
    truth_visible: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_json`` is the inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Annotation":
        """Return the annotation that ``to_json`` wrote."""
        return _validate(Annotation, data)


@dataclass(frozen=True)
class ImageAnnotation:
    """All nodules in one radiograph.

    Attributes
    ----------
    image_id, case, variant, view
        Where it belongs.
    role
        What the variant is there for (``variant_role``).
    pair_id
        ``<case>_<view>``: what all variants of a view share.
    width, height
        Number of columns and rows.
    nodules
        Inserted nodules and those the CT had; empty for most twins.
    outside_view
        Ids of the CT's own nodules that the view does not show.
    leakage
        Energy (sum of squares) of CXR minus CXR twin outside all full masks, over the energy inside: what restoration
        changed elsewhere because of the nodules. ``None`` without a CXR or without nodules.
    facts
        How the image was made, JSON-ready: CT, geometry, physics, display curve, restorer, seeds, versions.
    """

    image_id: str
    case: str
    variant: str
    view: str
    role: Role
    pair_id: str
    width: int
    height: int
    nodules: tuple[Annotation, ...] = ()
    outside_view: tuple[str, ...] = ()
    leakage: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_json`` is the inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ImageAnnotation":
        """Return the record that ``to_json`` wrote."""
        return _validate(ImageAnnotation, data)


@functools.cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _validate(cls: type, data: dict[str, Any]) -> Any:
    try:
        return _adapter(cls).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise DrrxError(
            where=f"annotation record, {'.'.join(map(str, first['loc']))}", found=repr(first["input"])[:80],
            needed=first["msg"], hint="Annotate this image again.",
        ) from error  # fmt: skip
