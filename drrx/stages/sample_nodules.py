"""Stage ``sample_nodules``: every variant's nodules as records and patches; the twin has none."""

from collections.abc import Sequence
from pathlib import Path

from drrx.io.arrays import write_arrays
from drrx.io.files import read_json, write_json
from drrx.io.nifti import read_volume
from drrx.nodule.sample import sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import patches_to_arrays
from drrx.seeds import make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.layout import TWIN, variant_names


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``nodules.json`` and ``nodules.npz`` of every variant but the twin."""
    folder = job.folder
    ct = read_volume(folder.ct)
    anatomy = Anatomy(read_volume(folder.anatomy), read_json(folder.anatomy_qc))
    settings = make_settings(SampleNodulesSettings, job.settings, "sample_nodules")
    products: list[Path] = []
    for variant in variant_names(job.settings["variants"]):
        if variant == TWIN:
            continue
        seed = make_seed(job.seed, job.row.case, "sample_nodules", variant)
        sample = sample_nodules(ct, anatomy, settings, seed)
        record = {"seed": seed, "rejections": sample.rejections, "nodules": [n.to_json() for n in sample.nodules]}
        write_arrays(folder.patches(variant), patches_to_arrays(sample.patches), compress=True)
        write_json(folder.nodules(variant), record)
        products += [folder.patches(variant), folder.nodules(variant)]
    return products


STAGE = Stage("sample_nodules", run, upstream=("read_ct", "segment_anatomy"))
