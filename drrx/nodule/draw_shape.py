"""Draw the numbers of a body: ellipsoid, bumps, spicules, and what lies inside."""

from dataclasses import replace
from math import pi, sqrt

import numpy as np

from drrx.nodule.strands import strand_volume_mm3
from drrx.nodule.surface import body_volume_mm3
from drrx.records.nodule import Margin
from drrx.records.nodule_shape import Inclusion, NoduleShape, Spicule, Triple

CALCIUM_PATTERNS = ("diffuse", "central", "laminated", "popcorn")
# highest degree, least and largest rms, fall of the amplitude with the degree; a steep fall is an egg, not lobes.
# Axes and rms are as large as the outlines of 40 real nodules ask for (docs/nodules.md, "How they compare").
BUMPS: dict[Margin, tuple[int, float, float, float]] = {
    "smooth": (4, 0.06, 0.12, 1.5), "lobulated": (6, 0.10, 0.20, 1.0), "spiculated": (8, 0.09, 0.18, 1.0),
}  # fmt: skip
MIN_WALL_MM, MAX_WALL_MM = 2.0, 6.0
SOFT_RIM_MM = 14.0


def fit_radius(shape: NoduleShape, diameter_mm: float) -> NoduleShape:
    """Return the shape with the radius at which body and spicules have the volume of a ball of ``diameter_mm``."""
    target = pi / 6 * diameter_mm**3 - sum(strand_volume_mm3(s) for s in shape.spicules)
    unit = body_volume_mm3(shape) / shape.radius_mm**3
    return replace(shape, radius_mm=float((max(target, 0.3 * pi / 6 * diameter_mm**3) / unit) ** (1 / 3)))


def draw_body(rng: np.random.Generator, margin: Margin, diameter_mm: float) -> NoduleShape:
    """Draw ellipsoid, bumps, margin and spicules of a margin class; the radius still is half the diameter."""
    low_b, low_c = {"smooth": (0.70, 0.60)}.get(margin, (0.60, 0.50))
    ratios = (1.0, float(rng.uniform(low_b, 1)), float(rng.uniform(low_c, 1)))
    degrees, low_rms, high_rms, fall = BUMPS[margin]
    exponent = rng.uniform(0.1, 0.5) if margin == "spiculated" else rng.uniform(0, 0.25)
    exponent *= min(1.0, SOFT_RIM_MM / diameter_mm)  # the profile is relative, but a rim does not widen with the nodule
    return NoduleShape(
        radius_mm=diameter_mm / 2, axis_ratios=ratios, rotation=draw_rotation(rng),
        harmonics=_draw_harmonics(rng, degrees, fall, rng.uniform(low_rms, high_rms)),
        margin_exponent=float(exponent), spicules=_draw_spicules(rng, margin, diameter_mm),
    )  # fmt: skip


