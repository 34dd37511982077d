"""Put the data set together: images, tables, formats, pages; the manifest comes last."""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drrx.dataset.card import write_card
from drrx.dataset.contact_sheet import write_contact_sheet
from drrx.dataset.entries import CaseOutcome, ImageEntry
from drrx.dataset.formats.coco import write_coco
from drrx.dataset.formats.croissant import NAME as CROISSANT
from drrx.dataset.formats.croissant import write_croissant
from drrx.dataset.formats.dicom import write_dicom
from drrx.dataset.formats.imagefolder import write_imagefolder
from drrx.dataset.formats.luna import write_luna
from drrx.dataset.formats.masks import write_masks
from drrx.dataset.formats.nih import write_nih
from drrx.dataset.formats.node21 import write_node21
from drrx.dataset.formats.path_maps import write_path_maps
from drrx.dataset.formats.ro_crate import NAME as RO_CRATE
from drrx.dataset.formats.ro_crate import write_ro_crate
from drrx.dataset.formats.vindr import write_vindr
from drrx.dataset.formats.yolo import write_yolo
from drrx.dataset.manifest import NAMES as MANIFEST_NAMES
from drrx.dataset.manifest import take_manifest, write_manifest
from drrx.dataset.provenance import hash_json
from drrx.dataset.read import read_case
from drrx.dataset.settings import CollectDatasetSettings, FormatName
from drrx.dataset.splits import check_shares
from drrx.dataset.tables import write_tables
from drrx.dataset.viewer.write import write_viewer
from drrx.io.cohort import CohortRow
from drrx.io.fence import hold_owner
from drrx.io.files import remove, write_json, write_whole
from drrx.records.variant import TWIN

#: Folders with nothing but files of the data set: what is not of this run is removed.
FOLDERS = ("images", "drr", "masks", "labels", "path_maps", "dicom", "previews")
#: What the setting ``formats`` names; each writes its files and returns their names.
FORMATS: Mapping[FormatName, Callable[[Path, Sequence[ImageEntry]], list[str]]] = {
    "coco": write_coco,
    "node21": write_node21,
    "vindr": write_vindr,
    "nih": write_nih,
    "yolo": write_yolo,
    "imagefolder": write_imagefolder,
    "masks": write_masks,
    "luna": write_luna,
    "path_maps": write_path_maps,
}


def collect_dataset(
    results: Path,
    rows: Sequence[CohortRow],
    views: Sequence[str],
    settings: CollectDatasetSettings,
    run_facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write ``results/dataset`` and ``results/summary.json``.

    Parameters
    ----------
    results
        Folder of the run; the files of case ``c`` lie in ``cases/c`` as the stages write them.
    rows
        The cohort table; images and ids follow its order. Free columns ``patient``, ``licence`` and ``source`` go into
        the tables; images of one patient are in one split.
    views
        Views of every case; its variants stand in its ``variants.json``.
    settings
        Layout of the data set.
    run_facts
        Goes into the manifest as it is: master seed, settings of all stages. JSON-ready, without absolute paths.

    Returns
    -------
    The summary: cases by status with code, detail and hint, refusals and rejected places by reason, and counts.

    Notes
    -----
    An old manifest is removed first and the new one written last: a data set without a manifest is not complete. The
    same inputs give the same bytes.
    """
    check_shares(settings.split_shares)
    folder = Path(results) / "dataset"
    old_names = take_manifest(folder)
    found = [read_case(Path(results), row, views, settings.split_shares) for row in rows]
    outcomes = [outcome for outcome, _ in found]
    entries = [entry for _, images in found for entry in images]
    names = _write_images(folder, entries, settings)
    names += write_tables(folder, entries, {"run_sha256": hash_json(run_facts)})
    for name in dict.fromkeys(settings.formats):
        names += FORMATS[name](folder, entries)
    if settings.dicom != "none":
        names += write_dicom(folder, entries, segments=settings.dicom == "dx+seg")
    names += write_contact_sheet(folder, entries, settings.contact_rows, settings.preview_px)
    names += write_card(folder, outcomes, entries, run_facts)
    listed = [*names, CROISSANT, RO_CRATE, *MANIFEST_NAMES]
    names += write_viewer(folder, outcomes, entries, listed, settings.preview_px)
    names += write_croissant(folder, entries, names, settings.date_published)
    names += write_ro_crate(folder, entries, names, run_facts, settings.date_published)
    _remove_others(folder, {*names, *MANIFEST_NAMES}, old_names)
    summary = make_summary(outcomes, entries)
    write_json(Path(results) / "summary.json", summary)
    cases = [outcome.to_json() for outcome in outcomes]
    write_manifest(Path(results), entries, names, {"run": dict(run_facts), "counts": summary["counts"], "cases": cases})
    return summary


def make_summary(outcomes: Sequence[CaseOutcome], entries: Sequence[ImageEntry]) -> dict[str, Any]:
    """Return cases by status, refusals by code, rejected places by reason, and counts, JSON-ready."""
    statuses = ("accepted", "corrected", "refused")
    cases = {status: [outcome.to_json() for outcome in outcomes if outcome.status == status] for status in statuses}
    nodules = [nodule for entry in entries for nodule in entry.annotation.nodules]
    counts = {status: len(found) for status, found in cases.items()}
    counts |= {"cases": len(outcomes), "patients": len({entry.source.patient for entry in entries})}
    counts |= {"images": len(entries), "twins": sum(entry.role == TWIN for entry in entries)}
    counts |= {"nodules": len(nodules), "visible_nodules": sum(nodule.truth_visible for nodule in nodules)}
    rejections: Counter[str] = Counter()
    for outcome in outcomes:
        rejections.update(outcome.rejections)
    by_code = {
        "refusals": _sort_counts(Counter(outcome.code for outcome in outcomes if outcome.code)),
        "rejections": _sort_counts(rejections),
        "splits": _sort_counts(Counter(entry.split for entry in entries)),
        "roles": _sort_counts(Counter(entry.role for entry in entries)),
    }
    return {**cases, **by_code, "counts": counts}


def _sort_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _write_images(folder: Path, entries: Sequence[ImageEntry], settings: CollectDatasetSettings) -> list[str]:
    names = []
    for entry in entries:
        for source, name in ((entry.cxr, entry.file_name), (entry.drr, entry.drr_file_name)):
            _place(source, folder / name, settings.image_files == "link")
            names.append(name)
    return names


def _place(source: Path, target: Path, link: bool) -> None:
    """Link or copy a file, whole; file systems that cannot link get a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        # Renaming one hard link onto another of the same file does nothing, so the old one goes first.
        with hold_owner():
            target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.link(source, target)
                return
    with write_whole(target) as temporary:
        shutil.copyfile(source, temporary)


def _remove_others(folder: Path, names: set[str], old_names: set[str]) -> None:
    """Remove what an earlier run wrote and this one did not: other cases, other formats."""
    lying = (path for name in FOLDERS for path in (folder / name).glob("*") if path.is_file())
    for name in sorted({path.relative_to(folder).as_posix() for path in lying} | old_names):
        if name not in names:
            remove(folder / name)
