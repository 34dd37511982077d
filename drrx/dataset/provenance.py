"""How each image was made: one line per image, and what made its case, said once for all that share it."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drrx.dataset.entries import ImageEntry
from drrx.errors import DrrxError
from drrx.io.files import read_json, write_text

NAME = "provenance.tsv"
#: Stages before the data set, in their order; the last annotates.
STAGES = (
    "read_ct", "segment_anatomy", "sample_nodules", "project_ct", "compose_drr", "restore_cxr", "annotate_cxr",
)  # fmt: skip
COLUMNS = (
    "image_id", "case", "variant", "view", "role", "source", "annotations_sha256", "lung_mask_sha256", "ct_sha256",
    "weights_sha256", "noise_seed", "restore_seed", "nodule_seeds", "sham_of", "made_by", "drr_sha256", "cxr_sha256",
)  # fmt: skip


def hash_json(value: Any) -> str:
    """Return the SHA-256 of plain JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Makings:
    """What made the cases: version, code and environment of each stage, each distinct set once.

    Attributes
    ----------
    sets
        Set by its id: for each stage ``drrx``, ``code`` (`drrx.fingerprint`) and the id of an environment.
    environments
        Versions of packages, by id.
    """

    def __init__(self) -> None:
        self.sets: dict[str, Any] = {}
        self.environments: dict[str, Any] = {}

    def add(self, stages: Mapping[str, Mapping[str, Any]]) -> str:
        """Keep what made a case, the stages' records by name, and return the id of its set; empty for none."""
        made = {name: self._shorten(record["made_by"]) for name, record in stages.items() if "made_by" in record}
        if not made:
            return ""
        key = hash_json(made)[:16]
        self.sets[key] = made
        return key

    def _shorten(self, made_by: Mapping[str, Any]) -> dict[str, str]:
        key = hash_json(made_by["environment"])[:16]
        self.environments[key] = made_by["environment"]
        return {"drrx": made_by["drrx"], "code": made_by["code"], "environment": key}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"made_by": self.sets, "environments": self.environments}


def read_stage_records(results: Path, case: str) -> dict[str, dict[str, Any]]:
    """Return the records of what the stages did to a case, by stage; those that are not there are left out."""
    files = {stage: results / "cases" / case / "stages" / f"{stage}.json" for stage in STAGES}
    return {stage: read_json(path) for stage, path in files.items() if path.is_file()}


def write_provenance(
    folder: Path, results: Path, entries: Sequence[ImageEntry], sums: Mapping[str, str]
) -> tuple[list[str], Makings]:
    """Write ``provenance.tsv``: a line per image with its inputs, seeds and what made it.

    Parameters
    ----------
    folder, results
        The data set, and the run that it comes from.
    entries
        Its images.
    sums
        SHA-256 of the files of the data set, by name.

    Returns
    -------
    The file's name, and what made the cases: the column ``made_by`` names one of its sets.
    """
    makings, known = Makings(), {entry.image_id: entry for entry in entries}
    cases: dict[str, dict[str, str]] = {}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        if entry.case not in cases:
            records = read_stage_records(results, entry.case)
            ct = records.get("read_ct", {}).get("products", {}).get("ct.nii.gz", "")
            cases[entry.case] = {"ct_sha256": ct, "made_by": makings.add(records)}
        writer.writerow(_describe(entry, known, sums) | cases[entry.case])
    write_text(folder / NAME, text.getvalue())
    return [NAME], makings


def _describe(entry: ImageEntry, known: Mapping[str, ImageEntry], sums: Mapping[str, str]) -> dict[str, Any]:
    facts = entry.annotation.facts
    source = facts.get("ct", {}).get("source", {})
    sham_of = facts.get("sham_of", "")
    drawn = known.get(sham_of, entry).annotation.nodules
    return {
        **{name: getattr(entry, name) for name in ("image_id", "case", "variant", "view", "role")},
        "source": name_source(source), "annotations_sha256": source.get("annotations_sha256", ""),
        "lung_mask_sha256": source.get("lung_mask_sha256", ""),
        "weights_sha256": facts.get("restoration", {}).get("weights_sha256", ""),
        "noise_seed": facts.get("radiograph", {}).get("noise_seed", ""),
        "restore_seed": facts.get("restoration", {}).get("seed", ""),
        "nodule_seeds": " ".join(str(each.nodule.seed) for each in drawn if each.nodule.origin != "real"),
        "sham_of": sham_of, "drr_sha256": sums[entry.drr_file_name], "cxr_sha256": sums[entry.file_name],
    }  # fmt: skip


def name_source(source: Mapping[str, Any]) -> str:
    """Return ``phantom:SEED``, or ``sha256:`` of the CT's files; empty when neither is known."""
    if source.get("format") == "phantom":
        return f"phantom:{source['seed']}"
    return f"sha256:{source['sha256']}" if "sha256" in source else ""


def read_provenance(folder: Path, image_id: str) -> dict[str, str]:
    """Return the line of one image; an image that the data set does not have is a ``DrrxError``."""
    with (folder / NAME).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if row["image_id"] == image_id:
                return row
    raise DrrxError(
        where=str(folder / NAME), found=f"no image {image_id!r}", needed="the id of an image: <case>_<variant>_<view>",
        hint="images.csv lists them all.",
    )  # fmt: skip
