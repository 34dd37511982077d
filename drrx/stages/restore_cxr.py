"""Stage ``restore_cxr``: every DRR of a case to an enhanced CXR."""

import functools
from collections.abc import Sequence
from pathlib import Path

from drrx.io.files import write_json
from drrx.io.image import read_image, write_image
from drrx.pairs.window import measure_window
from drrx.restorer.model import Restorer, load_restorer
from drrx.restorer.restore import restore_cxr
from drrx.restorer.settings import RestoreCxrSettings
from drrx.seeds import make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.layout import TWIN, variant_names


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``cxr.png`` and ``cxr.json`` of every image, twin and variants with one seed and the twin's window."""
    settings = make_settings(RestoreCxrSettings, job.settings, "restore_cxr")
    restorer = _load(settings.weights, settings.device)
    products: list[Path] = []
    for view in job.settings["views"]:
        window = measure_window(read_image(job.folder.image(TWIN, view, "drr.png")))
        seed = make_seed(job.seed, job.row.case, "restore_cxr", view)
        for variant in variant_names(job.settings["variants"]):
            drr = read_image(job.folder.image(variant, view, "drr.png"))
            (cxr,) = restore_cxr([drr], restorer, settings, [seed], windows=[window])
            image, record = (job.folder.image(variant, view, name) for name in ("cxr.png", "cxr.json"))
            write_image(image, cxr)
            facts = {"seed": seed, "weights_sha256": restorer.sha256, "window": [window.low, window.high]}
            write_json(record, facts | {"mode": settings.mode, "solver": settings.solver, "steps": settings.steps})
            products += [image, record]
    return products


@functools.lru_cache(maxsize=1)
def _load(weights: str, device: str) -> Restorer:
    return load_restorer(Path(weights) if weights else None, device)


def _sign_weights(job: CaseJob) -> str:
    settings = make_settings(RestoreCxrSettings, job.settings, "restore_cxr")
    return _load(settings.weights, settings.device).sha256


STAGE = Stage("restore_cxr", run, upstream=("compose_drr",), depends=_sign_weights)
