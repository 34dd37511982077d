"""The geometry of a nodule: a body drawn from numbers, or a real nodule that was turned and scaled."""

from dataclasses import dataclass

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
    real_nodule_id, sha256
        Name in the library's index, and hash of its two files.
    rotation
        3 x 3 rows: world x, y, z from the world axes of the CT it was cut from.
    scale
        New diameter over its own.
    """

    real_nodule_id: str
    sha256: str
    rotation: tuple[Triple, Triple, Triple]
    scale: float
