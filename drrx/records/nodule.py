"""A simulated lung nodule: every drawn number, where it was put, and the small grid on which it exists."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from drrx.errors import DrrxError
from drrx.volume import Volume

Kind = Literal["solid", "part_solid", "ground_glass", "calcified"]
Margin = Literal["smooth", "lobulated", "spiculated", "unknown"]
Attachment = Literal["isolated", "juxtavascular", "juxtapleural"]
Origin = Literal["simulated", "transplanted", "real"]
Zone = Literal["apical", "hilar", "retrocardiac", "subdiaphragm", "free"]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Spicule:
    """One tapered strand that leaves the body along ``direction`` (unit vector x, y, z in the world).

    ``length_mm`` counts from the surface; the thickness falls from ``base_mm`` to ``tip_mm``, and the root is twice as
    wide as the base (``drrx/nodule/strands.py``).
    """

    direction: Triple
    length_mm: float
    base_mm: float
    tip_mm: float


@dataclass(frozen=True)
class Inclusion:
    """A denser part with the shape of the body, ``ratio`` times its size, moved by ``offset`` body radii (x, y, z)."""

    offset: Triple
    ratio: float


@dataclass(frozen=True)
class Texture:
    """Band-limited Gaussian noise inside a nodule: standard deviation in HU, correlation length in mm, its own seed.

    At the correlation length the autocorrelation has fallen to 1/e.
    """

    sd_hu: float
    correlation_mm: float
    seed: int


@dataclass(frozen=True)
class NoduleShape:
    """A star-shaped body: surface distance ``rho(u) = radius E(u) exp(L(u))`` along the unit direction ``u``.

    Attributes
    ----------
    radius_mm
        ``R0``; found so that the occupancy adds up to the volume of the nodule.
    axis_ratios
        ``(1, b/a, c/a)`` of the ellipsoid ``E`` of unit volume, along the columns of ``rotation``.
    rotation
        3 x 3 rows: world x, y, z from the axes of the nodule.
    harmonics
        ``(degree, order, coefficient)`` of the real orthonormal spherical harmonics in ``L``, in the nodule's axes.
    margin_exponent
        ``n`` of the density profile ``(1 - (r/rho)^2)^n``; 0 is a sharp edge.
    spicules
        Strands on the surface.
    inclusions, num_laminae
        Denser parts: the core of a part-solid nodule, grains of calcium; or that many concentric shells of calcium.
    halo_width_mm
        Width of a rim of ground glass outside the body; 0 is none. The halo is not part of the occupancy.
    tags, vessels
        Strands from the body to the pleura, and of vessels that converge on it. They are not part of the occupancy.
    cavity
        A hollow with the shape of the body; its air belongs to the occupancy, as readers measure the whole.
    texture
        Uneven density of body and inclusions; none is homogeneous.
    """

    radius_mm: float
    axis_ratios: Triple
    rotation: tuple[Triple, Triple, Triple]
    harmonics: tuple[tuple[int, int, float], ...]
    margin_exponent: float
    spicules: tuple[Spicule, ...] = ()
    inclusions: tuple[Inclusion, ...] = ()
    num_laminae: int = 0
    halo_width_mm: float = 0.0
    tags: tuple[Spicule, ...] = ()
    vessels: tuple[Spicule, ...] = ()
    cavity: Inclusion | None = None
    texture: Texture | None = None


@dataclass(frozen=True)
class Transplant:
    """A real nodule from a library, turned and scaled.

    Attributes
    ----------
    library_id, sha256
        Name in the library's index, and hash of its two files.
    rotation
        3 x 3 rows: world x, y, z from the world axes of the CT it was cut from.
    scale
        New diameter over its own.
    """

    library_id: str
    sha256: str
    rotation: tuple[Triple, Triple, Triple]
    scale: float


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


@dataclass(frozen=True, eq=False)
class NodulePatch:
    """A nodule on its own fine grid, ready to be projected alone.

    Attributes
    ----------
    occupancy
        float32 ``[z, y, x]`` in 0..1: share of each voxel that is nodule (body and spicules, without halo).
    hu_before, hu_after
        float32 ``[z, y, x]`` HU of the CT on this grid (trilinear) without and with the nodule.
    world_from_index
        float64 ``(4, 4)``: index (z, y, x, 1) of a voxel centre -> LPS mm; axis-aligned, cubes of at most
        0.35 mm; for a real nodule a part of the CT's own grid.
    """

    occupancy: NDArray[np.float32]
    hu_before: NDArray[np.float32]
    hu_after: NDArray[np.float32]
    world_from_index: NDArray[np.float64]

    def __post_init__(self) -> None:
        arrays = (self.occupancy, self.hu_before, self.hu_after)
        shapes, dtypes = {a.shape for a in arrays}, {str(a.dtype) for a in arrays}
        if len(shapes) != 1 or dtypes != {"float32"} or not all(np.isfinite(a).all() for a in arrays):
            raise DrrxError(
                where="NodulePatch", found=f"shapes {sorted(shapes)}, dtypes {sorted(dtypes)}",
                needed="three finite float32 arrays of one shape", hint="Render the nodule again.",
            )  # fmt: skip
        object.__setattr__(self, "world_from_index", Volume(self.occupancy, self.world_from_index).world_from_index)

    @property
    def delta_hu(self) -> NDArray[np.float32]:
        """HU that the nodule adds, ``[z, y, x]``."""
        return self.hu_after - self.hu_before

    @property
    def grid(self) -> Volume:
        """The occupancy as a ``Volume``."""
        return Volume(self.occupancy, self.world_from_index)

    @property
    def volume_mm3(self) -> float:
        """Sum of the occupancy in mm3."""
        return float(self.occupancy.sum(dtype=np.float64)) * self.grid.voxel_volume_mm3


def patches_to_arrays(patches: tuple[NodulePatch, ...]) -> dict[str, NDArray]:
    """Return the arrays of ``nodules.npz``: ``<number from 1>_<field>``; ``patches_from_arrays`` is the inverse."""
    names = [field.name for field in dataclasses.fields(NodulePatch)]
    return {f"{i}_{name}": getattr(patch, name) for i, patch in enumerate(patches, 1) for name in names}


def patches_from_arrays(arrays: dict[str, NDArray]) -> tuple[NodulePatch, ...]:
    """Return the patches, in order, that ``patches_to_arrays`` took apart (an open ``.npz`` is fine)."""
    names = [field.name for field in dataclasses.fields(NodulePatch)]
    count = len([key for key in arrays if key.endswith("_occupancy")])
    return tuple(NodulePatch(**{n: cast("Any", arrays[f"{i}_{n}"]) for n in names}) for i in range(1, count + 1))
