"""pip, conda and the pinned versions must ask for the same packages; what is imported must be declared."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
#: Where conda's name of a package differs from PyPI's.
PIP_NAME = {
    "matplotlib-base": "matplotlib",
    "python-isal": "isal",
    "pytorch": "torch",
    "snakemake-minimal": "snakemake",
}
#: Where the imported name differs from PyPI's.
IMPORTED_FROM = {"PIL": "pillow", "SimpleITK": "simpleitk", "skimage": "scikit-image", "yaml": "pyyaml"}

#: Used where it is installed, and torch for CUDA brings it along.
OPTIONAL = {"triton"}


def declared(*extras: str) -> dict[str, SpecifierSet]:
    texts = PROJECT["dependencies"] + [text for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    found = [Requirement(text) for text in texts]
    return {canonicalize_name(item.name): item.specifier for item in found}


def in_conda() -> dict[str, SpecifierSet]:
    texts = [item for item in CONDA["dependencies"] if isinstance(item, str)]
    texts += [item for part in CONDA["dependencies"] if isinstance(part, dict) for item in part["pip"]]
    found = [Requirement(text) for text in texts]
    return {canonicalize_name(PIP_NAME.get(item.name, item.name)): item.specifier for item in found}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_conda_and_pip_ask_for_the_same_packages():
    conda = in_conda()
    assert conda.pop("python") == SpecifierSet(PROJECT["requires-python"])
    conda.pop("pip")
    assert conda == declared("slurm", "test", "check")


def test_conda_channels():
    assert CONDA["channels"] == ["conda-forge", "bioconda", "nodefaults"]


def test_every_dependency_is_pinned_inside_its_range():
    pins = pinned()
    for name, specifier in declared("slurm", "test", "check").items():
        assert pins[name] in specifier, f"{name}=={pins[name]} is not in {specifier}"


def test_pins_are_public_versions():
    assert all(re.fullmatch(r"[0-9.]+", version) for version in pinned().values())


def test_what_is_imported_is_declared():
    names = OPTIONAL.union(declared())
    for path in sorted((ROOT / "drrx").rglob("*.py")):
        for module in imported_modules(ast.parse(path.read_text())):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "drrx":
                assert canonicalize_name(IMPORTED_FROM.get(top, top)) in names, f"{path.name} imports {top}"


def imported_modules(tree: ast.AST) -> list[str]:
    nodes = list(ast.walk(tree))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]


def test_the_wheel_takes_the_workflow_along():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    included = tool["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert set(included) == {"Snakefile", "workflow", "config.yaml", "cohort.tsv", "environment.yml"}
    assert all((ROOT / name).exists() and target == f"drrx/_workflow/{name}" for name, target in included.items())


def test_the_citation_names_the_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = (ROOT / "drrx" / "__init__.py").read_text()
    assert f'__version__ = "{citation["version"]}"' in text
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert citation["references"][0]["doi"] == "10.1007/978-3-032-08009-7_4"
