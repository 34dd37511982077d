"""Where the geometry of a nodule comes from, and the size at which it has the volume asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi
from typing import Protocol

from drrx.nodule.shape import RenderedShape, render_shape
from drrx.records.nodule import NoduleShape, Transplant, Triple

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
