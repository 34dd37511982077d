"""A lung nodule: every drawn number, where it was put, and what was measured there."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from drrx.errors import DrrxError
from drrx.records.nodule_shape import NoduleShape, Transplant, Triple

Kind = Literal["solid", "part_solid", "ground_glass", "calcified"]
Margin = Literal["smooth", "lobulated", "spiculated", "unknown"]
Attachment = Literal["isolated", "juxtavascular", "juxtapleural"]
Origin = Literal["simulated", "transplanted", "real"]
Zone = Literal["apical", "hilar", "retrocardiac", "subdiaphragm", "free"]


@dataclass(frozen=True)
class NoduleMeasures:
    """What was found after rendering and insertion.

    Attributes
    ----------
    centroid_world_mm
        Centroid of the occupancy, LPS mm; a juxtapleural nodule's lies away from the centre of its uncut body.
    volume_mm3
        Sum of the occupancy times the voxel volume of the fine grid.
    axes_mm, axes_world
        Long, middle and short axis of the ellipsoid with the same second moments, and their unit vectors (x, y, z).
    long_axis_axial_mm, short_axis_axial_mm
        The same in the axial plane of largest area; their mean is the diameter that Lung-RADS asks for.
    solid_core_diameter_mm
        Volume-equivalent diameter of the dense part (0 for pure ground glass).
    hu_lung_local
        Median of lung voxels 3-10 mm outside the nodule, before insertion.
    hu_mean_inserted
        Occupancy-weighted mean HU after insertion.
    delta_hu_ratio
        HU added over HU asked for (occupancy times target minus local lung); below 1 where tissue was there already.
    peak_log_signal
        Largest change of -ln(I) straight through from front to back, with 0.0205 per mm of water.
    pleura_distance_mm
        From the centre to the nearest voxel that is not lung.
    airway_fraction, vessel_fraction, outside_lung_fraction
        Shares of the occupancy.
    zone_fractions
        Shares of the occupancy by the zone that lies over it in a frontal view.
    """

    centroid_world_mm: Triple
    volume_mm3: float
    axes_mm: Triple
    axes_world: tuple[Triple, Triple, Triple]
    long_axis_axial_mm: float
    short_axis_axial_mm: float
    solid_core_diameter_mm: float
    hu_lung_local: float
    hu_mean_inserted: float
    delta_hu_ratio: float
    peak_log_signal: float
    pleura_distance_mm: float
    airway_fraction: float
    vessel_fraction: float
    outside_lung_fraction: float
    zone_fractions: dict[Zone, float]

    @property
    def mean_axis_axial_mm(self) -> float:
        """The diameter of Lung-RADS: mean of long and short axis in the axial plane."""
        return (self.long_axis_axial_mm + self.short_axis_axial_mm) / 2


@dataclass(frozen=True)
class Nodule:
    """One nodule of one variant of a case; with the CT and its anatomy it can be rendered again from these numbers.

    Attributes
    ----------
    nodule_id
        ``n1``, ``n2``, ... within the variant; ``r1``, ``r2``, ... for real nodules of the CT.
    origin
        ``simulated`` from numbers, ``transplanted`` from a library of real nodules, or ``real``: the CT's own.
    seed
        The 63-bit seed of its random streams (for the record: replay uses the numbers, not the seed).
    preset
        Name of the diameter preset.
    kind, margin, attachment
        Type, margin class and neighbourhood. The margin of a real nodule is ``unknown``: a mask does not tell it.
    center_world_mm
        LPS mm; the centroid of the body before a pleura cuts it.
    diameter_mm
        Diameter of the ball whose volume is the sum of the occupancy.
    shape, transplant
        The geometry of a simulated nodule; what was transplanted; both ``None`` for a real one.
    hu_body, hu_inclusion, hu_halo, hu_cavity
        Targets in HU; ``None`` where there is no such part.
    psf_fwhm_mm
        Gaussian blur along (z, y, x) that stands for the scanner; zeros are none.
    grid_spacing_mm
        Voxel edge of the fine grid; for a real nodule the CT's shortest one.
    lobe_approx
        Name of the lobe at the centre; the lobes are planes for fissures, never truth.
    zone
        What lies over the centre in a frontal view (``drrx/nodule/zones.py``).
    num_attempts
        Places tried, this one included.
    measures
        What was found after insertion.
    """

    nodule_id: str
    origin: Origin
    seed: int
    preset: str
    kind: Kind
    margin: Margin
    attachment: Attachment
    center_world_mm: Triple
    diameter_mm: float
    shape: NoduleShape | None
    transplant: Transplant | None
    hu_body: float
    hu_inclusion: float | None
    hu_halo: float | None
    hu_cavity: float | None
    psf_fwhm_mm: Triple
    grid_spacing_mm: float
    lobe_approx: str
    zone: Zone
    num_attempts: int
    measures: NoduleMeasures

    def __post_init__(self) -> None:
        radius_mm = self.diameter_mm / 2 if self.shape is None else self.shape.radius_mm
        if not (self.diameter_mm > 0 and radius_mm > 0 and self.grid_spacing_mm > 0):
            raise DrrxError(
                where=f"Nodule {self.nodule_id}",
                found=f"diameter {self.diameter_mm}, radius {radius_mm}, grid {self.grid_spacing_mm} mm",
                needed="sizes above 0 mm", hint="Sample the nodule again.",
            )  # fmt: skip

    @property
    def consolidation_tumor_ratio(self) -> float:
        """Diameter of the dense part over that of the whole: 0 for pure ground glass, 1 for a solid nodule."""
        return self.measures.solid_core_diameter_mm / self.diameter_mm

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_json`` is the inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Nodule":
        """Return the nodule that ``to_json`` wrote; a missing or wrong value is a ``DrrxError`` that names it."""
        try:
            return TypeAdapter(Nodule).validate_python(data)
        except ValidationError as error:
            first = error.errors()[0]
            raise DrrxError(
                where=f"nodule record, {'.'.join(map(str, first['loc']))}", found=repr(first["input"])[:80],
                needed=first["msg"], hint="Sample the nodules of this variant again.",
            ) from error  # fmt: skip
