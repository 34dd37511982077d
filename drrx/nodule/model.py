"""Draw the numbers of a nodule: size, type, margin, shape and HU.

Where the numbers come from: sizes of missed cancers on radiographs (Shah et al. 2003, median 19 mm; Austin et al. 1992,
6-34 mm) and of screening nodules (LUNA16, median 9 mm); HU of solid tissue, ground glass and calcium (Sieren's tissue
classes; Wang et al. 2018; Siegelman et al. 1980); morphology by size (Chu et al. 2019). The shares of types and of
margins and the ranges of shape numbers are choices of this project.
"""

from dataclasses import dataclass
from math import exp, log, pi, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from drrx.errors import CaseRefused
from drrx.nodule.composite import Targets
from drrx.nodule.form import DrawnForm, Form
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.surface import body_volume_mm3, spicule_volume_mm3
from drrx.records.nodule import Inclusion, Kind, Margin, NoduleShape, Spicule, Triple

# preset: median mm, sigma of ln, smallest, largest mm of a truncated log-normal
DIAMETERS_MM = {"cxr": (14.0, 0.40, 6.0, 30.0), "screening": (9.0, 0.50, 4.0, 30.0), "missed": (17.0, 0.45, 6.0, 34.0)}
KIND_SHARES: dict[Kind, float] = {"solid": 0.70, "part_solid": 0.12, "ground_glass": 0.10, "calcified": 0.08}
# largest diameter of the class in mm -> smooth, lobulated, spiculated
MARGIN_SHARES = ((10.0, (0.55, 0.30, 0.15)), (20.0, (0.35, 0.35, 0.30)), (float("inf"), (0.20, 0.35, 0.45)))
MARGINS: tuple[Margin, ...] = ("smooth", "lobulated", "spiculated")
CALCIUM_PATTERNS = ("diffuse", "central", "laminated", "popcorn")


@dataclass(frozen=True)
class Draft:
    """A nodule without a place."""

    kind: Kind
    margin: Margin
    diameter_mm: float
    form: Form
    targets: Targets


def diameter_range_mm(settings: SampleNodulesSettings, slice_spacing_mm: float, room_mm: float) -> tuple[float, float]:
    """Return smallest and largest diameter that settings, slice spacing and the lungs allow, in mm.

    A nodule thinner than ``min_diameter_slices`` slice spacings would lie on anatomy blurred more than itself, so the
    distribution is cut off there instead of drawing and rejecting. ``room_mm`` is the largest diameter with a place.
    """
    _, _, low, high = DIAMETERS_MM[settings.preset]
    low = settings.diameter_min_mm or low
    high = settings.diameter_max_mm or max(high, low)
    thick = slice_spacing_mm * settings.min_diameter_slices
    if max(low, thick) > min(high, room_mm):
        raise CaseRefused(
            "NO_PLACE", where="sample_nodules",
            found=f"slices every {slice_spacing_mm:.1f} mm (nodules from {thick:.1f} mm), room for {room_mm:.1f} mm",
            needed=f"room for a diameter between {low:.1f} and {high:.1f} mm",
            hint="Use a thinner reconstruction, or change diameter_min_mm, diameter_max_mm or min_diameter_slices.",
        )  # fmt: skip
    return max(low, thick), min(high, room_mm)


def draw_diameter_mm(rng: np.random.Generator, preset: str, low_mm: float, high_mm: float) -> float:
    """Draw from the preset's log-normal, truncated to ``low_mm``..``high_mm``, by inversion."""
    median, sigma, _, _ = DIAMETERS_MM[preset]
    a, b = (ndtr(log(limit / median) / sigma) for limit in (low_mm, high_mm))
    return float(np.clip(median * exp(sigma * ndtri(rng.uniform(a, b))), low_mm, high_mm)) if b > a else low_mm


def draw_nodule(rng: np.random.Generator, settings: SampleNodulesSettings, low_mm: float, high_mm: float) -> Draft:
    """Draw everything but the place; the radius makes the sum of the occupancy ``pi D^3/6`` in closed form."""
    diameter = draw_diameter_mm(rng, settings.preset, low_mm, high_mm)
    kinds, shares = list(KIND_SHARES), list(KIND_SHARES.values())
    kind: Kind = kinds[rng.choice(len(kinds), p=shares)]
    kind = kind if settings.kind == "mix" else settings.kind
    margin_shares = next(shares for limit, shares in MARGIN_SHARES if diameter <= limit)
    margin = MARGINS[rng.choice(3, p=margin_shares)]
    margin = margin if settings.margin == "mix" else settings.margin
    body, inclusion = _draw_hu(rng, kind, settings)
    shape = _draw_shape(rng, margin, diameter)
    shape, body, inclusion = _add_parts(rng, shape, kind, diameter, body, inclusion)
    halo = None
    if kind != "calcified" and rng.random() < {"smooth": 0.0, "lobulated": 0.1, "spiculated": 0.2}[margin]:
        halo = float(rng.uniform(-700, -500))
        shape = _replace(shape, halo_width_mm=float(min(rng.uniform(1, 4), diameter / 4)))
    form = DrawnForm(fit_radius(shape, diameter))
    return Draft(kind, margin, diameter, form, Targets(body, inclusion, halo))


