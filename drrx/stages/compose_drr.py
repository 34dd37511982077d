"""Stage ``compose_drr``: twin and variants as displayed DRRs, and the path maps of every nodule."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.annotate import Shadow, place_values
from drrx.errors import CaseRefused
from drrx.geometry import View
from drrx.io.arrays import read_arrays, write_arrays
from drrx.io.files import read_json, write_json
from drrx.io.image import write_image
from drrx.projector.project import project_volume
from drrx.projector.window import find_window
from drrx.radiograph.attenuation import make_bases, make_line_integral
from drrx.radiograph.film import Film
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.nodule import NodulePatch, patches_from_arrays
from drrx.seeds import make_rng, make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.layout import TWIN, variant_names
from drrx.volume import Volume


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``drr.png`` and ``drr.json`` of every image, and ``paths.npz`` of those with nodules."""
    settings = make_settings(ComposeDrrSettings, job.settings, "compose_drr")
    products: list[Path] = []
    for name in job.settings["views"]:
        view = View.from_json(read_json(job.folder.projection_record(name))["view"])
        maps = read_arrays(job.folder.projection(name))
        twin = make_line_integral(maps["water_mm"], maps["bone_mm"], settings)
        # One seed for all variants of a view: away from the nodule an image must equal its twin.
        seed = make_seed(job.seed, job.row.case, "compose_drr", name)
        film = Film.expose_twin(twin, maps["lung_path_mm"], maps["mediastinum_path_mm"], view, settings, make_rng(seed))
        record = {"noise_seed": seed, "display": film.curve.to_json(), "view": view.to_json()}
        for variant in variant_names(job.settings["variants"]):
            products += _write_image(job, variant, twin.copy(), film, record)
    return products


def _write_image(
    job: CaseJob, variant: str, line_integral: NDArray[np.float32], film: Film, record: dict[str, Any]
) -> list[Path]:
    settings = make_settings(ComposeDrrSettings, job.settings, "compose_drr")
    view = View.from_json(record["view"])
    products = [job.folder.image(variant, view.name, name) for name in ("drr.png", "drr.json")]
    if variant != TWIN:
        paths: dict[str, NDArray] = {}
        patches = patches_from_arrays(read_arrays(job.folder.patches(variant)))
        for number, patch in enumerate(patches, 1):
            shadow = cast_shadow(patch, view, settings)
            line_integral += place_values(shadow.delta_line_integral, shadow, view.shape)
            paths |= {f"{number}_{key}": np.asarray(value) for key, value in vars(shadow).items()}
        products.append(job.folder.image(variant, view.name, "paths.npz"))
        write_arrays(products[-1], paths, compress=True)
    write_image(products[0], film.develop(line_integral))
    write_json(products[1], record)
    return products


def cast_shadow(patch: NodulePatch, view: View, settings: ComposeDrrSettings) -> Shadow:
    """Project a nodule patch alone, on the part of the detector it covers.

    Raises
    ------
    CaseRefused
        ``NODULE_OUTSIDE``: no ray of the view meets the patch.
    """
    window = find_window(patch.grid, view)
    if window is None:
        raise CaseRefused(
            "NODULE_OUTSIDE", where=f"view {view.name}", found="a nodule beside the detector",
            needed="a nodule that the view shows", hint="Make project_ct.detector_mm larger, or change the seed.",
        )  # fmt: skip
    part = view.window(*window)

    def project(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return project_volume(Volume(values, patch.world_from_index), part)

    before, after = make_bases(patch.hu_before), make_bases(patch.hu_after)
    water_mm, bone_mm = (project(new - old) for old, new in zip(before, after, strict=True))
    added = make_line_integral(water_mm, bone_mm, settings)
    return Shadow(project(patch.occupancy), added, row=window[0].start, column=window[1].start)


STAGE = Stage("compose_drr", run, upstream=("sample_nodules", "project_ct"))
