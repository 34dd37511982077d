"""Stage ``sample_nodules``: which variants a case has, and the nodules of each as records and patches."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drrx.annotate.settings import AnnotateCxrSettings
from drrx.geometry import ViewName
from drrx.io.arrays import write_arrays
from drrx.io.files import read_json, write_json
from drrx.io.nifti import read_volume
from drrx.io.nodule_library import read_library
from drrx.io.nodule_library_index import sign_library
from drrx.nodule.known import KnownNodule, find_known_nodules
from drrx.nodule.nodule_library import LibraryNodule, make_library
from drrx.nodule.psf import find_scan_blur
from drrx.nodule.sample import NoduleSample, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.sham import make_sham
from drrx.projector.settings import ProjectCtSettings
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import Nodule
from drrx.records.patch import NodulePatch, patches_to_arrays
from drrx.records.variant import REMOVED, make_variant_names
from drrx.seeds import make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.stages.layout import CaseFolder
from drrx.stages.project_ct import make_case_view
from drrx.stages.view_check import ViewCheck
from drrx.volume import Volume


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``variants.json``, and ``nodules.json`` and ``nodules.npz`` of every variant but the twin.

    Those of ``removed`` hold the real nodules of the CT, where annotations tell of any.
    """
    folder = job.folder
    ct = read_volume(folder.ct)
    anatomy = Anatomy(read_volume(folder.anatomy), read_json(folder.anatomy_qc))
    settings = make_settings(SampleNodulesSettings, job.settings, "sample_nodules")
    num_variants, num_shams = job.settings["variants"], job.settings["shams"]
    known = read_known(folder, ct, anatomy)
    taken = [(each.nodule.center_world_mm, each.nodule.diameter_mm) for each in known]
    check = make_view_check(job, ct, [each.patch for each in known])
    library = _load_library(settings.nodule_library, _sign_library(job))
    blur = find_scan_blur(ct, anatomy.labels, settings)
    products: list[Path] = []
    for number in range(1, num_variants + 1):
        seed = make_seed(job.seed, job.row.case, "sample_nodules", f"v{number}")
        sample = sample_nodules(ct, anatomy, settings, seed, taken, check, library, blur)
        facts = {"seed": seed, "rejections": sample.rejections, "blur": blur.to_json()}
        products += write_variant(folder, f"v{number}", sample.nodules, sample.patches, facts)
        if number <= num_shams:
            products += write_sham(folder, f"s{number}", sample, {"seed": seed, "sham_of": f"v{number}"})
    if known:
        donors = {each.nodule.nodule_id: each.donor_shift_mm for each in known}
        nodules, patches = [each.nodule for each in known], [each.patch for each in known]
        products += write_variant(folder, REMOVED, nodules, patches, {"donor_shift_mm": donors})
    write_json(folder.variants_file, {"variants": make_variant_names(num_variants, num_shams, bool(known))})
    return [*products, folder.variants_file]


def read_known(folder: CaseFolder, ct: Volume, anatomy: Anatomy) -> tuple[KnownNodule, ...]:
    """Return the real nodules that the annotations of the cohort table tell of; none without."""
    told = read_json(folder.case_record)["source"].get("num_known_nodules", 0)
    return find_known_nodules(ct, read_volume(folder.known_nodules), anatomy) if told else ()


def make_view_check(job: CaseJob, ct: Volume, known: Sequence[NodulePatch] = ()) -> ViewCheck:
    """Return the check of places in all views of a case; ``known`` are patches of the CT's own nodules."""
    base = make_settings(ProjectCtSettings, job.settings["project_ct"], "project_ct")
    limits = make_settings(AnnotateCxrSettings, job.settings["annotate_cxr"], "annotate_cxr")
    views = [make_case_view(job, ct, base, ViewName.parse(name))[0] for name in job.settings["views"]]
    return ViewCheck(views, limits, known)


def write_sham(folder: CaseFolder, variant: str, sample: NoduleSample, facts: Mapping[str, Any]) -> list[Path]:
    """Write the shams of a variant's nodules as a variant of its own."""
    pairs = [make_sham(nodule, patch) for nodule, patch in zip(sample.nodules, sample.patches, strict=True)]
    return write_variant(folder, variant, [nodule for nodule, _ in pairs], [patch for _, patch in pairs], facts)


def write_variant(
    folder: CaseFolder,
    variant: str,
    nodules: Sequence[Nodule],
    patches: Sequence[NodulePatch],
    facts: Mapping[str, Any],
) -> list[Path]:
    """Write records and patches of one variant; ``facts`` go beside the records."""
    write_arrays(folder.patches(variant), patches_to_arrays(tuple(patches)), compress=True)
    write_json(folder.nodules(variant), {**facts, "nodules": [nodule.to_json() for nodule in nodules]})
    return [folder.patches(variant), folder.nodules(variant)]


@functools.lru_cache(maxsize=1)
def _load_library(folder: str, sha256: str) -> tuple[LibraryNodule, ...]:
    """Read the library once for all cases; ``sha256`` tells one state of the folder from another."""
    return make_library(read_library(folder)) if folder else ()


def _sign_library(job: CaseJob) -> str:
    folder = make_settings(SampleNodulesSettings, job.settings, "sample_nodules").nodule_library
    return sign_library(folder) if folder else ""


STAGE = Stage(
    "sample_nodules", run, upstream=("read_ct", "segment_anatomy"), depends=_sign_library,
    reads=("ct.nii.gz", "anatomy.nii.gz", "known_nodules.nii.gz"),
)  # fmt: skip
