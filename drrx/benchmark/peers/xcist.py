"""The distance-driven projector of XCIST (package ``gecatsim``); it uses one thread."""

import importlib

import numpy as np

from drrx.benchmark.peers.peer import Peer, PeerAbsent, Projection, Shot, version_of
from drrx.benchmark.scene import Scene


def prepare(scene: Scene) -> Projection:
    """Give it detector columns by x and y, rows by z, and the CT as ``[row, column, slice]`` from the back."""
    cast = importlib.import_module("gecatsim.pyfiles.C_DD3Proj_mm").DD3Proj_mm
    view, volume, single = scene.view, scene.volume, np.float32
    slice_mm, row_mm, column_mm = volume.spacing_mm
    if abs(row_mm - column_mm) > 1e-6:
        raise PeerAbsent("needs square voxels in plane")
    center = volume.center_world_mm
    source = view.source_world_mm - center
    columns = view.pixel_world_mm(np.array(0), np.arange(view.shape[1])) - center
    rows = view.pixel_world_mm(np.arange(view.shape[0])[::-1], np.array(0)) - center
    values = np.ascontiguousarray(scene.density()[:, ::-1].transpose(1, 2, 0))
    mask = np.ones((2 * values.shape[0], values.shape[1]), np.uint8)
    once = np.zeros(1, single)
    x, y, z = (np.ascontiguousarray(v, single) for v in (columns[:, 0], columns[:, 1], rows[:, 2]))

    def project() -> Shot:
        image = cast(
            *source.tolist(), len(x), len(z), x, y, z, 0.0, 0.0, 0.0, once, once, 1,
            values.shape[1], values.shape[0], values.shape[2], values, column_mm, slice_mm, mask,
        )  # fmt: skip
        return Shot(image[0].T[::-1])

    return project


PEERS = (Peer("XCIST distance-driven", "overlap of voxel and pixel", prepare, version_of("gecatsim")),)
