"""Stage ``project_ct``: basis line integrals of the CT and path maps of its anatomy, once per view."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.geometry import Pose, View, ViewName
from drrx.io.arrays import write_arrays
from drrx.io.files import write_json
from drrx.io.nifti import read_volume
from drrx.projector.border import AIR_HU
from drrx.projector.field import complete_field
from drrx.projector.integrand import Integrand
from drrx.projector.jitter import draw_pose
from drrx.projector.project import project
from drrx.projector.settings import ProjectCtSettings
from drrx.projector.sides import SIDES
from drrx.projector.window import check_clearance, find_window, make_view
from drrx.radiograph.attenuation import BASIS_BANDS_HU
from drrx.records.anatomy import LEFT_LUNG, RIGHT_LUNG, Anatomy, Label
from drrx.seeds import make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.device import take_device
from drrx.volume import Volume

MASKS: dict[str, tuple[int, ...]] = {
    "lung_path_mm": (*RIGHT_LUNG, *LEFT_LUNG),
    "mediastinum_path_mm": (Label.MEDIASTINUM,),
    "bone_path_mm": (Label.BONE,),
}


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``projection.npz``, ``anatomy_paths.npz`` and ``projection.json`` of every view.

    The path maps of the anatomy are in both: rounded to float16 (11 bits) and compressed they take a twelfth of the
    projection, so that annotation needs no large file.
    """
    ct, anatomy = read_volume(job.folder.ct), Anatomy(read_volume(job.folder.anatomy))
    base = make_settings(ProjectCtSettings, job.settings, "project_ct")
    products: list[Path] = []
    for name in job.settings["views"]:
        view_name = ViewName.parse(name)
        view, pose = make_case_view(job, ct, base, view_name)
        arrays, completion = project_case(ct, anatomy, view, take_device(base.device))
        write_arrays(job.folder.projection(name), arrays)
        rounded = {part: arrays[part].astype(np.float16) for part in MASKS}
        write_arrays(job.folder.anatomy_paths(name), rounded, compress=True)
        record = {
            "view": view.to_json(),
            "projection": view_name.projection,
            "view_position": view_name.view_position,
            "patient_orientation": view_name.patient_orientation,
            "pose": pose.to_json(),
            "source_to_center_mm": float(view.depth_mm(ct.center_world_mm)),
            "completion": completion,
        }
        write_json(job.folder.projection_record(name), record)
        products += [getattr(job.folder, file)(name) for file in ("projection", "anatomy_paths", "projection_record")]
    return products


def make_case_view(job: CaseJob, ct: Volume, settings: ProjectCtSettings, name: ViewName) -> tuple[View, Pose]:
    """Return a view of a case and the pose drawn for it; a stage that asks again gets the same numbers."""
    seed = make_seed(job.seed, job.row.case, "project_ct", str(name))
    pose = draw_pose(settings, seed) if name.is_jittered else Pose()
    return make_view(ct, settings, name, pose), pose


def project_plain(ct: Volume, view: View, device: str = "cpu") -> dict[str, NDArray[np.float32]]:
    """Project a CT as it is, table and all.

    Returns
    -------
    float32 ``[row, column]`` maps in mm: the bases ``water_mm`` and ``bone_mm``.
    """
    check_clearance(ct, view)
    return _name_maps(*project([(Integrand(ct, BASIS_BANDS_HU), view)], device=device))


def project_case(
    ct: Volume, anatomy: Anatomy, view: View, device: str = "cpu"
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Project a CT without its table, completed beyond its field of view, and the path maps of its anatomy.

    Parameters
    ----------
    ct, anatomy
        Canonical int16 HU and its labels, on one grid.
    view
        Any view that the body lies wholly before the detector of.
    device
        As for ``project``.

    Returns
    -------
    float32 ``[row, column]`` maps in mm: the bases ``water_mm`` and ``bone_mm``, and the paths ``lung_path_mm``,
    ``mediastinum_path_mm`` and ``bone_path_mm`` through the labels; and the record of what was completed.
    """
    body = ct.with_values(np.where(anatomy.body, ct.values, np.int16(AIR_HU)))
    check_clearance(body, view)
    integrand = Integrand(body, BASIS_BANDS_HU, anatomy.labels.values, tuple(MASKS.values()))
    completion = complete_field(ct, anatomy.body, view)
    windows = {name: window for name, part in completion.parts.items() if (window := find_window(part, view))}
    parts = [(Integrand(completion.parts[name], BASIS_BANDS_HU), view.window(*windows[name])) for name in windows]
    channels, *added = project([(integrand, view), *parts], device=device)
    for (rows, columns), image in zip(windows.values(), added, strict=True):
        channels[:2, rows, columns] += image
    shares = _find_shares(channels, dict(zip(windows, added, strict=True)))
    return _name_maps(channels), completion.to_json() | shares


def _find_shares(channels: NDArray[np.float32], added: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Return which share of all water in the image was completed at the sides and at the ends."""
    water = {name: float(image[0].sum()) for name, image in added.items()}
    total = max(float(channels[0].sum()), 1.0)
    sides = sum(mm for name, mm in water.items() if name in SIDES) / total
    ends = sum(mm for name, mm in water.items() if name not in SIDES) / total
    return {"completed_share_sides": round(sides, 5), "completed_share_ends": round(ends, 5)}


def _name_maps(channels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    channels[:2] /= 1000  # HU to relative density
    return dict(zip(("water_mm", "bone_mm", *MASKS), channels, strict=False))


STAGE = Stage("project_ct", run, upstream=("read_ct", "segment_anatomy"), reads=("ct.nii.gz", "anatomy.nii.gz"))