def draw_rotation(rng: np.random.Generator) -> tuple[Triple, Triple, Triple]:
    """Draw a uniform random rotation, 3 x 3 rows, from a unit quaternion."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    matrix = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    rows = [(float(a), float(b), float(c)) for a, b, c in matrix]
    return rows[0], rows[1], rows[2]


def _draw_harmonics(
    rng: np.random.Generator, degrees: int, fall: float, rms: float
) -> tuple[tuple[int, int, float], ...]:
    """Coefficients of degrees 2..``degrees``, amplitude falling as l^-fall; ``rms`` of the field over the sphere."""
    orders = [(degree, order) for degree in range(2, degrees + 1) for order in range(-degree, degree + 1)]
    values = rng.normal(size=len(orders)) * np.array([degree**-fall for degree, _ in orders])
    values *= rms * sqrt(4 * pi) / np.linalg.norm(values)
    return tuple((degree, order, float(value)) for (degree, order), value in zip(orders, values, strict=True))


def _draw_direction(rng: np.random.Generator) -> Triple:
    x, y, z = (v := rng.normal(size=3)) / np.linalg.norm(v)
    return float(x), float(y), float(z)


def _draw_spicules(rng: np.random.Generator, margin: Margin, diameter_mm: float) -> tuple[Spicule, ...]:
    """Many tapered strands on a spiculated nodule, up to two blunt ones on a lobulated one."""
    if margin == "smooth":
        return ()
    radius = diameter_mm / 2
    if margin == "lobulated":
        return tuple(
            Spicule(_draw_direction(rng), float(rng.uniform(0.1, 0.2) * radius), float(rng.uniform(1, 2)), 0.8)
            for _ in range(rng.integers(0, 3))
        )
    count = int(np.clip(round(8 + 0.8 * diameter_mm), 10, 30))
    lengths = np.clip(rng.uniform(0.2, 0.8, count) * radius, min(2.0, 0.5 * radius), 10)
    bases = np.minimum(rng.uniform(0.8, 2.0, count), max(0.6, 0.12 * diameter_mm))  # small nodules are not all spikes
    return tuple(
        Spicule(_draw_direction(rng), float(length), float(base), 0.3)
        for length, base in zip(lengths, bases, strict=True)
    )


def fade_edge(rng: np.random.Generator, shape: NoduleShape) -> NoduleShape:
    """Let the edge of ground glass fade: 0.2-0.7 more in the exponent of the profile."""
    return replace(shape, margin_exponent=shape.margin_exponent + float(rng.uniform(0.2, 0.7)))


def add_core(rng: np.random.Generator, shape: NoduleShape) -> NoduleShape:
    """Put the solid core into a part-solid nodule: 0.25-0.75 of its size, up to 0.2 radii off the middle.

    It is one lump with one or two smaller ones on its flank: a single copy of the body would be a bull's eye.
    """
    ratio = float(rng.uniform(0.25, 0.75))
    main = _draw_inclusion(rng, 0.9 * ratio, min(0.2, 1 - ratio))
    lumps = []
    for _ in range(rng.integers(1, 3)):
        direction, size = np.array(_draw_direction(rng)), float(rng.uniform(0.4, 0.7) * ratio)
        x, y, z = np.array(main.offset) + direction * ratio * rng.uniform(0.6, 0.9)
        lumps.append(Inclusion((float(x), float(y), float(z)), size))
    return replace(shape, inclusions=(main, *lumps))


def add_calcium(rng: np.random.Generator, shape: NoduleShape, diameter_mm: float) -> NoduleShape:
    """Put calcium into a nodule in one of four patterns; in the diffuse one the whole body is calcium."""
    pattern = CALCIUM_PATTERNS[rng.integers(len(CALCIUM_PATTERNS))]
    if pattern == "diffuse" or diameter_mm < 6:  # finer patterns need more than a few voxels
        return shape
    if pattern == "laminated":
        return replace(shape, num_laminae=int(rng.integers(2, 4)))
    if pattern == "central":
        return replace(shape, inclusions=(_draw_inclusion(rng, float(rng.uniform(0.35, 0.6)), 0.1),))
    grains = tuple(_draw_inclusion(rng, float(rng.uniform(0.15, 0.35)), 0.5) for _ in range(rng.integers(3, 7)))
    return replace(shape, inclusions=grains)


def add_cavity(rng: np.random.Generator, shape: NoduleShape) -> NoduleShape:
    """Hollow a body out; the wall is 2-6 mm thick in the mean, and nowhere much thinner than 2 mm.

    The hollow has the shape of the body, so its wall is ``(1 - ratio) radius`` in the mean.
    """
    radius = shape.radius_mm
    wall = float(rng.uniform(MIN_WALL_MM, min(MAX_WALL_MM, 0.7 * radius)))
    spare = max(0.0, wall - MIN_WALL_MM) / radius
    return replace(shape, cavity=_draw_inclusion(rng, 1 - wall / radius, spare))


def _draw_inclusion(rng: np.random.Generator, ratio: float, largest: float) -> Inclusion:
    x, y, z = np.array(_draw_direction(rng)) * rng.uniform(0, largest)
    return Inclusion((float(x), float(y), float(z)), ratio)
