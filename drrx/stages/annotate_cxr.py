"""Stage ``annotate_cxr``: boxes, masks and contrast of every nodule, before and after restoration."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow, shadows_from_arrays
from drrx.annotate.signal import Pair
from drrx.geometry import View
from drrx.io.arrays import read_arrays
from drrx.io.files import read_json, write_json
from drrx.io.image import read_image
from drrx.records.nodule import Nodule
from drrx.records.variant import TWIN
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``annotation.json`` of every image; the twin's has no nodules."""
    settings = make_settings(AnnotateCxrSettings, job.settings, "annotate_cxr")
    products: list[Path] = []
    for name in job.settings["views"]:
        maps = read_arrays(job.folder.projection(name))
        paths = {part: maps[f"{part}_path_mm"] for part in ("lung", "mediastinum", "bone")}
        view = View.from_json(read_json(job.folder.projection_record(name))["view"])
        twins = [_read(job, TWIN, name, file) for file in ("drr.png", "cxr.png")]
        for variant in job.folder.read_variants():
            positives = [_read(job, variant, name, file) for file in ("drr.png", "cxr.png")]
            drr, cxr = (Pair(twin, positive) for twin, positive in zip(twins, positives, strict=True))
            findings = [Finding(*found, drr, cxr) for found in _read_nodules(job, variant, name)]
            names = (job.row.case, variant, name)
            record = annotate_image(names, findings, view, paths, settings, {})
            products.append(job.folder.image(variant, name, "annotation.json"))
            write_json(products[-1], record.to_json())
    return products


def _read(job: CaseJob, variant: str, view: str, name: str) -> NDArray[np.float32]:
    return read_image(job.folder.image(variant, view, name))


def _read_nodules(job: CaseJob, variant: str, view: str) -> list[tuple[Nodule, Shadow]]:
    if variant == TWIN:
        return []
    nodules = [Nodule.from_json(item) for item in read_json(job.folder.nodules(variant))["nodules"]]
    shadows = shadows_from_arrays(read_arrays(job.folder.image(variant, view, "paths.npz")))
    return list(zip(nodules, shadows, strict=True))


STAGE = Stage("annotate_cxr", run, upstream=("sample_nodules", "project_ct", "compose_drr", "restore_cxr"))
