"""Stage ``project_ct``: basis line integrals of the CT and path maps of its anatomy, once per view."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.geometry import View
from drrx.io.arrays import write_arrays
from drrx.io.files import write_json
from drrx.io.nifti import read_volume
from drrx.projector.field import AIR_HU, extend_slices
from drrx.projector.project import project_volume
from drrx.projector.settings import ProjectCtSettings
from drrx.projector.window import make_view
from drrx.radiograph.attenuation import make_bases
from drrx.records.anatomy import Anatomy, Label
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.volume import Volume


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``projection.npz`` and ``projection.json`` of every view."""
    ct, anatomy = read_volume(job.folder.ct), Anatomy(read_volume(job.folder.anatomy))
    base = make_settings(ProjectCtSettings, job.settings, "project_ct")
    products: list[Path] = []
    for name in job.settings["views"]:
        view = make_view(ct, replace(base, projection=name))
        arrays, added_mm = project_case(ct, anatomy, view, base.device)
        write_arrays(job.folder.projection(name), arrays)
        record = {
            "view": view.to_json(),
            "repeated_slices_below_mm": added_mm[0],
            "repeated_slices_above_mm": added_mm[1],
        }
        write_json(job.folder.projection_record(name), record)
        products += [job.folder.projection(name), job.folder.projection_record(name)]
    return products


def project_plain(ct: Volume, view: View, device: str = "cpu") -> dict[str, NDArray[np.float32]]:
    """Project a CT as it is, table and all.

    Returns
    -------
    float32 ``[row, column]`` maps in mm: the bases ``water_mm`` and ``bone_mm``.
    """
    names, bases = ("water_mm", "bone_mm"), make_bases(ct.values)
    return {
        name: project_volume(ct.with_values(basis), view, device=device)
        for name, basis in zip(names, bases, strict=True)
    }


def project_case(
    ct: Volume, anatomy: Anatomy, view: View, device: str = "cpu"
) -> tuple[dict[str, NDArray[np.float32]], tuple[float, float]]:
    """Project a CT without its table, continued beyond its end slices, and the path maps of its anatomy.

    Parameters
    ----------
    ct, anatomy
        Canonical int16 HU and its labels, on one grid.
    view
        A frontal view.
    device
        As for ``project_volume``.

    Returns
    -------
    float32 ``[row, column]`` maps in mm: the bases ``water_mm`` and ``bone_mm``, and the paths ``lung_path_mm``,
    ``mediastinum_path_mm`` and ``bone_path_mm`` through the labels; and the lengths added below and above, in mm.
    """
    body = ct.with_values(np.where(anatomy.body, ct.values, np.int16(AIR_HU)))
    longer, added_mm = extend_slices(body, view)
    masks = {
        "lung_path_mm": anatomy.lung,
        "mediastinum_path_mm": anatomy.mask(Label.MEDIASTINUM),
        "bone_path_mm": anatomy.mask(Label.BONE),
    }
    paths = {name: project_volume(ct.with_values(mask), view, device=device) for name, mask in masks.items()}
    return project_plain(longer, view, device) | paths, added_mm


STAGE = Stage("project_ct", run, upstream=("read_ct", "segment_anatomy"))
