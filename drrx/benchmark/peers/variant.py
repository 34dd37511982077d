"""What one more variant costs the projector: a nodule's patch, all its maps, in the view of the CT."""

from functools import partial

import numpy as np

import drrx
from drrx.benchmark.peers.peer import Peer, Projection, Shot
from drrx.benchmark.scene import Scene
from drrx.nodule.form import DrawnForm
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import find_grid_spacing_mm
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.projector.window import find_window
from drrx.radiograph.attenuation import make_bases
from drrx.records.nodule_shape import NoduleShape
from drrx.volume import Volume

LUNG_HU, SOLID_HU = np.float32(-850.0), np.float32(20.0)
PSF_FWHM_MM = (2.5, 1.0, 1.0)
_UPRIGHT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_NO_IMAGE = Shot(np.zeros((0, 0), np.float32))
DIAMETERS_MM = (14, 30)
VARIANTS = tuple(f"drrx, one more nodule of {diameter} mm" for diameter in DIAMETERS_MM)


def prepare_nodule(scene: Scene, diameter_mm: int) -> Projection:
    """Project a solid ball in the middle of the CT: its path and what it adds to the two bases, as the pipeline does.

    The HU of both bases are made from the patch within the time: that too is work for each variant.
    """
    spacing_mm = find_grid_spacing_mm(diameter_mm, SampleNodulesSettings().grid_spacing_mm)
    shape = NoduleShape(diameter_mm / 2, (1.0, 1.0, 1.0), _UPRIGHT, (), 0.0)
    rendered = DrawnForm(shape).render(spacing_mm, PSF_FWHM_MM)
    patch = Volume(rendered.occupancy, rendered.place(scene.volume.center_world_mm))
    before = np.full_like(patch.values, LUNG_HU)
    after = before + patch.values * (SOLID_HU - LUNG_HU)

    def shoot() -> Shot:
        window = find_window(patch, scene.view)
        assert window is not None, "the middle of the CT is on the detector"
        part = scene.view.window(*window)
        added = (new - old for old, new in zip(make_bases(before), make_bases(after), strict=True))
        project([(Integrand(patch.with_values(values)), part) for values in (patch.values, *added)])
        return _NO_IMAGE

    return shoot


PEERS = tuple(
    Peer(name, "Joseph, kinks", partial(prepare_nodule, diameter_mm=diameter), lambda: drrx.__version__)
    for name, diameter in zip(VARIANTS, DIAMETERS_MM, strict=True)
)
