"""Put a real nodule of a library at another place: turned, scaled, on the fine grid, as blurred as the scan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from drrx.errors import DrrxError
from drrx.nodule.composite import Targets
from drrx.nodule.kind import SOLID_ABOVE_HU
from drrx.nodule.model import Draft, draw_nodule
from drrx.nodule.nodule_library import LibraryNodule
from drrx.nodule.presets import PRESETS
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import FWHM_PER_SIGMA, RenderedShape
from drrx.records.nodule import Kind
from drrx.records.nodule_shape import Transplant, Triple
from drrx.seeds import make_rng, make_seed

# A patch is blurred by its scanner and by its own sampling: reconstructions of 1.2-1.5 mm brought to cubes of 1 mm.
OWN_FWHM_VOXELS = 1.6
# A nodule that lies broadly on the pleura or a large vessel would show the face at which it was cut.
MIN_FREE_SHARE = 0.7
MIN_TEXTURE_SHARE = 0.02  # below this share of nodule in a voxel its HU says nothing
SOLID_WIDTH_HU = 100.0  # over which tissue turns from ground glass to solid


@dataclass(frozen=True, eq=False)
class TransplantForm:
    """The geometry and texture of a real nodule."""

    nodule: LibraryNodule
    transplant: Transplant
    shape: None = None

    def resize(self, factor: float) -> "TransplantForm":
        """Return the form with ``factor`` times its volume: only the scale changes."""
        scale = self.transplant.scale * factor ** (1 / 3)
        return TransplantForm(self.nodule, replace(self.transplant, scale=scale))

    def render(self, spacing_mm: float, psf_fwhm_mm: Triple) -> RenderedShape:
        """Return the shares on cubes of ``spacing_mm``, cropped; a patch sharper than the scan is blurred further.

        Shares and shares times HU are resampled (cubic splines) and blurred alike, so that tissue keeps its mass.
        ``deviation_hu`` is the HU of the tissue less its mean.
        """
        scale, own = self.transplant.scale, self.nodule
        world = np.array(self.transplant.rotation)[::-1, ::-1]  # z, y, x
        spacing = np.array(own.spacing_mm)
        matrix = world.T * (spacing_mm / scale) / spacing[:, None]
        missing = [np.sqrt(max(0.0, psf**2 - (scale * OWN_FWHM_VOXELS * max(spacing)) ** 2)) for psf in psf_fwhm_mm]
        sigmas = [width / FWHM_PER_SIGMA / spacing_mm for width in missing]
        extent = scale * (np.abs(own.voxels_mm @ world.T).max(axis=0) + max(spacing)) / spacing_mm
        half = np.ceil(extent + 3 * np.array(sigmas)).astype(int)

        def resample(values: NDArray[np.float32]) -> NDArray[np.float32]:
            turned = affine_transform(values, matrix, own.center_index - matrix @ half, tuple(2 * half + 1), order=3)
            return np.asarray(gaussian_filter(turned, sigmas, mode="constant", truncate=3.0), dtype=np.float32)

        share, excess = resample(own.share), resample(own.share * (own.tissue_hu - np.float32(own.hu_body)))
        return self._assemble(share, excess, spacing_mm, half)

    def _assemble(
        self, share: NDArray[np.float32], excess: NDArray[np.float32], spacing_mm: float, center: NDArray[np.int64]
    ) -> RenderedShape:
        """Return shares, solid part and HU over the mean, on the grid where there is nodule."""
        own = self.nodule
        low, high = (float(end - own.hu_body) for end in own.hu_range)
        known = share > MIN_TEXTURE_SHARE
        uneven = np.where(known, np.clip(excess / np.where(known, share, 1), low, high), 0).astype(np.float32)
        share = np.clip(share, 0, 1)
        solid = None
        if own.kind == "part_solid":
            above = (uneven + np.float32(own.hu_body - SOLID_ABOVE_HU)) / SOLID_WIDTH_HU + 0.5
            solid = (share * np.clip(above, 0, 1)).astype(np.float32)
        whole = RenderedShape(share, spacing_mm, center, inclusion=solid)
        cropped = whole.crop()
        start = whole.center_index - cropped.center_index
        window = tuple(slice(a, a + n) for a, n in zip(start, cropped.occupancy.shape, strict=True))
        return replace(cropped, deviation_hu=np.ascontiguousarray(uneven[window]))

    def complete(self, rendered: RenderedShape, psf_fwhm_mm: Triple) -> RenderedShape:
        """Return it as it is: texture and strands are the nodule's own."""
        return rendered


def draw_draft(
    seed: int, settings: SampleNodulesSettings, low_mm: float, high_mm: float, library: Sequence[LibraryNodule]
) -> Draft:
    """Draw a nodule from numbers, or in ``transplant_share`` of all cases out of a library that is not empty."""
    if library and make_rng(make_seed(seed, "origin")).random() < settings.transplant_share:
        return draw_transplant(make_rng(make_seed(seed, "transplant")), library, settings, low_mm, high_mm)
    return draw_nodule(make_rng(make_seed(seed, "shape")), settings, low_mm, high_mm)


