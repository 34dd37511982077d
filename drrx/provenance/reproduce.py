"""Make one image of a data set again, bit for bit: by the stages as they are, and nodules from their numbers."""

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drrx.errors import DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, sha256_file, write_json
from drrx.io.nifti import read_volume
from drrx.io.nodule_library import read_library
from drrx.nodule.nodule_library import LibraryNodule, make_library
from drrx.nodule.sample import render_nodule
from drrx.nodule.sham import make_sham
from drrx.provenance.record import ImageRecord
from drrx.records.anatomy import Anatomy
from drrx.records.nodule import Nodule
from drrx.records.patch import NodulePatch
from drrx.records.variant import REMOVED, TWIN, variant_role
from drrx.restorer.model import load_restorer
from drrx.stages.annotate_cxr import read_image_facts
from drrx.stages.batch import CaseJob
from drrx.stages.layout import CaseFolder
from drrx.stages.registry import load_stage
from drrx.stages.sample_nodules import read_known, write_variant
from drrx.volume import Volume

log = logging.getLogger(__name__)
FILES = ("drr.png", "cxr.png")
THREADS = (1, 2, 4, 8)
#: Facts of the case record that say which files it was made from, and the option that names each.
_SOURCES = {
    "sha256": ("the CT", "--ct"), "seed": ("the phantom", "--ct"), "lung_mask_sha256": ("the lung mask", "--mask"),
    "annotations_sha256": ("the annotations", "--annotations"),
}  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """What a record cannot hold.

    Attributes
    ----------
    row
        Where CT, lung mask and annotations lie.
    weights
        File of the restorer's weights, where they are not the delivered ones.
    nodule_library
        Folder of the library that nodules were transplanted from.
    """

    row: CohortRow
    weights: Path | None = None
    nodule_library: Path | None = None


@dataclass(frozen=True)
class Reproduction:
    """What came out.

    Attributes
    ----------
    made, recorded
        SHA-256 of ``drr.png`` and ``cxr.png`` as they are now, and on record.
    differing_facts
        Names of the recorded facts that came out otherwise.
    threads
        Threads of the network with which the CXR is the same; 0 is torch's own choice.
    """

    made: Mapping[str, str]
    recorded: Mapping[str, str]
    differing_facts: tuple[str, ...]
    threads: int

    @property
    def is_same(self) -> bool:
        """Whether both images are equal bit for bit."""
        return self.made == self.recorded

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"same": self.is_same, **asdict(self)}


def reproduce(record: ImageRecord, inputs: Inputs, output: Path) -> Reproduction:
    """Make one image again and write ``drr.png`` and ``cxr.png`` below ``output``.

    The stages ``read_ct``, ``segment_anatomy``, ``project_ct``, ``compose_drr`` and ``restore_cxr`` run on this case
    and view alone, in a folder that is removed. Inserted nodules are rendered from the numbers on record; nothing is
    drawn or placed again.

    Raises
    ------
    DrrxError
        CT, annotations, mask, weights or library are not those on record.
    """
    _check_weights(record, inputs.weights)
    with tempfile.TemporaryDirectory(prefix="drrx-") as name:
        folder = CaseFolder(Path(name), record.annotation.case)
        _run(record, inputs, folder, "read_ct")
        _check_sources(record, folder)
        _run(record, inputs, folder, "segment_anatomy")
        _write_nodules(record, folder, inputs.nodule_library)
        for stage in ("project_ct", "compose_drr"):
            _run(record, inputs, folder, stage)
        threads = _restore(record, inputs, folder)
        variant, view = record.annotation.variant, record.annotation.view
        output.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copyfile(folder.image(variant, view, file), output / file)
        facts = read_image_facts(folder, variant, view)
    recorded = {"drr.png": record.provenance["drr_sha256"], "cxr.png": record.provenance["cxr_sha256"]}
    differing = _compare(facts, {key: record.annotation.facts.get(key) for key in facts})
    made = {file: sha256_file(output / file) for file in FILES}
    return Reproduction(made, recorded, tuple(differing), threads)


