"""ITK's Siddon-Jacobs ray caster (package ``itk-twoprojectionregistration``)."""

import importlib

import numpy as np

from drrx.benchmark.peers.peer import Peer, Projection, Shot, version_of
from drrx.benchmark.scene import Scene


def prepare(scene: Scene) -> Projection:
    """Mirror the CT front to back: ITK's source stands at -y, ours at +y."""
    itk = importlib.import_module("itk")
    source, origin, view = scene.view.source_world_mm, scene.volume.world_from_index[:3, 3], scene.view
    slice_mm, row_mm, column_mm = scene.volume.spacing_mm
    volume = itk.image_from_array(np.ascontiguousarray(scene.density()[:, ::-1]))
    volume.SetSpacing([column_mm, row_mm, slice_mm])
    # Its frame begins at the corner of the first voxel, whatever the image's origin says.
    mirrored_source = source * [1, -1, 1]
    corner = origin * [1, -1, 1] - np.array([column_mm, (2 * scene.volume.shape[1] - 1) * row_mm, slice_mm]) / 2
    to_center = source[1] - scene.volume.center_world_mm[1]
    place = itk.Euler3DTransform[itk.D].New()
    place.SetCenter((mirrored_source - corner + [0, to_center, 0]).tolist())
    caster = itk.SiddonJacobsRayCastInterpolateImageFunction[type(volume), itk.D].New()
    caster.SetTransform(place)
    caster.SetFocalPointToIsocenterDistance(to_center)
    caster.SetProjectionAngle(0.0)
    caster.SetThreshold(0.0)
    caster.Initialize()
    rays = view.pixel_world_mm(*np.indices(view.shape)) - source
    length_mm = np.linalg.norm(rays, axis=-1).astype(np.float32)  # it integrates from 0 to 1 along a ray
    bottom = view.pixel_world_mm(np.array(view.shape[0] - 1), np.array(0)) - source
    row_pitch, column_pitch = view.pixel_spacing_mm

    def project() -> Shot:
        resample = itk.ResampleImageFilter[type(volume), type(volume)].New()
        resample.SetInput(volume)
        resample.SetInterpolator(caster)
        resample.SetDefaultPixelValue(0)
        resample.SetSize([view.shape[1], view.shape[0], 1])
        resample.SetOutputSpacing([column_pitch, row_pitch, 1.0])
        resample.SetOutputOrigin([bottom[0], bottom[2], -view.source_to_detector_mm])
        resample.Update()
        return Shot(itk.array_from_image(resample.GetOutput())[0, ::-1] * length_mm)

    return project


PEERS = (Peer("ITK Siddon-Jacobs", "length in every voxel", prepare, version_of("itk-twoprojectionregistration")),)
