"""The audit of inserted nodules, part by part, into one report."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drrx.evaluate.nodule_audit.achieved import measure_insertion
from drrx.evaluate.nodule_audit.checks import IMAGE_CHECKS, NODULE_CHECKS, summarize_groups
from drrx.evaluate.nodule_audit.figures import draw_comparison, save_figure
from drrx.evaluate.nodule_audit.matched import measure_matched, measure_real
from drrx.evaluate.nodule_audit.pictures import Picture, draw_nodules, make_picture
from drrx.evaluate.nodule_audit.report import to_markdown
from drrx.evaluate.nodule_audit.results import Case, Inserted
from drrx.evaluate.nodule_audit.settings import EvaluateNodulesSettings
from drrx.evaluate.nodule_audit.shown import measure_image
from drrx.evaluate.nodule_audit.two_sample import MEASURES, compare_samples
from drrx.io.files import write_text
from drrx.nodule.nodule_library import LibraryNodule, make_library
from drrx.nodule.settings import SampleNodulesSettings
from drrx.records.nodule_library import LibraryPatch
from drrx.seeds import make_rng, make_seed

GROUPS = ("kind", "margin", "attachment", "origin", "case")
LARGE_MM = 7.0  # real and inserted are compared below and above as well
Row = dict[str, Any]
Report = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Audit:
    """Everything an audit works with.

    Attributes
    ----------
    cases
        Of results folders, whose nodules are checked.
    nodule_library
        Real nodules to set beside them; may be none.
    hosts
        Cases that nodules like the real ones are inserted into, for the comparison; may be none.
    settings, sampling
        How to look; how to draw the nodules of the comparison.
    folder
        Where the report is written.
    """

    cases: tuple[Case, ...]
    nodule_library: tuple[LibraryPatch, ...]
    hosts: tuple[Case, ...]
    settings: EvaluateNodulesSettings
    sampling: SampleNodulesSettings
    folder: Path
    progress: Callable[[str], None] = lambda _: None


def audit_nodules(audit: Audit) -> Report:
    """Do every part there is material for; write ``report.json``, ``report.md`` and the figures."""
    report: Report = {"settings": asdict(audit.settings)}
    if audit.cases:
        report |= check_cases(audit)
    if audit.nodule_library and audit.hosts:
        report["comparison"] = compare_with_real(audit)
    write_text(audit.folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_text(audit.folder / "report.md", to_markdown(report))
    return report


def check_cases(audit: Audit) -> Report:
    """Check every inserted nodule of every case; draw some of them."""
    chosen, library = choose_nodules(audit.cases, audit.settings), make_library(audit.nodule_library)
    nodules, images, refused = [], [], []
    pictures: list[Picture] = []
    rejections: Counter[str] = Counter()
    for case in audit.cases:
        found = check_case(case, chosen, library)
        nodules += found[0]
        images += found[1]
        pictures += found[2]
        rejections.update(case.rejections)
        if case.refusal is not None:
            refused.append({"case": case.name, **case.refusal})
        audit.progress(f"{case.name}: {len(found[0])} nodules checked")
    if pictures:
        save_figure(draw_nodules(pictures, audit.nodule_library, audit.settings), audit.folder / "nodules.png")
    return {
        "num_nodules": len(nodules), "num_images": len(images), "num_attempts": sum(r["attempts"] for r in nodules),
        "nodules": summarize_groups(nodules, NODULE_CHECKS, GROUPS),
        "images": summarize_groups(images, IMAGE_CHECKS, GROUPS),
        "pictured": [picture.inserted.name for picture in pictures], "rejections": dict(rejections.most_common()),
        "refused": refused, "rows": nodules, "image_rows": images,
    }  # fmt: skip


def check_case(
    case: Case, chosen: Collection[str], library: Sequence[LibraryNodule] = ()
) -> tuple[list[Row], list[Row], list[Picture]]:
    """Return a row per inserted nodule, one per nodule and view, and the pictures of those that are ``chosen``."""
    nodules, images, pictures = [], [], []
    inserted_here = list(case.read_inserted())
    if not inserted_here:
        return [], [], []
    ct, anatomy = case.read_ct(), case.read_anatomy()
    for inserted in inserted_here:
        row = describe(inserted)
        nodules.append(row | measure_insertion(inserted.nodule, inserted.patch, ct, anatomy, library))
        for shown in inserted.shown:
            named = row | {"name": f"{inserted.name}_{shown.view.name}"}
            images.append(named | measure_image(shown, inserted.patch))
        if inserted.name in chosen:
            pictures.append(make_picture(inserted, ct))
    return nodules, images, pictures


def describe(inserted: Inserted) -> Row:
    """Return what a nodule is called and asked to be."""
    nodule = inserted.nodule
    return {
        "name": inserted.name, "case": inserted.case.name, "kind": nodule.kind, "margin": nodule.margin,
        "attachment": nodule.attachment, "origin": nodule.origin, "asked_mm": nodule.diameter_mm,
        "attempts": nodule.num_attempts,
    }  # fmt: skip


def choose_nodules(cases: Sequence[Case], settings: EvaluateNodulesSettings) -> set[str]:
    """Return the names of nodules to draw: at random, the same for the same seed and cases."""
    names = [name for case in cases for name in case.list_inserted()]
    order = make_rng(make_seed(settings.seed, "nodule_audit", "pictures")).permutation(len(names))
    return {names[i] for i in order[: settings.num_pictures]}


def compare_with_real(audit: Audit) -> Report:
    """Set inserted nodules beside those of the library; by group: each measure's distribution and test."""
    real = measure_real(audit.nodule_library)
    inserted, refused = measure_matched(real, audit.hosts, audit.sampling, audit.settings.seed, audit.progress)
    groups: Report = {}
    for name, chosen in _group(real).items():
        names = {row["name"] for row in chosen}
        found = compare_samples(chosen, [row for row in inserted if row["name"] in names], MEASURES)
        if found:
            groups[name] = {"real": len(chosen), "inserted": sum(row["name"] in names for row in inserted)}
            groups[name]["measures"] = {key: asdict(value) for key, value in found.items()}
    hosts = {row["case"]: row["slice_mm"] for row in inserted}
    save_figure(draw_comparison(real, inserted), audit.folder / "comparison.png")
    return {"groups": groups, "hosts": hosts, "refused": refused, "real": real, "inserted": inserted}


def _group(real: Sequence[Row]) -> dict[str, list[Row]]:
    groups = {"all": list(real)}
    solid = [row for row in real if row["kind"] == "solid"]
    groups[f"solid, below {LARGE_MM:g} mm"] = [row for row in solid if row["diameter_mm"] < LARGE_MM]
    groups[f"solid, {LARGE_MM:g} mm and more"] = [row for row in solid if row["diameter_mm"] >= LARGE_MM]
    for kind in ("part_solid", "ground_glass", "calcified"):
        groups[kind.replace("_", " ")] = [row for row in real if row["kind"] == kind]
    return groups
