"""RTK's Joseph projector (package ``itk-rtk``): the fastest accurate one on a CPU."""

import importlib
from typing import Any

import numpy as np

from drrx.benchmark.peers.peer import Peer, Projection, Shot, version_of
from drrx.benchmark.scene import Scene


def prepare(scene: Scene) -> Projection:
    """Place the CT in RTK's frame: x is ours, y our z, z our y counted from the point below the source."""
    itk = importlib.import_module("itk")
    rtk = itk.RTK
    source, origin, view = scene.view.source_world_mm, scene.volume.world_from_index[:3, 3], scene.view
    slice_mm, row_mm, column_mm = scene.volume.spacing_mm
    to_detector = view.source_to_detector_mm
    # In this frame the source stands at z = to_detector and the detector at 0; y is mirrored, which changes no length.
    volume = itk.image_from_array(np.ascontiguousarray(scene.density().transpose(1, 0, 2)))
    volume.SetSpacing([column_mm, slice_mm, row_mm])
    volume.SetOrigin([origin[0] - source[0], origin[2] - source[2], origin[1] - source[1] + to_detector])
    geometry = rtk.ThreeDCircularProjectionGeometry.New()
    geometry.AddProjection(to_detector, to_detector, 0.0)
    empty = _make_detector(itk, scene)
    kind = type(volume)

    def project() -> Shot:
        joseph = rtk.JosephForwardProjectionImageFilter[kind, kind].New()
        joseph.SetInput(0, empty)
        joseph.SetInput(1, volume)
        joseph.SetGeometry(geometry)
        joseph.InPlaceOff()
        joseph.Update()
        return Shot(itk.array_from_image(joseph.GetOutput())[0, ::-1])

    return project


def _make_detector(itk: Any, scene: Scene) -> Any:
    """Return a stack of one empty image, its first row at the bottom."""
    view = scene.view
    bottom = view.pixel_world_mm(np.array(view.shape[0] - 1), np.array(0)) - view.source_world_mm
    empty = itk.image_from_array(np.zeros((1, *view.shape), np.float32))
    row_mm, column_mm = view.pixel_spacing_mm
    empty.SetSpacing([column_mm, row_mm, 1.0])
    empty.SetOrigin([bottom[0], bottom[2], 0.0])
    return empty


PEERS = (Peer("RTK Joseph", "bilinear sample per slab", prepare, version_of("itk-rtk")),)