def draw_transplant(
    rng: np.random.Generator, library: Sequence[LibraryNodule], settings: SampleNodulesSettings, low_mm: float,
    high_mm: float,
) -> Draft:  # fmt: skip
    """Draw a diameter as the preset asks, one of the nodules that can be scaled to it, and how it is turned.

    Types come in the shares of the preset as far as the library has them. Where no nodule reaches the diameter, the
    nearest one that some nodule reaches is taken.

    Raises
    ------
    DrrxError
        No nodule of the library has the type and margin asked for, lies free, and can be scaled into the range.
    """
    usable = _find_usable(library, settings, low_mm, high_mm)
    diameter = PRESETS[settings.preset].draw_diameter_mm(rng, low_mm, high_mm)
    ranges = [_reach(nodule, settings) for nodule in usable]
    misses = [max(low - diameter, diameter - high, 0.0) for low, high in ranges]
    nearest = int(np.argmin(misses))
    diameter = float(np.clip(diameter, *ranges[nearest]))
    fitting = [n for n, (low, high) in zip(usable, ranges, strict=True) if low <= diameter <= high]
    chosen = fitting[rng.choice(len(fitting), p=_weigh(fitting, settings))]
    turned = _draw_rotation(rng, np.radians(settings.transplant_tilt_deg))
    scale = diameter / chosen.diameter_mm
    form = TransplantForm(chosen, Transplant(chosen.real_nodule_id, chosen.sha256, turned, scale))
    # Its core is in its texture: no target of its own, the inclusion only measures it.
    return Draft(chosen.kind, chosen.margin, diameter, form, Targets(chosen.hu_body))


def find_form(transplant: Transplant, library: Sequence[LibraryNodule], where: str) -> TransplantForm:
    """Return the form that a record tells of; the library must hold the same nodule, byte by byte."""
    found = next((nodule for nodule in library if nodule.real_nodule_id == transplant.real_nodule_id), None)
    if found is None or found.sha256 != transplant.sha256:
        raise DrrxError(
            where=where,
            found=f"a library of {len(library)} nodules without it" if found is None else "other files of that name",
            needed=f"nodule {transplant.real_nodule_id} with sha256 {transplant.sha256[:16]}...",
            hint="Give the library that this nodule was taken from.",
        )  # fmt: skip
    return TransplantForm(found, transplant)


def _find_usable(
    library: Sequence[LibraryNodule], settings: SampleNodulesSettings, low_mm: float, high_mm: float
) -> list[LibraryNodule]:
    kinds = _find_kinds(settings)
    like = [n for n in library if n.kind in kinds and settings.margin in ("mix", n.margin)]
    free = [n for n in like if n.free_share >= MIN_FREE_SHARE]
    usable = [n for n in free if _reach(n, settings)[0] <= high_mm and _reach(n, settings)[1] >= low_mm]
    if not usable:
        raise DrrxError(
            where=f"nodule library {settings.nodule_library}".strip(),
            found=f"{len(library)} nodules, {len(like)} of type {' or '.join(kinds)} and margin {settings.margin}, "
            f"{len(free)} of them free of the pleura, none of a fitting size",
            needed=f"one that can be scaled into {low_mm:.1f} to {high_mm:.1f} mm",
            hint="Add nodules, widen transplant_scale_min and transplant_scale_max, or change the diameters.",
        )  # fmt: skip
    return usable


def _find_kinds(settings: SampleNodulesSettings) -> dict[Kind, float]:
    if settings.kind != "mix":
        return {settings.kind: 1.0}
    return {kind: share for kind, share in PRESETS[settings.preset].kinds.items() if share > 0}


def _reach(nodule: LibraryNodule, settings: SampleNodulesSettings) -> tuple[float, float]:
    return nodule.diameter_mm * settings.transplant_scale_min, nodule.diameter_mm * settings.transplant_scale_max


def _weigh(nodules: Sequence[LibraryNodule], settings: SampleNodulesSettings) -> NDArray[np.float64]:
    """Return chances so that the types come as the preset wants them, each nodule of a type alike."""
    kinds = [nodule.kind for nodule in nodules]
    shares = _find_kinds(settings)
    chances = np.array([shares[kind] / kinds.count(kind) for kind in kinds])
    return np.asarray(chances / chances.sum())


def _draw_rotation(rng: np.random.Generator, largest_rad: float) -> tuple[Triple, Triple, Triple]:
    """Tilt about a level axis by up to ``largest_rad``, then turn about the head axis by any angle."""
    azimuth, turn = rng.uniform(0, 2 * pi, 2)
    tilt = rng.uniform(-largest_rad, largest_rad)
    axis = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    matrix = turn_about(np.array([0.0, 0.0, 1.0]), turn) @ turn_about(axis, tilt)
    rows = [(float(a), float(b), float(c)) for a, b, c in matrix]
    return rows[0], rows[1], rows[2]


def turn_about(axis: NDArray[np.float64], angle_rad: float) -> NDArray[np.float64]:
    """Return the 3 x 3 matrix that turns (x, y, z) about a unit axis, right-handed (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross)
