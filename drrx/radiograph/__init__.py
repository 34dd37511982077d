"""Line integrals to a displayed radiograph: attenuation, scatter, noise, display curve."""

from drrx.radiograph.attenuation import make_bases, make_line_integral
from drrx.radiograph.display import DisplayCurve, fit_display_curve
from drrx.radiograph.exposure import Exposure, make_exposure
from drrx.radiograph.film import Film

__all__ = [
    "DisplayCurve",
    "Exposure",
    "Film",
    "fit_display_curve",
    "make_bases",
    "make_exposure",
    "make_line_integral",
]
