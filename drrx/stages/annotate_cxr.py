"""Stage ``annotate_cxr``: boxes, masks and contrast of every nodule, before and after restoration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import drrx
from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import shadows_from_arrays
from drrx.annotate.signal import Pair
from drrx.geometry import View
from drrx.io.arrays import read_arrays
from drrx.io.files import read_json, write_json
from drrx.io.image import read_image
from drrx.records.nodule import Nodule
from drrx.records.variant import REMOVED, TWIN, variant_role
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.layout import CaseFolder

FILES = ("drr.png", "cxr.png")


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``annotation.json`` of every image.

    A nodule that was put in is annotated in its own variant and measured on twin and variant. A real one of the CT is
    in every image but ``removed``; it is annotated there and measured on ``removed`` and twin.
    """
    settings = make_settings(AnnotateCxrSettings, job.settings, "annotate_cxr")
    folder, variants = job.folder, job.folder.read_variants()
    case_facts = read_case_facts(folder)
    products: list[Path] = []
    for name in job.settings["views"]:
        maps = read_arrays(folder.anatomy_paths(name))
        paths = {part: maps[f"{part}_path_mm"].astype(np.float32) for part in ("lung", "mediastinum", "bone")}
        view = View.from_json(read_json(folder.projection_record(name))["view"])
        real = read_findings(folder, REMOVED, name, (REMOVED, TWIN)) if REMOVED in variants else []
        for variant in variants:
            is_positive = variant_role(variant) == "positive"
            findings = read_findings(folder, variant, name, (TWIN, variant)) if is_positive else []
            findings += [] if variant == REMOVED else real
            facts = case_facts | read_image_facts(folder, variant, name)
            record = annotate_image((job.row.case, variant, name), findings, view, paths, settings, facts)
            products.append(folder.image(variant, name, "annotation.json"))
            write_json(products[-1], record.to_json())
    return products


def read_findings(folder: CaseFolder, variant: str, view: str, pair: tuple[str, str]) -> list[Finding]:
    """Return the nodules of ``variant``, each with the images without and with them: the variants of ``pair``."""
    drr, cxr = (Pair(*(read_image(folder.image(each, view, file)) for each in pair)) for file in FILES)
    nodules = [Nodule.from_json(item) for item in read_json(folder.nodules(variant))["nodules"]]
    shadows = shadows_from_arrays(read_arrays(folder.image(variant, view, "paths.npz")))
    return [Finding(nodule, shadow, drr, cxr) for nodule, shadow in zip(nodules, shadows, strict=True)]


def read_case_facts(folder: CaseFolder) -> dict[str, Any]:
    """Return what all images of a case share: the CT, its quality, the version of drrx; JSON-ready.

    What stands for the CT's UID stays in ``case.json``: the record goes into the data set, and no identifier of a
    patient's CT may.
    """
    record = read_json(folder.case_record)
    source = {key: value for key, value in record["source"].items() if key != "series_sha256"}
    quality = {key: record[key] for key in ("status", "corrections", "flags")}
    return {
        "ct": {**record["geometry"], "source": source},
        "quality": quality | {"anatomy": read_json(folder.anatomy_qc)},
        "versions": {"drrx": drrx.__version__},
    }


def read_image_facts(folder: CaseFolder, variant: str, view: str) -> dict[str, Any]:
    """Return how one image was made: geometry, physics, noise, display curve, restoration; JSON-ready.

    Noise, scatter and display curve are the twin's, in every variant. A sham names the image whose nodules it repeats.
    """
    drr = read_json(folder.image(variant, view, "drr.json"))
    shared = {"noise_scatter_display_from": f"{folder.case}_{TWIN}_{view}"}
    facts = {
        "geometry": read_json(folder.projection_record(view)),
        "radiograph": {key: value for key, value in drr.items() if key != "view"} | shared,
        "restoration": read_json(folder.image(variant, view, "cxr.json")),
    }
    if variant_role(variant) == "sham":
        facts["sham_of"] = f"{folder.case}_{read_json(folder.nodules(variant))['sham_of']}_{view}"
    return facts


STAGE = Stage(
    "annotate_cxr", run,
    upstream=("read_ct", "segment_anatomy", "sample_nodules", "project_ct", "compose_drr", "restore_cxr"),
)  # fmt: skip
