"""Where the geometry of a nodule comes from, and the size at which it has the volume asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drrx.nodule.neighbours import draw_tags, draw_vessels, find_neighbours
from drrx.nodule.shape import RenderedShape, add_strands, render_shape
from drrx.nodule.surface import Body
from drrx.nodule.texture import make_deviation
from drrx.records.nodule_shape import NoduleShape, Transplant, Triple
from drrx.volume import Volume

VOLUME_TOLERANCE = 0.005
CUT_TOLERANCE = 0.02  # a body that the pleura cuts


class Form(Protocol):
    """The geometry of a nodule without a place: from numbers (``DrawnForm``), or of a real nodule."""

    @property
    def shape(self) -> NoduleShape | None:
        """What a record holds of a simulated nodule."""

    @property
    def transplant(self) -> Transplant | None:
        """What a record holds of a transplanted nodule."""

    def resize(self, factor: float) -> "Form":
        """Return the form with ``factor`` times its volume."""

    def render(self, spacing_mm: float, psf_fwhm_mm: Triple) -> RenderedShape:
        """Return the shares on cubes of ``spacing_mm``, as blurred as the scan (FWHM z, y, x in mm), cropped."""

    def complete(self, rendered: RenderedShape, psf_fwhm_mm: Triple) -> RenderedShape:
        """Add what has no part in the volume, once size and place are fixed: texture and strands."""


@dataclass(frozen=True)
class DrawnForm:
    """A form from numbers."""

    shape: NoduleShape
    transplant: None = None

    def resize(self, factor: float) -> "DrawnForm":
        """Return the form with ``factor`` times its volume: only the radius changes."""
        return DrawnForm(replace(self.shape, radius_mm=self.shape.radius_mm * factor ** (1 / 3)))

    def render(self, spacing_mm: float, psf_fwhm_mm: Triple) -> RenderedShape:
        """Return the shares on cubes of ``spacing_mm``, as blurred as the scan (FWHM z, y, x in mm), cropped."""
        return render_shape(self.shape, spacing_mm).blur(psf_fwhm_mm).crop()

    def complete(self, rendered: RenderedShape, psf_fwhm_mm: Triple) -> RenderedShape:
        """Add texture and strands; the grid grows to hold the strands."""
        if self.shape.texture is not None:
            field = make_deviation(self.shape.texture, rendered.occupancy, rendered.spacing_mm)
            rendered = replace(rendered, deviation_hu=field)
        return add_strands(rendered, self.shape, psf_fwhm_mm)

    def hold_on(
        self, rng: np.random.Generator, labels: Volume, center_mm: NDArray, tags: int, vessels: int
    ) -> "DrawnForm":
        """Draw up to so many tags to the pleura and vessels around ``center_mm`` (LPS), as far as there are any."""
        body = Body(self.shape)
        around = find_neighbours(labels, center_mm, body.largest_mm)
        surface = body.reach_mm(around.directions)
        drawn_tags = draw_tags(rng, around, surface, tags)
        return DrawnForm(replace(self.shape, tags=drawn_tags, vessels=draw_vessels(rng, around, surface, vessels)))


def fit_volume(
    form: Form, diameter_mm: float, render: Callable[[Form], RenderedShape], tolerance: float
) -> tuple[Form, RenderedShape]:
    """Resize a form until what is rendered has the volume of a ball.

    The closed form of a drawn body is not exact on a grid, strands overlap, and a pleura cuts; so it is rendered until
    it fits, at most five times. The caller judges what is left.
    """
    rendered = render(form)
    for _ in range(4):
        factor = volume_factor(rendered, diameter_mm)
        if abs(factor - 1) < tolerance / 2:
            break
        form = form.resize(factor)
        rendered = render(form)
    return form, rendered


def volume_factor(rendered: RenderedShape, diameter_mm: float) -> float:
    """Return the volume asked for over the one rendered."""
    return pi / 6 * diameter_mm**3 / max(rendered.volume_mm3, 1e-9)
