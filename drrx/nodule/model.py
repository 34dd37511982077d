"""Draw the numbers of a nodule: size, type, margin, HU and parts.

Where the numbers come from: HU of solid tissue, ground glass and calcium (Sieren's tissue classes; Wang et al. 2018;
Siegelman et al. 1980); morphology by size (Chu et al. 2019: halo, lobulation, spiculation, vessel convergence and
pleural retraction, of which the last four become more with size). The shares and the ranges of shape numbers are
choices of this project; docs/nodules.md has them in a table.
"""

from dataclasses import dataclass, replace

import numpy as np

from drrx.errors import CaseRefused
from drrx.nodule.composite import Targets
from drrx.nodule.draw_shape import add_calcium, add_cavity, add_core, draw_body, fade_edge, fit_radius
from drrx.nodule.form import DrawnForm, Form
from drrx.nodule.presets import PRESETS
from drrx.nodule.settings import SampleNodulesSettings
from drrx.records.nodule import Kind, Margin
from drrx.records.nodule_shape import Texture

# largest diameter of the class in mm -> smooth, lobulated, spiculated
MARGIN_SHARES = ((10.0, (0.55, 0.30, 0.15)), (20.0, (0.35, 0.35, 0.30)), (float("inf"), (0.20, 0.35, 0.45)))
MARGINS: tuple[Margin, ...] = ("smooth", "lobulated", "spiculated")
GLASS = ("ground_glass", "part_solid")
HALO_CHANCE = {"smooth": 0.0, "lobulated": 0.1, "spiculated": 0.2}
# chance of each of three tags, and of each of three vessels, at 15 mm; in proportion to the diameter, 0.4-1.6 times
STRAND_CHANCE = {"smooth": 0.08, "lobulated": 0.20, "spiculated": 0.35}
MAX_STRANDS = 3
CAVITY_FROM_MM = 15.0


@dataclass(frozen=True)
class Draft:
    """A nodule without a place; tags and vessels are looked for when it has one."""

    kind: Kind
    margin: Margin
    diameter_mm: float
    form: Form
    targets: Targets
    num_tags: int = 0
    num_vessels: int = 0


def diameter_range_mm(settings: SampleNodulesSettings, slice_spacing_mm: float, room_mm: float) -> tuple[float, float]:
    """Return smallest and largest diameter that settings, slice spacing and the lungs allow, in mm.

    A nodule thinner than ``min_diameter_slices`` slice spacings would lie on anatomy blurred more than itself, so the
    distribution is cut off there instead of drawing and rejecting. ``room_mm`` is the largest diameter with a place.
    """
    preset = PRESETS[settings.preset]
    low = settings.diameter_min_mm or preset.low_mm
    high = settings.diameter_max_mm or max(preset.high_mm, low)
    thick = slice_spacing_mm * settings.min_diameter_slices
    if max(low, thick) > min(high, room_mm):
        raise CaseRefused(
            "NO_PLACE", where="sample_nodules",
            found=f"slices every {slice_spacing_mm:.1f} mm (nodules from {thick:.1f} mm), room for {room_mm:.1f} mm",
            needed=f"room for a diameter between {low:.1f} and {high:.1f} mm",
            hint="Use a thinner reconstruction, or change diameter_min_mm, diameter_max_mm or min_diameter_slices.",
        )  # fmt: skip
    return max(low, thick), min(high, room_mm)


def draw_nodule(rng: np.random.Generator, settings: SampleNodulesSettings, low_mm: float, high_mm: float) -> Draft:
    """Draw everything but the place; the radius makes the sum of the occupancy ``pi D^3/6`` in closed form."""
    preset = PRESETS[settings.preset]
    diameter = preset.draw_diameter_mm(rng, low_mm, high_mm)
    kind = preset.draw_kind(rng)
    kind = kind if settings.kind == "mix" else settings.kind
    margin_shares = next(shares for limit, shares in MARGIN_SHARES if diameter <= limit)
    margin = MARGINS[rng.choice(3, p=margin_shares)]
    margin = margin if settings.margin == "mix" else settings.margin
    shape = draw_body(rng, margin, diameter)
    shape = fit_radius(fade_edge(rng, shape) if kind in GLASS else shape, diameter)
    targets = _draw_targets(rng, kind, settings)
    if kind == "part_solid":
        shape = add_core(rng, shape)
    elif kind == "calcified":
        shape = add_calcium(rng, shape, diameter)
        if not shape.inclusions and not shape.num_laminae:
            targets = Targets(targets.inclusion or targets.body)
    elif kind == "solid" and diameter > CAVITY_FROM_MM and rng.random() < settings.cavity_share:
        shape = add_cavity(rng, shape)
        targets = replace(targets, cavity=float(rng.uniform(-950, -850)))
    if kind == "solid" and rng.random() < HALO_CHANCE[margin]:  # a rim of ground glass; ground glass has none
        shape = replace(shape, halo_width_mm=float(min(rng.uniform(1, 4), diameter / 4)))
        targets = replace(targets, halo=float(rng.uniform(-700, -500)))
    shape = replace(shape, texture=_draw_texture(rng, kind) if settings.texture else None)
    tags, vessels = _draw_counts(rng, margin, diameter) if settings.strands else (0, 0)
    return Draft(kind, margin, diameter, DrawnForm(shape), targets, tags, vessels)


def _clipped_normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, sd), low, high))


def _draw_targets(rng: np.random.Generator, kind: Kind, settings: SampleNodulesSettings) -> Targets:
    mean = settings.solid_hu_mean
    solid = _clipped_normal(rng, mean, 40, mean - 90, mean + 80)
    if kind == "solid":
        return Targets(solid)
    if kind == "calcified":
        return Targets(solid, _clipped_normal(rng, 1500, 500, 300, 2500))
    glass = _clipped_normal(rng, -550, 70, -690, -400)
    core = _clipped_normal(rng, mean - 20, 40, mean - 110, mean + 60)
    return Targets(glass, core if kind == "part_solid" else None)


def _draw_texture(rng: np.random.Generator, kind: Kind) -> Texture:
    """Draw the unevenness: 70 HU in solid tissue, 90 in ground glass, over 2-5 mm; less is lost in projection."""
    sd = 90.0 if kind in GLASS else 70.0
    return Texture(sd, float(rng.uniform(2, 5)), int(rng.integers(2**63)))


def _draw_counts(rng: np.random.Generator, margin: Margin, diameter_mm: float) -> tuple[int, int]:
    """Draw how many tags and vessels to look for."""
    chance = min(0.9, STRAND_CHANCE[margin] * float(np.clip(diameter_mm / 15, 0.4, 1.6)))
    return int(rng.binomial(MAX_STRANDS, chance)), int(rng.binomial(MAX_STRANDS, chance))
