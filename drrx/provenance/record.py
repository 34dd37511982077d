"""What a data set knows of one image: all that is needed to make it again but the CT itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from drrx.config import STAGES, Config, load_config, stage_fingerprint, stage_settings
from drrx.dataset.manifest import MANIFEST
from drrx.dataset.provenance import hash_json, read_provenance
from drrx.environment import read_environment
from drrx.errors import DrrxError
from drrx.io.files import read_json
from drrx.records.annotation import ImageAnnotation
from drrx.records.nodule import Nodule

RECORDS = "records.jsonl"


@dataclass(frozen=True)
class ImageRecord:
    """One image as its data set tells of it.

    Attributes
    ----------
    annotation
        Its record: case, variant, view, facts.
    nodules
        Nodules that were inserted, by variant of the case; of a sham those that it repeats.
    variants
        Variants that have to be made: the twin first.
    provenance
        Its line of ``provenance.tsv``.
    run
        Master seed and settings of all stages.
    made_by
        Version, code and id of the environment by stage.
    environment
        Versions of packages when the images were restored.
    """

    annotation: ImageAnnotation
    nodules: Mapping[str, tuple[Nodule, ...]]
    variants: tuple[str, ...]
    provenance: Mapping[str, str]
    run: Mapping[str, Any]
    made_by: Mapping[str, Mapping[str, str]]
    environment: Mapping[str, str]

    @property
    def config(self) -> Config:
        """The settings of the run, checked again by this version of drrx."""
        known = {field.name for field in fields(Config)} & self.run["settings"].keys()
        return load_config({key: self.run["settings"][key] for key in known}, f"{MANIFEST} run.settings")

    def stage_settings(self, stage: str) -> dict[str, Any]:
        """Return what ``stage`` is told, with the image's view as the only one.

        Where the restorer ran out of memory and took less at a time, its record says how much.
        """
        settings = {**json.loads(stage_settings(self.config, stage)), "views": [self.annotation.view]}
        if stage == "restore_cxr":
            told = self.annotation.facts["restoration"]
            taken = {key: told[key] for key in ("device", "batch_size", "tile_px") if key in told}
            if taken.get("tile_px", settings["tile_px"]) < settings["tile_px"]:
                taken["overlap_px"] = min(settings["overlap_px"], taken["tile_px"] // 4)
            settings |= taken
        return settings

    def list_changes(self) -> list[str]:
        """Return in words what of drrx or its environment is not as it was; none for the very same."""
        changes = []
        for stage in STAGES[: STAGES.index("annotate_cxr")]:
            made = self.made_by.get(stage)
            if made is None:
                changes.append(f"{stage}: not recorded by what code")
            elif made["code"] != stage_fingerprint(stage):
                changes.append(f"{stage}: code {made['code']} (drrx {made['drrx']}), here {stage_fingerprint(stage)}")
        here = read_environment()
        names = sorted(self.environment.keys() | here.keys()) if self.environment else []
        pairs = {name: (self.environment.get(name, "none"), here.get(name, "none")) for name in names}
        return changes + [f"{name}: {was}, here {now}" for name, (was, now) in pairs.items() if was != now]


def read_record(dataset: Path, image_id: str) -> ImageRecord:
    """Read all that a data set says of one image.

    Raises
    ------
    DrrxError
        There is no such image, or the records are of different runs, or of one that was collected without settings.
    """
    manifest, provenance = read_json(dataset / MANIFEST), read_provenance(dataset, image_id)
    if "settings" not in manifest["run"]:
        raise DrrxError(
            where=str(dataset / MANIFEST), found="no settings of the stages",
            needed="those of the run, which the workflow puts there", hint="Collect the data set by drrx run.",
        )  # fmt: skip
    lines = _read_pair(dataset, f"{provenance['case']}_{provenance['view']}")
    line = lines[provenance["variant"]]
    if line["run_sha256"] != hash_json(manifest["run"]):
        raise DrrxError(
            where=str(dataset / RECORDS), found=f"the record of another run ({line['run_sha256'][:16]}...)",
            needed="that of the run in the manifest", hint="Run drrx verify: a file is not of this data set.",
        )  # fmt: skip
    annotations = {name: ImageAnnotation.from_json(_strip(line)) for name, line in lines.items()}
    annotation = annotations[provenance["variant"]]
    made_by = manifest["made_by"].get(provenance["made_by"], {})
    by_id = {each.image_id: each for each in annotations.values()}
    shown = {name: by_id.get(each.facts.get("sham_of", ""), each) for name, each in annotations.items()}
    return ImageRecord(
        annotation, {name: _find_inserted(each) for name, each in shown.items()},
        _choose_variants(annotation, tuple(annotations)), provenance, manifest["run"], made_by,
        manifest["environments"].get(made_by.get("restore_cxr", {}).get("environment"), {}),
    )  # fmt: skip


def _read_pair(dataset: Path, pair_id: str) -> dict[str, dict[str, Any]]:
    """Return the records of all variants of a case and view, in their order."""
    mark = f'"pair_id": {json.dumps(pair_id)}'.encode()
    with (dataset / RECORDS).open("rb") as stream:
        lines = [json.loads(line) for line in stream if mark in line]
    return {line["variant"]: line for line in lines}


def _strip(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record alone, without what the data set adds to its line."""
    return {field.name: line[field.name] for field in fields(ImageAnnotation)}


def _find_inserted(annotation: ImageAnnotation) -> tuple[Nodule, ...]:
    return tuple(each.nodule for each in annotation.nodules if each.nodule.origin != "real")


def _choose_variants(annotation: ImageAnnotation, all_of_pair: tuple[str, ...]) -> tuple[str, ...]:
    """Return what has to be made beside the image: the twin, and the variants that went through the network with it.

    Those are the others of its batch; and all of them where the network was told of all nodules.
    """
    told, variant = annotation.facts["restoration"], annotation.variant
    twin, *others = all_of_pair
    if told["nodule_condition"]:
        return all_of_pair
    if variant == twin:
        return (twin,)
    size = told.get("batch_size", 1)
    start = others.index(variant) // size * size
    return (twin, *others[start : start + size])
