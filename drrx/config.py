"""All settings of the pipeline in one object: what ``config.yaml`` holds, checked, and the schema made from it.

The defaults live in the stages' own ``settings.py``; this module only puts them together. It is read each time
Snakemake parses the workflow, so it imports settings and nothing heavy.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

import drrx
from drrx.anatomy.settings import SegmentAnatomySettings
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.dataset.settings import CollectDatasetSettings
from drrx.errors import DrrxError
from drrx.fingerprint import stage_fingerprint
from drrx.geometry import VIEW_NAME_PATTERN, VIEW_NAMES, ViewName
from drrx.io.settings import ReadCtSettings
from drrx.io.strict_yaml import check_texts
from drrx.nodule.settings import SampleNodulesSettings
from drrx.phantom.settings import MakePhantomSettings
from drrx.projector.settings import ProjectCtSettings
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.variant import check_num_shams
from drrx.restorer.settings import RestoreCxrSettings
from drrx.settings import Field, settings
from drrx.train.settings import TrainSettings

__all__ = [
    "STAGES",
    "Config",
    "jitter_seed",
    "load_config",
    "make_config_yaml",
    "make_schema",
    "stage_fingerprint",
    "stage_settings",
]

#: Stages in their order.
STAGES = (
    "read_ct", "segment_anatomy", "sample_nodules", "project_ct", "compose_drr", "restore_cxr", "annotate_cxr",
    "collect_dataset",
)  # fmt: skip
#: Top-level keys a stage needs beside its own section.
_SHARED: dict[str, tuple[str, ...]] = {
    "read_ct": ("make_phantom",),
    "sample_nodules": ("variants", "shams", "views"),
    "project_ct": ("views",),
    "compose_drr": ("views",),
    "restore_cxr": ("views",),
    "annotate_cxr": ("views",),
    # The manifest tells how everything was made.
    "collect_dataset": ("variants", "shams", "views", "make_phantom", *STAGES[:-1]),
}
#: Parts of another stage's section that a stage needs: a change of the rest of it changes nothing here.
_SHARED_PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    # Every nodule is looked at in its views before it is accepted.
    "sample_nodules": {
        "project_ct": tuple(field.name for field in fields(ProjectCtSettings) if field.name != "device"),
        "annotate_cxr": ("full_path_mm", "full_fraction", "visual_fraction", "edge_fraction", "min_delta_log_peak"),
    },
}
#: Options of a single command that the workflow sets itself; ``config.yaml`` does not offer them.
_SET_BY_WORKFLOW = {"sample_nodules": {"num_variants": "variants", "num_shams": "shams"}}


@settings
class Config:
    """What ``config.yaml`` holds: the run as a whole, then one section per stage."""

    cohort: str = Field(
        default="cohort.tsv", min_length=1, description="table of the CTs: case, path, cohort (docs/pipeline.md)"
    )
    results: str = Field(default="results", min_length=1, description="folder that everything is written to")
    seed: int = Field(default=0, ge=0, description="master seed: the same seed gives the same data set")
    shard_size: int = Field(
        default=32, ge=1, le=1000, description="cases one job works on at most; a small cohort is cut finer"
    )
    variants: int = Field(
        default=2, ge=0, le=1000, description="images with nodules per case and view, beside the nodule-free twin"
    )
    shams: int = Field(
        default=0, ge=0, le=1000,
        description="images per case and view that went through the insertion of v1, v2, ... with lung for nodule",
    )  # fmt: skip
    views: tuple[Annotated[str, Field(pattern=VIEW_NAME_PATTERN)], ...] = Field(
        default=("pa",), min_length=1,
        description=f"views of each case: {VIEW_NAMES}",
    )  # fmt: skip
    keep: Literal["all", "dataset"] = Field(
        default="all",
        description="dataset: remove a case's intermediate files (CT, label map, patches, projections) when its last "
        "stage is done; a later run that needs them makes them again",
    )
    make_phantom: MakePhantomSettings = Field(
        default=MakePhantomSettings(), description="Thorax CTs drawn from a seed, for rows with path phantom:SEED"
    )
    read_ct: ReadCtSettings = Field(default=ReadCtSettings(), description="CTs: what is read, corrected or refused")
    segment_anatomy: SegmentAnatomySettings = Field(
        default=SegmentAnatomySettings(), description="Anatomy: body, lungs, lobes, vessels, mediastinum and bone"
    )
    sample_nodules: SampleNodulesSettings = Field(
        default=SampleNodulesSettings(), description="Nodules: how many, of what kind and size, and where"
    )
    project_ct: ProjectCtSettings = Field(
        default=ProjectCtSettings(), description="Projection: where source and detector stand, and the image size"
    )
    compose_drr: ComposeDrrSettings = Field(
        default=ComposeDrrSettings(), description="The DRR: attenuation, scatter, noise, detector, display curve"
    )
    restore_cxr: RestoreCxrSettings = Field(
        default=RestoreCxrSettings(), description="Restoration: from the DRR to the enhanced CXR"
    )
    annotate_cxr: AnnotateCxrSettings = Field(
        default=AnnotateCxrSettings(), description="Annotations: boxes, masks, contrast and visibility of each nodule"
    )
    collect_dataset: CollectDatasetSettings = Field(
        default=CollectDatasetSettings(), description="The data set: files, previews and pages"
    )
    train: TrainSettings = Field(
        default=TrainSettings(), description="Training of the restorer (target train_restorer), apart from the data set"
    )


_ADAPTER: TypeAdapter[Config] = TypeAdapter(Config)


def load_config(values: Mapping[str, Any], where: str = "config.yaml") -> Config:
    """Check ``values`` (keys of ``config.yaml``; absent ones take their default) and return them as a ``Config``.

    Raises
    ------
    DrrxError
        Names the first key that is unknown or whose value is out of range, and what it may be.
    """
    for section, taken in _SET_BY_WORKFLOW.items():
        given = values.get(section)
        for key in taken.keys() & (given.keys() if isinstance(given, Mapping) else ()):
            raise DrrxError(
                where=f"{where}: {section}.{key}", found="a key that the workflow sets itself",
                needed=f"the top-level key '{taken[key]}'", hint=f"Remove {section}.{key}.",
            )  # fmt: skip
    check_texts(values, where)
    try:
        # A section that was left empty in YAML arrives as None and means its defaults.
        config = _ADAPTER.validate_python({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        raise _tell(error.errors()[0], where) from error
    check_num_shams(config.shams, config.variants, f"{where}: shams")
    if len(set(config.views)) < len(config.views):
        raise DrrxError(
            where=f"{where}: views", found=str(list(config.views)), needed="each view once", hint="Remove the double."
        )
    return config


def _tell(problem: Any, where: str) -> DrrxError:
    """Turn pydantic's first complaint into an error that names the key and, for a misspelt one, its neighbours."""
    *above, key = map(str, problem["loc"])
    found, needed = repr(problem["input"]), problem["msg"].replace("tuple", "list")
    hint = "config.yaml of the project lists every key with unit and default."
    if problem["type"] == "string_pattern_mismatch":  # only names of views have one
        needed = VIEW_NAMES
    if problem["type"] == "unexpected_keyword_argument":
        schema = make_schema()["properties"]
        known = list(schema[above[0]]["properties"] if above else schema)
        near = difflib.get_close_matches(key, known, n=3)
        found, needed = "an unknown key", "one of " + ", ".join(near or known)
    return DrrxError(where=f"{where}: {'.'.join([*above, key])}", found=found, needed=needed, hint=hint)


