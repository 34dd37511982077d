"""Stage ``compose_drr``: twin and variants as displayed DRRs, and the path maps of every nodule."""

from collections.abc import Sequence
from pathlib import Path

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
    """Write ``drr.png``, ``drr.json`` and ``paths.npz`` of every image."""
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
            shadows = [cast_shadow(patch, view, settings) for patch in _read_patches(job, variant)]
            line_integral = sum((place_values(s.delta_line_integral, s, view.shape) for s in shadows), start=twin)
            image, facts, paths = (
                job.folder.image(variant, name, file) for file in ("drr.png", "drr.json", "paths.npz")
            )
            write_image(image, film.develop(line_integral))
            write_json(facts, record)
            write_arrays(paths, _name_arrays(shadows), compress=True)
            products += [image, facts, paths]
    return products


def _read_patches(job: CaseJob, variant: str) -> tuple[NodulePatch, ...]:
    return () if variant == TWIN else patches_from_arrays(read_arrays(job.folder.patches(variant)))


def _name_arrays(shadows: Sequence[Shadow]) -> dict[str, NDArray]:
    """Return the fields of the shadows as ``<number from 1>_<field>``; a twin has none."""
    return {
        f"{i}_{key}": np.asarray(value) for i, shadow in enumerate(shadows, 1) for key, value in vars(shadow).items()
    }


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
