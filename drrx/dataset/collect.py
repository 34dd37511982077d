"""Put the data set together: images, masks, annotations, tables, pages; the manifest comes last."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

import drrx
from drrx.annotate.mask import decode_mask
from drrx.dataset.coco import make_coco, make_images_csv, make_nodules_csv
from drrx.dataset.entries import TWIN, CaseOutcome, ImageEntry, read_case
from drrx.dataset.page import make_page
from drrx.dataset.preview import make_contact_sheet, make_panels, preview_name, write_previews
from drrx.dataset.settings import CollectDatasetSettings
from drrx.io.files import sha256_file, write_json, write_text, write_whole
from drrx.io.image import write_image

FOLDERS = ("images", "drr", "masks", "previews")


def collect_dataset(
    results: Path,
    cases: Sequence[tuple[str, str]],
    views: Sequence[str],
    settings: CollectDatasetSettings,
    run_facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write ``results/dataset`` and ``results/summary.json``.

    Parameters
    ----------
    results
        Folder of the run; the files of case ``c`` lie in ``cases/c`` as the stages write them.
    cases
        ``(case, cohort)`` in the order of the cohort table; images and ids follow it.
    views
        Views of every case; its variants stand in its ``variants.json``.
    settings
        Layout of the data set.
    run_facts
        Goes into the manifest as it is: master seed, settings of all stages. JSON-ready, without absolute paths.

    Returns
    -------
    The summary: cases by status with code, detail and hint, and counts.

    Notes
    -----
    An old manifest is removed first and the new one written last: a data set without a manifest is not complete. The
    same inputs give the same bytes.
    """
    folder = Path(results) / "dataset"
    (folder / "manifest.json").unlink(missing_ok=True)
    outcomes: list[CaseOutcome] = []
    entries: list[ImageEntry] = []
    for case, cohort in cases:
        outcome, images = read_case(Path(results), case, cohort, views)
        outcomes.append(outcome)
        entries += images
    names = _write_images(folder, entries, settings)
    names += _write_tables(folder, entries)
    names += _write_pages(folder, outcomes, entries, settings)
    _remove_others(folder, set(names))
    summary = make_summary(outcomes, entries)
    write_json(Path(results) / "summary.json", summary)
    files = {
        name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size} for name in sorted(names)
    }
    facts = {"drrx": drrx.__version__, "run": dict(run_facts), "counts": summary["counts"], "files": files}
    write_json(folder / "manifest.json", facts | {"cases": [outcome.to_json() for outcome in outcomes]})
    return summary


def make_summary(outcomes: Sequence[CaseOutcome], entries: Sequence[ImageEntry]) -> dict[str, Any]:
    """Return cases by status and counts, JSON-ready."""
    summary: dict[str, Any] = {
        status: [outcome.to_json() for outcome in outcomes if outcome.status == status]
        for status in ("accepted", "corrected", "refused")
    }
    nodules = [nodule for entry in entries for nodule in entry.annotation.nodules]
    counts = {status: len(found) for status, found in summary.items()}
    counts |= {"cases": len(outcomes), "images": len(entries), "twins": sum(e.role == TWIN for e in entries)}
    counts |= {"nodules": len(nodules), "visible_nodules": sum(n.truth_visible for n in nodules)}
    return summary | {"counts": counts}


def _write_images(folder: Path, entries: Sequence[ImageEntry], settings: CollectDatasetSettings) -> list[str]:
    names = []
    for entry in entries:
        for source, name in ((entry.cxr, entry.file_name), (entry.drr, entry.drr_file_name)):
            _place(source, folder / name, settings.image_files == "link")
            names.append(name)
        for nodule in entry.annotation.nodules:
            names.append(entry.mask_file_name(nodule.nodule.nodule_id))
            write_image(folder / names[-1], decode_mask(nodule.mask), bits=8)
    return names


def _place(source: Path, target: Path, link: bool) -> None:
    """Link or copy a file, whole; file systems that cannot link get a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        # Renaming one hard link onto another of the same file does nothing, so the old one goes first.
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    with write_whole(target) as temporary:
        shutil.copyfile(source, temporary)


def _write_tables(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    write_json(folder / "annotations.json", make_coco(entries))
    write_text(folder / "images.csv", make_images_csv(entries))
    write_text(folder / "nodules.csv", make_nodules_csv(entries))
    return ["annotations.json", "images.csv", "nodules.csv"]


def _write_pages(
    folder: Path, outcomes: Sequence[CaseOutcome], entries: Sequence[ImageEntry], settings: CollectDatasetSettings
) -> list[str]:
    """Write previews, contact sheet and index; images with nodules first, twins only where there are none."""
    twins = {entry.pair_id: entry for entry in entries if entry.role == TWIN}
    chosen = [entry for entry in entries if entry.role != TWIN] or list(entries)
    names: list[str] = []
    rows: list[tuple[ImageEntry, dict[str, Image.Image]]] = []
    shown: list[tuple[ImageEntry, dict[str, str]]] = []
    for number, entry in enumerate(chosen[: max(settings.preview_rows, settings.contact_rows)]):
        panels = make_panels(entry, twins.get(entry.pair_id), settings.preview_px)
        if number < settings.preview_rows:
            names += write_previews(folder, entry, panels)
            shown.append((entry, {panel: preview_name(entry, panel) for panel in panels}))
        if number < settings.contact_rows:
            rows.append((entry, panels))
    sheet = make_contact_sheet(rows, settings.preview_px)
    with write_whole(folder / "contact_sheet.png") as temporary, temporary.open("wb") as stream:
        sheet.save(stream, format="PNG")
    write_text(folder / "index.html", make_page(outcomes, entries, shown))
    return [*names, "contact_sheet.png", "index.html"]


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove images, masks and previews of cases that are no longer in the cohort."""
    for name in FOLDERS:
        for path in sorted((folder / name).glob("*")):
            if path.is_file() and f"{name}/{path.name}" not in names:
                path.unlink()