def to_values(config: Config) -> dict[str, Any]:
    """Return ``config`` as plain values (dict, list, str, number), as YAML and JSON hold them."""
    values: dict[str, Any] = _ADAPTER.dump_python(config, mode="json")
    for section, taken in _SET_BY_WORKFLOW.items():
        for key in taken:
            del values[section][key]
    return values


def stage_settings(config: Config, stage: str) -> str:
    """Return what ``drrx run-stage`` needs to know for ``stage``, as JSON: its own section and the keys it shares.

    Nothing else is in it, because a change of this text runs the stage again.
    """
    values = to_values(config)
    shared = {key: values[key] for key in _SHARED.get(stage, ())}
    parts = {
        section: {key: values[section][key] for key in keys} for section, keys in _SHARED_PARTS.get(stage, {}).items()
    }
    return json.dumps(values[stage] | shared | parts, sort_keys=True)


def jitter_seed(config: Config) -> int | None:
    """Return the master seed if a view is jittered by it, else ``None``: then no projection depends on it."""
    return config.seed if any(ViewName.parse(name).is_jittered for name in config.views) else None


def make_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of ``config.yaml``: keys, types, ranges, defaults, descriptions."""
    schema = _ADAPTER.json_schema()
    definitions = schema.pop("$defs", {})
    for name, section in schema["properties"].items():
        if "$ref" in section:
            section |= definitions[section.pop("$ref").rpartition("/")[2]] | {"description": section["description"]}
            for key in _SET_BY_WORKFLOW.get(name, ()):
                del section["properties"][key], section["default"][key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def make_config_yaml() -> str:
    """Return the text of the project's ``config.yaml``: every key with its default, explained."""
    lines = [
        "# Every setting of the pipeline, with its default. `snakemake --config seed=3` changes one for a run.",
        "# A config.yaml of your own may hold only the keys that differ. Lengths are in mm, angles in degrees.",
        "# `python -m drrx.config` writes this file and workflow/schemas/config.schema.json from drrx/*/settings.py.",
        "",
    ]
    for name, entry in make_schema()["properties"].items():
        if "properties" in entry:
            lines += ["", f"# {entry['description']}", f"{name}:"]
            for key, item in entry["properties"].items():
                lines += _yaml_lines(key, item, "  ")
        else:
            lines += _yaml_lines(name, entry, "")
    return "\n".join(lines) + "\n"


def _yaml_lines(key: str, entry: dict[str, Any], indent: str) -> list[str]:
    value = yaml.safe_dump(entry["default"], default_flow_style=True, width=10000).removesuffix("...\n").strip()
    return [f"{indent}# {entry.get('description', '')} (default: {value})", f"{indent}{key}: {value}"]


def write_project_files(root: Path) -> None:
    """Write ``config.yaml`` and ``workflow/schemas/config.schema.json`` below ``root``."""
    (root / "config.yaml").write_text(make_config_yaml(), encoding="utf-8")
    text = json.dumps(make_schema(), indent=2) + "\n"
    (root / "workflow" / "schemas" / "config.schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_project_files(Path(drrx.__file__).parent.parent)
