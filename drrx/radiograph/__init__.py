"""Line integrals to a displayed radiograph: attenuation, scatter, noise, display curve."""

from typing import TYPE_CHECKING

from drrx.lazy import import_on_use

if TYPE_CHECKING:
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

__getattr__ = import_on_use(
    __name__,
    {
        "DisplayCurve": "display",
        "Exposure": "exposure",
        "Film": "film",
        "fit_display_curve": "display",
        "make_bases": "attenuation",
        "make_exposure": "exposure",
        "make_line_integral": "attenuation",
    },
)
