"""Settings classes, config.yaml, its schema and the command-line options must say the same."""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from drrx.cli.options import add_settings
from drrx.config import (
    STAGES,
    Config,
    jitter_seed,
    load_config,
    make_config_yaml,
    make_schema,
    stage_settings,
    to_values,
)
from drrx.errors import DrrxError
from drrx.fingerprint import stage_fingerprint

ROOT = Path(__file__).parent.parent
SECTIONS = {
    field.name: field.default.default
    for field in dataclasses.fields(Config)
    if dataclasses.is_dataclass(field.default.default)
}
#: Keys that the workflow sets from others.
LEFT_OUT = {"sample_nodules": {"num_variants", "num_shams"}}


def test_the_files_are_what_the_settings_say():
    again = "run: python -m drrx.config"
    assert (ROOT / "config.yaml").read_text() == make_config_yaml(), again
    schema = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    assert schema == make_schema(), again


def test_config_yaml_holds_the_defaults():
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert load_config(values) == load_config({}) == Config()
    assert values == to_values(Config())
    jsonschema.validate(values, make_schema(), jsonschema.Draft202012Validator)


def test_there_is_a_section_for_every_stage():
    assert [name for name in SECTIONS if name not in ("make_phantom", "train")] == list(STAGES)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_is_described_and_an_option(name):
    parser = argparse.ArgumentParser()
    add_settings(parser, type(SECTIONS[name]))
    options = {action.dest: action for action in parser._actions if action.dest != "help"}
    keys = make_schema()["properties"][name]["properties"]
    assert options.keys() - LEFT_OUT.get(name, set()) == keys.keys()
    for key, entry in keys.items():
        assert entry["description"], key
        assert entry["description"].replace("%", "%%") in options[key].help


def test_the_schema_and_the_settings_refuse_the_same():
    names = ({"views": [name]} for name in ("side", "PA", "pa_0", "pa_01", "pa_1x", "pa_", "lateral 1"))
    for bad in ({"shardsize": 1}, {"project_ct": {"size": 1}}, {"project_ct": {"size_px": 0}}, *names):
        with pytest.raises(DrrxError):
            load_config(bad)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, make_schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"shardsize": 1}, "config.yaml: shardsize: found an unknown key; needed one of shard_size"),
        ({"project_ct": {"size": 1}}, "project_ct.size: found an unknown key; needed one of size_px"),
        ({"seed": -1}, "config.yaml: seed: found -1; needed Input should be greater than or equal to 0"),
        ({"views": ["pa", "pa"]}, "needed each view once"),
        (
            {"views": ["pa_0"]},
            "config.yaml: views.0: found 'pa_0'; needed pa, ap, lateral, or one of these with a number",
        ),
        ({"sample_nodules": {"num_variants": 3}}, "needed the top-level key 'variants'. Remove sample_nodules.num_"),
        (
            {"variants": 1, "shams": 2},
            "config.yaml: shams: found 2 shams for 1 variants with nodules; needed at most one",
        ),
        ({"project_ct": 3}, "config.yaml: project_ct: found 3"),
    ],
)
def test_an_error_says_where_what_and_what_instead(values, text):
    with pytest.raises(DrrxError, match=re.escape(text)):
        load_config(values)


def test_numbers_given_as_text_become_numbers():
    # As they come from `snakemake --config project_ct="{size_px: 256}"`.
    assert load_config({"project_ct": {"size_px": "256"}}).project_ct.size_px == 256


def test_a_stage_is_told_its_own_section_and_what_it_shares():
    config = load_config({"variants": 3, "shams": 2, "views": ["ap"], "compose_drr": {"display_gamma": 1.5}})
    told = json.loads(stage_settings(config, "compose_drr"))
    assert (told["views"], told["display_gamma"]) == (["ap"], 1.5)
    told = json.loads(stage_settings(config, "sample_nodules"))
    assert (told["variants"], told["shams"]) == (3, 2)
    others = load_config({"restore_cxr": {"steps": 7}})
    changed = [stage for stage in STAGES if stage_settings(others, stage) != stage_settings(Config(), stage)]
    assert changed == ["restore_cxr", "collect_dataset"], "the manifest tells all settings"
    assert json.loads(stage_settings(config, "read_ct"))["make_phantom"] == to_values(config)["make_phantom"]


@pytest.mark.parametrize(
    ("section", "key", "value", "concerned"),
    [
        ("project_ct", "detector_mm", 350.0, True),
        ("project_ct", "device", "cuda", False),
        ("annotate_cxr", "edge_fraction", 0.1, True),
        ("annotate_cxr", "d_prime_visible", 1.3, False),
    ],
)
def test_nodules_are_sampled_again_when_what_their_views_show_changes(section, key, value, concerned):
    others = load_config({section: {key: value}})
    assert (stage_settings(others, "sample_nodules") != stage_settings(Config(), "sample_nodules")) == concerned
    told = json.loads(stage_settings(others, "sample_nodules"))
    assert (key in told[section]) == concerned


def test_the_seed_concerns_a_projection_only_where_a_view_is_jittered():
    assert jitter_seed(load_config({"views": ["pa", "lateral"], "seed": 5})) is None
    assert jitter_seed(load_config({"views": ["pa", "lateral_2"], "seed": 5})) == 5


def test_settings_load_no_heavy_library():
    heavy = ("torch", "numba", "scipy", "SimpleITK", "diffusers", "nibabel")
    code = f"import sys, drrx.config, drrx.shards\nprint([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of drrx, with two stages."""
    texts = {
        "__init__.py": "", "stages/__init__.py": "", "errors.py": "",
        "stages/one.py": "from drrx.left import thing\n", "left/__init__.py": "from drrx.left.inner import thing\n",
        "left/inner.py": "def f():\n    from drrx import (\n        errors,\n    )\n",
        "stages/two.py": "import drrx.right\n", "right/__init__.py": "",
    }  # fmt: skip
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr("drrx.__file__", str(tmp_path / "__init__.py"))
    stage_fingerprint.cache_clear()
    yield tmp_path
    stage_fingerprint.cache_clear()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("left/inner.py", {"one"}), ("left/__init__.py", {"one"}), ("errors.py", {"one"}),
        ("right/__init__.py", {"two"}), ("stages/two.py", {"two"}), ("stages/__init__.py", {"one", "two"}),
    ],
)  # fmt: skip
def test_a_fingerprint_follows_the_code_its_stage_imports(package, name, changes):
    before = {stage: stage_fingerprint(stage) for stage in ("one", "two")}
    path = package / name
    path.write_text(path.read_text() + "# changed\n")
    stage_fingerprint.cache_clear()
    assert {stage for stage in before if stage_fingerprint(stage) != before[stage]} == changes