def _restore(record: ImageRecord, inputs: Inputs, folder: CaseFolder) -> int:
    """Restore, and again with other numbers of threads while the CXR is not that on record; return the last number.

    Sums in another order change some pixels of small images by one grey level of 65536. How many threads there were is
    on no record, because records must not differ by it.
    """
    drr, cxr = (folder.image(record.annotation.variant, record.annotation.view, file) for file in FILES)
    chosen = record.stage_settings("restore_cxr")["threads"]
    for threads in (chosen,) if chosen or sha256_file(drr) != record.provenance["drr_sha256"] else (0, *THREADS):
        _run(record, inputs, folder, "restore_cxr", {"weights": str(inputs.weights or ""), "threads": threads})
        if sha256_file(cxr) == record.provenance["cxr_sha256"]:
            break
    return threads


def _run(
    record: ImageRecord, inputs: Inputs, folder: CaseFolder, stage: str, changed: Mapping[str, Any] | None = None
) -> None:
    settings = record.stage_settings(stage) | dict(changed or {})
    log.info("%s", stage)
    load_stage(stage).run(CaseJob(inputs.row, folder, settings, record.run["seed"]))


def _check_weights(record: ImageRecord, weights: Path | None) -> None:
    found, needed = load_restorer(weights).sha256, record.provenance["weights_sha256"]
    if found != needed:
        raise DrrxError(
            where="weights of the restorer", found=f"sha256 {found[:16]}... in {weights or 'the delivered file'}",
            needed=f"sha256 {needed[:16]}..., as on record",
            hint="Give the file that the images were made with: --weights.",
        )  # fmt: skip


def _check_sources(record: ImageRecord, folder: CaseFolder) -> None:
    """Refuse a case that was not made from what is on record."""
    source, recorded = read_json(folder.case_record)["source"], record.annotation.facts["ct"]["source"]
    for key, (name, option) in _SOURCES.items():
        if key == "annotations_sha256" and REMOVED not in record.variants:
            continue  # only where real nodules are taken out it matters which they are
        found, needed = (_shorten(key, facts.get(key)) for facts in (source, recorded))
        if found != needed:
            raise DrrxError(
                where=f"case {folder.case}: {name}", found=found, needed=f"{needed}, as on record",
                hint=f"Give the very file: {option} or --cohort.",
            )  # fmt: skip


def _shorten(key: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"seed {value}" if key == "seed" else f"sha256 {value[:16]}..."


def _write_nodules(record: ImageRecord, folder: CaseFolder, library: Path | None) -> None:
    ct, anatomy = read_volume(folder.ct), Anatomy(read_volume(folder.anatomy), read_json(folder.anatomy_qc))
    shown = [nodule for name in record.variants for nodule in record.nodules[name]]
    nodules = _read_library(shown, library)
    for variant in record.variants:
        if variant == REMOVED:
            known = read_known(folder, ct, anatomy)
            write_variant(folder, variant, [each.nodule for each in known], [each.patch for each in known], {})
        elif variant != TWIN:
            pairs = [_make_pair(nodule, variant, ct, anatomy, nodules) for nodule in record.nodules[variant]]
            facts = {"sham_of": "v" + variant[1:]} if variant_role(variant) == "sham" else {}
            write_variant(folder, variant, [pair[0] for pair in pairs], [pair[1] for pair in pairs], facts)
    write_json(folder.variants_file, {"variants": record.variants})


def _make_pair(
    nodule: Nodule, variant: str, ct: Volume, anatomy: Anatomy, library: Sequence[LibraryNodule]
) -> tuple[Nodule, NodulePatch]:
    patch = render_nodule(nodule, ct, anatomy, library)
    return make_sham(nodule, patch) if variant_role(variant) == "sham" else (nodule, patch)


def _read_library(nodules: Sequence[Nodule], library: Path | None) -> tuple[LibraryNodule, ...]:
    if not any(nodule.transplant for nodule in nodules):
        return ()
    if library is None:
        raise DrrxError(
            where="nodules", found="one that was transplanted from a library", needed="the folder of that library",
            hint="Give it: --nodule-library.",
        )  # fmt: skip
    return make_library(read_library(library))


def _compare(made: Any, recorded: Any, name: str = "") -> list[str]:
    """Return the names of all values that differ, with dots between their parts."""
    if isinstance(made, dict) and isinstance(recorded, dict):
        keys = sorted(made.keys() | recorded.keys())
        return [path for key in keys for path in _compare(made.get(key), recorded.get(key), f"{name}.{key}".strip("."))]
    # JSON knows no tuples.
    same = list(made) == list(recorded) if isinstance(made, list | tuple) and recorded is not None else made == recorded
    return [] if same else [name]
