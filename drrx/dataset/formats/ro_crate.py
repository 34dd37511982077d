"""The data set as a Research Object Crate (RO-Crate 1.1, profile Process Run Crate 0.5): who made what from what.

Source: https://w3id.org/ro/crate/1.1, https://w3id.org/ro/wfrun/process/0.5. Of single images the crate names the
folders; their checksums and inputs are lines of ``files.tsv`` and ``provenance.tsv``, which it names too. What is not
known (an author, a date) is left out, not invented.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import drrx
from drrx.dataset.about import CITATION, MAKING, SUMMARY, TITLE
from drrx.dataset.entries import ImageEntry
from drrx.dataset.formats.croissant import list_licences
from drrx.dataset.manifest import NAMES as MANIFEST_NAMES
from drrx.dataset.provenance import hash_json, name_source
from drrx.io.files import write_json

NAME = "ro-crate-metadata.json"
_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_CRATE = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
#: Terms of the crate's context come first; it has no word for a checksum.
_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_TYPES = {
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json", ".html": "text/html",
    ".jsonl": "application/jsonlines", ".md": "text/markdown", ".png": "image/png", ".txt": "text/plain",
    ".yaml": "application/yaml",
}  # fmt: skip
Entity = dict[str, Any]


def write_ro_crate(
    folder: Path, entries: Sequence[ImageEntry], names: Collection[str], run_facts: Mapping[str, Any],
    date_published: str | None = None,
) -> list[str]:  # fmt: skip
    """Write ``ro-crate-metadata.json``: one action that made the data set, its instrument, inputs and results.

    Parameters
    ----------
    folder
        The data set.
    entries
        Its images: their CTs and the weights of the restorer are the inputs.
    names
        Its other files, those of the manifest included, relative to it.
    run_facts
        Seed and settings, which the manifest holds too.
    date_published
        ``YYYY-MM-DD``; RO-Crate wants one in what is published.

    Returns
    -------
    The file's name.
    """
    parts = _describe_parts({*names, *MANIFEST_NAMES})
    inputs = [*_describe_sources(entries), *_describe_weights(entries), *_describe_run(run_facts)]
    program: Entity = {
        "@id": "#drrx", "@type": "SoftwareApplication", "name": "drrx", "softwareVersion": drrx.__version__,
        "description": MAKING,
    }  # fmt: skip
    action: Entity = {
        "@id": "#run", "@type": "CreateAction", "name": f"drrx {drrx.__version__} made the data set",
        "instrument": _refer(program), "object": [_refer(each) for each in inputs],
        "result": [_refer(each) for each in parts], "actionStatus": "http://schema.org/CompletedActionStatus",
    }  # fmt: skip
    root: Entity = {
        "@id": "./", "@type": "Dataset", "name": TITLE, "description": SUMMARY, "conformsTo": {"@id": _PROFILE},
        "license": "; ".join(list_licences(entries)), "creditText": CITATION,
        "hasPart": [_refer(each) for each in parts], "mentions": _refer(action),
    }  # fmt: skip
    if date_published:
        root["datePublished"] = date_published
    head: Entity = {
        "@id": NAME, "@type": "CreativeWork", "about": _refer(root), "conformsTo": [{"@id": _CRATE}],
    }  # fmt: skip
    profile: Entity = {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    graph = [head, root, profile, program, action, *inputs, *parts]
    write_json(folder / NAME, {"@context": [_CONTEXT, _TERMS], "@graph": graph})
    return [NAME]


def _refer(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _describe_parts(names: Collection[str]) -> list[Entity]:
    """Return the files at the top, and the folders; their sizes and sums stand in ``files.tsv``."""
    files: list[Entity] = [
        {"@id": name, "@type": "File", "name": name, "encodingFormat": _TYPES.get(Path(name).suffix, "text/plain")}
        for name in sorted(names)
        if "/" not in name
    ]
    counts: dict[str, int] = {}
    for name in sorted(names):
        top, slash, _ = name.partition("/")
        if slash:
            counts[top] = counts.get(top, 0) + 1
    folders: list[Entity] = [
        {"@id": f"{name}/", "@type": "Dataset", "name": name, "description": f"{count} files, listed in files.tsv"}
        for name, count in counts.items()
    ]
    return files + folders


def _describe_sources(entries: Sequence[ImageEntry]) -> list[Entity]:
    """Return the CTs by case and hash: they are not in the crate, and where they lie is nobody's business."""
    found: dict[str, Entity] = {}
    for entry in entries:
        if entry.case in found:
            continue
        source = entry.annotation.facts.get("ct", {}).get("source", {})
        entity: Entity = {"@id": f"#ct-{entry.case}", "@type": "CreativeWork", "name": f"CT of case {entry.case}"}
        told = {"identifier": name_source(source), "sha256": source.get("sha256")}
        told |= {"license": entry.source.licence, "description": entry.source.source}
        found[entry.case] = entity | {key: value for key, value in told.items() if value}
    return list(found.values())


def _describe_weights(entries: Sequence[ImageEntry]) -> list[Entity]:
    found = {entry.annotation.facts.get("restoration", {}).get("weights_sha256") for entry in entries} - {None}
    return [
        {"@id": f"#weights-{sha256[:16]}", "@type": "CreativeWork", "name": "weights of the restorer", "sha256": sha256}
        for sha256 in sorted(found)
    ]


def _describe_run(run_facts: Mapping[str, Any]) -> list[Entity]:
    """Return master seed and settings; the settings' values are in ``manifest.json`` under ``run``."""
    settings: Entity = {
        "@id": "#settings", "@type": "PropertyValue", "name": "settings of all stages", "value": hash_json(run_facts),
        "description": "SHA-256 of the key 'run' of manifest.json, run_sha256 there",
    }  # fmt: skip
    seed: Entity = {"@id": "#seed", "@type": "PropertyValue", "name": "seed", "value": run_facts.get("seed", 0)}
    return [seed, settings]