def fit_radius(shape: NoduleShape, diameter_mm: float) -> NoduleShape:
    """Return the shape with the radius at which body and strands have the volume of a ball of ``diameter_mm``."""
    target = pi / 6 * diameter_mm**3 - sum(spicule_volume_mm3(s) for s in shape.spicules)
    unit = body_volume_mm3(shape) / shape.radius_mm**3
    return _replace(shape, radius_mm=float((max(target, 0.3 * pi / 6 * diameter_mm**3) / unit) ** (1 / 3)))


def _replace(shape: NoduleShape, **values: object) -> NoduleShape:
    return NoduleShape(**{**shape.__dict__, **values})


def _clipped_normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, sd), low, high))


def _draw_hu(rng: np.random.Generator, kind: Kind, settings: SampleNodulesSettings) -> tuple[float, float | None]:
    mean = settings.solid_hu_mean
    solid = _clipped_normal(rng, mean, 25, mean - 50, mean + 60)
    glass = _clipped_normal(rng, -620, 60, -750, -450)
    core = _clipped_normal(rng, mean - 20, 30, mean - 80, mean + 60)
    calcium = _clipped_normal(rng, 450, 200, 200, 1200)
    body = glass if kind in ("part_solid", "ground_glass") else solid
    return body, {"part_solid": core, "calcified": calcium}.get(kind)


def _draw_shape(rng: np.random.Generator, margin: Margin, diameter_mm: float) -> NoduleShape:
    low_b, low_c = {"smooth": (0.85, 0.80)}.get(margin, (0.75, 0.65))
    ratios = (1.0, float(rng.uniform(low_b, 1)), float(rng.uniform(low_c, 1)))
    degrees, low_rms, high_rms = {
        "smooth": (4, 0.03, 0.03), "lobulated": (6, 0.08, 0.18), "spiculated": (8, 0.06, 0.12),
    }[margin]  # fmt: skip
    exponent = rng.uniform(0.1, 0.5) if margin == "spiculated" else rng.uniform(0, 0.25)
    return NoduleShape(
        radius_mm=diameter_mm / 2, axis_ratios=ratios, rotation=_draw_rotation(rng),
        harmonics=_draw_harmonics(rng, degrees, rng.uniform(low_rms, high_rms)),
        margin_exponent=float(exponent), spicules=_draw_spicules(rng, margin, diameter_mm),
    )  # fmt: skip


def _draw_rotation(rng: np.random.Generator) -> tuple[Triple, Triple, Triple]:
    """Uniform random rotation from a unit quaternion."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    matrix = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    rows = [(float(a), float(b), float(c)) for a, b, c in matrix]
    return rows[0], rows[1], rows[2]


def _draw_harmonics(rng: np.random.Generator, degrees: int, rms: float) -> tuple[tuple[int, int, float], ...]:
    """Coefficients of degrees 2..``degrees``, amplitude falling as l^-1.5; ``rms`` of the field over the sphere."""
    orders = [(degree, order) for degree in range(2, degrees + 1) for order in range(-degree, degree + 1)]
    values = rng.normal(size=len(orders)) * np.array([degree**-1.5 for degree, _ in orders])
    values *= rms * sqrt(4 * pi) / np.linalg.norm(values)
    return tuple((degree, order, float(value)) for (degree, order), value in zip(orders, values, strict=True))


def _draw_direction(rng: np.random.Generator) -> Triple:
    x, y, z = (v := rng.normal(size=3)) / np.linalg.norm(v)
    return float(x), float(y), float(z)


def _draw_spicules(rng: np.random.Generator, margin: Margin, diameter_mm: float) -> tuple[Spicule, ...]:
    """Strands: many tapered ones on a spiculated nodule, up to two blunt ones on a lobulated one."""
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
    return tuple(Spicule(_draw_direction(rng), float(x), float(rng.uniform(0.8, 2.0)), 0.3) for x in lengths)


def _add_parts(
    rng: np.random.Generator,
    shape: NoduleShape,
    kind: Kind,
    diameter_mm: float,
    hu_body: float,
    hu_inclusion: float | None,
) -> tuple[NoduleShape, float, float | None]:
    """Put the core into a part-solid nodule, or the calcium into a calcified one."""
    if kind == "part_solid":
        ratio = float(rng.uniform(0.25, 0.75))
        return _replace(shape, inclusions=(_offset_inclusion(rng, ratio, min(0.2, 1 - ratio)),)), hu_body, hu_inclusion
    if kind != "calcified":
        return shape, hu_body, hu_inclusion
    pattern = CALCIUM_PATTERNS[rng.integers(len(CALCIUM_PATTERNS))]
    if pattern == "diffuse" or diameter_mm < 6:  # finer patterns need more than a few voxels
        return shape, float(hu_inclusion or hu_body), None
    if pattern == "laminated":
        return _replace(shape, num_laminae=int(rng.integers(2, 4))), hu_body, hu_inclusion
    if pattern == "central":
        return (
            _replace(shape, inclusions=(_offset_inclusion(rng, float(rng.uniform(0.35, 0.6)), 0.1),)),
            hu_body,
            hu_inclusion,
        )
    grains = tuple(_offset_inclusion(rng, float(rng.uniform(0.15, 0.35)), 0.5) for _ in range(rng.integers(3, 7)))
    return _replace(shape, inclusions=grains), hu_body, hu_inclusion


def _offset_inclusion(rng: np.random.Generator, ratio: float, largest: float) -> Inclusion:
    x, y, z = np.array(_draw_direction(rng)) * rng.uniform(0, largest)
    return Inclusion((float(x), float(y), float(z)), ratio)
