"""What becomes of an inserted nodule: a ball on the pipeline's fine grid, projected by the pipeline's code."""

from dataclasses import dataclass
from math import pi

import numpy as np

from drrx.benchmark.phantoms import Ellipsoid
from drrx.geometry import make_standard_view
from drrx.nodule.form import VOLUME_TOLERANCE, DrawnForm, fit_volume
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import RenderedShape, find_grid_spacing_mm
from drrx.projector.project import project_volume
from drrx.projector.window import find_window
from drrx.records.nodule_shape import NoduleShape
from drrx.volume import Volume

DIAMETERS_MM = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0)
PLACES_MM = ((31.3, -22.1, 54.7), (-80.4, 40.2, -61.9), (3.4, 1.7, 100.2))
_UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class NoduleAccuracy:
    """A smooth ball without blur against closed forms; shares of the true values, the worst of three places.

    Attributes
    ----------
    diameter_mm
        Of the ball.
    volume
        Sum of the patch's occupancy over the ball's volume.
    peak
        Largest path in its shadow over the largest exact one.
    mass
        Sum of the shadow over the sum of the exact one.
    """

    diameter_mm: float
    volume: float
    peak: float
    mass: float


def measure_nodule(diameter_mm: float, size_px: int = 4096) -> NoduleAccuracy:
    """Render, project and compare one ball; the pixels are fine, so that their sum is an integral."""
    rendered = _render(diameter_mm)
    volume = rendered.volume_mm3 / (pi / 6 * diameter_mm**3)
    shares = []
    view = make_standard_view(np.zeros(3), size_px=size_px)
    for place in PLACES_MM:
        patch = Volume(rendered.occupancy, rendered.place(np.array(place)))
        window = find_window(patch, view)
        assert window is not None, "the places lie inside the field"
        part = view.window(*window)
        exact = Ellipsoid(place, (diameter_mm / 2,) * 3, 1.0).chord_mm(
            part.source_world_mm, part.pixel_world_mm(*np.indices(part.shape))
        )
        image = project_volume(patch, part)
        shares.append((image.max() / exact.max(), image.sum(dtype=np.float64) / exact.sum()))
    peak, mass = (max(values, key=lambda value: abs(value - 1)) for values in zip(*shares, strict=True))
    return NoduleAccuracy(diameter_mm, volume, float(peak), float(mass))


def _render(diameter_mm: float) -> RenderedShape:
    """Render the ball; its radius is corrected until the volume fits, as the stage does."""
    spacing_mm = find_grid_spacing_mm(diameter_mm, SampleNodulesSettings().grid_spacing_mm)
    ball = DrawnForm(NoduleShape(diameter_mm / 2, (1.0, 1.0, 1.0), _UPRIGHT, (), 0.0))
    _, rendered = fit_volume(ball, diameter_mm, lambda form: form.render(spacing_mm, (0.0, 0.0, 0.0)), VOLUME_TOLERANCE)
    return rendered
