"""Stage ``restore_cxr``: every DRR of a case to an enhanced CXR."""

import dataclasses
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.diffusion.weights import read_weights
from drrx.errors import CaseFailed
from drrx.io.arrays import read_arrays
from drrx.io.files import write_json
from drrx.io.image import read_image, write_image
from drrx.records.variant import TWIN
from drrx.restorer.memory import run_within_memory
from drrx.restorer.model import DELIVERED, KIND, Restorer, load_restorer
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.twin import Twin, restore_twin
from drrx.seeds import make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.device import take_device

log = logging.getLogger(__name__)
TOLD = (
    "mode",
    "alpha",
    "grain",
    "solver",
    "steps",
    "quality",
    "low_band",
    "nodule_mode",
    "nodule_condition",
    "precision",
    "batch_size",
    "tile_px",
)


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``cxr.png`` and ``cxr.json`` of every image; variants take over the twin's seed, window and tone.

    A case that overflows in another precision than float32 is begun again in float32, and ``cxr.json`` says so.
    """
    settings = make_settings(RestoreCxrSettings, job.settings, "restore_cxr")
    work = functools.partial(_restore_case, job)
    try:
        return run_within_memory(work, settings)
    except CaseFailed as error:
        if error.code != "NON_FINITE_OUTPUT" or settings.precision == "float32":
            raise
        # The whole case, as after a lack of memory: a twin and its variants must be made alike.
        log.warning("%s: %s in %s. Again in float32.", error.where, error.found, settings.precision)
    return run_within_memory(work, dataclasses.replace(settings, precision="float32"))


def _restore_case(job: CaseJob, settings: RestoreCxrSettings) -> list[Path]:
    restorer = _load(settings.weights, settings.device)
    products: list[Path] = []
    for view in job.settings["views"]:
        seed = make_seed(job.seed, job.row.case, "restore_cxr", view)
        drr = read_image(job.folder.image(TWIN, view, "drr.png"))
        nodules = _map_nodules(job, view, drr.shape) if settings.nodule_condition else None
        twin = restore_twin(drr, restorer, settings, seed, nodules)
        for variant, cxr in _restore_all(job, view, twin):
            image, record = (job.folder.image(variant, view, name) for name in ("cxr.png", "cxr.json"))
            write_image(image, cxr)
            write_json(record, _make_record(twin))
            products += [image, record]
    return products


def _restore_all(job: CaseJob, view: str, twin: Twin) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield TWIN, twin.restored.image
    variants, size = job.folder.read_variants()[1:], twin.settings.batch_size
    for some in (variants[start : start + size] for start in range(0, len(variants), size)):
        drrs = [read_image(job.folder.image(variant, view, "drr.png")) for variant in some]
        yield from zip(some, twin.restore_variants(drrs), strict=True)


def _map_nodules(job: CaseJob, view: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return 1 where a ray meets a nodule of any variant."""
    total = np.zeros(shape, np.float32)
    for variant in job.folder.read_variants():
        arrays = read_arrays(job.folder.image(variant, view, "paths.npz"))
        for name in (key.removesuffix("_path_mm") for key in arrays if key.endswith("_path_mm")):
            path, row, column = arrays[f"{name}_path_mm"], int(arrays[f"{name}_row"]), int(arrays[f"{name}_column"])
            part = total[row : row + path.shape[0], column : column + path.shape[1]]
            np.maximum(part, path > 0, out=part)
    return total


def _make_record(twin: Twin) -> Mapping[str, Any]:
    facts = {"seed": twin.seed, "weights_sha256": twin.restorer.sha256, "device": twin.restorer.device.type}
    facts |= twin.restored.look.to_json()
    return facts | {name: getattr(twin.settings, name) for name in TOLD}


@functools.lru_cache(maxsize=1)
def _load(weights: str, device: str) -> Restorer:
    return load_restorer(Path(weights) if weights else None, take_device(device))


@functools.cache
def _hash_weights(weights: str) -> str:
    """Hash of the weights file. No device is taken for it: the case may be done already."""
    return read_weights(Path(weights) if weights else DELIVERED, KIND).sha256


def _sign_weights(job: CaseJob) -> str:
    weights = make_settings(RestoreCxrSettings, job.settings, "restore_cxr").weights
    return _hash_weights(weights)


STAGE = Stage("restore_cxr", run, upstream=("sample_nodules", "compose_drr"), depends=_sign_weights)
