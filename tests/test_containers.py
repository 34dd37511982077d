"""The container recipes: what they copy and pin, and how Snakemake would start a job in the image.

No image is built here: that needs Docker or Apptainer, and a registry.
"""

import os
import re
import shlex
import stat
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.stand_in import make_project

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "containers" / "Dockerfile").read_text()
DEFINITION = (ROOT / "containers" / "drrx.def").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: Stands for Apptainer: notes how it is called, and runs the command on this machine.
APPTAINER = """#!/bin/sh
[ "$1" = --version ] && echo "apptainer version 1.3.6" && exit
echo "$@" >> contained.txt
while [ "$1" != bash ]; do shift; done
exec "$@"
"""


def instructions() -> list[tuple[str, list[str]]]:
    """Instructions of the Dockerfile with their words."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], shlex.split(line)[1:]) for line in lines]


def sections() -> dict[str, list[str]]:
    """Lines of each section of the Apptainer definition; the header is section ''."""
    found: dict[str, list[str]] = {"": []}
    for line in DEFINITION.splitlines():
        if line.startswith("%"):
            found[name := line[1:].strip()] = []
        elif line.strip() and not line.strip().startswith("#"):
            found[name if len(found) > 1 else ""].append(line.strip())
    return found


def copied_by_docker() -> dict[str, str]:
    """Copied paths, with their place in the image relative to the folder that is built in."""
    pairs = [(source, words[-1]) for name, words in instructions() if name == "COPY" for source in words[:-1]]
    return {source: source if target == "./" else target for source, target in pairs}


def copied_by_apptainer() -> dict[str, str]:
    pairs = [line.split() for line in sections()["files"]]
    return {source: target.removeprefix("/opt/drrx/") for source, target in pairs}


def test_both_recipes_copy_the_same_and_it_is_there():
    assert copied_by_docker() == copied_by_apptainer()
    assert all((ROOT / source).exists() and source == target for source, target in copied_by_docker().items())


def test_all_that_the_package_is_built_from_is_copied():
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PYPROJECT["project"]
    needed = {*wheel["packages"], *wheel["force-include"], project["readme"], *project["license-files"]}
    assert needed | {"pyproject.toml", "constraints.txt"} <= copied_by_docker().keys()


def test_both_start_from_one_python_that_fits():
    (image,) = [words[0] for name, words in instructions() if name == "FROM"]
    assert f"From: {image}" in sections()[""]
    version = re.fullmatch(r"docker.io/library/python:(3\.\d+\.\d+)-slim-bookworm", image)
    assert version, "a whole version, so that the image stays what it is"
    assert version[1] in SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_both_install_the_pinned_versions():
    install = "python -m pip install --no-cache-dir -c constraints.txt . && drrx --version"
    assert ("RUN", shlex.split(install)) in instructions()
    assert install in sections()["post"]


def test_nobody_is_root_in_the_image():
    user = max(position for position, (name, words) in enumerate(instructions()) if (name, words) == ("USER", ["drrx"]))
    assert all(name not in ("RUN", "COPY", "USER") for name, _ in instructions()[user + 1 :])


@pytest.fixture
def contained(tmp_path, monkeypatch):
    """A run of the workflow in which something stands for Apptainer."""
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(APPTAINER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    return make_project(tmp_path)


def test_jobs_run_in_the_image_when_asked_to(contained):
    said = contained.run("--sdm", "apptainer", "--apptainer-args", "--nv --bind /data")
    assert said.returncode == 0, said.stdout + said.stderr
    calls = (contained.folder / "contained.txt").read_text().splitlines()
    assert len(calls) == 2 * 7 + 1
    for call in calls:
        assert re.search(r"^exec --home \S+/project --nv --bind /data .*drrx\.sif bash -c ", call)
        assert re.search(r"NUMBA_NUM_THREADS=\d python -P -m drrx run-stage ", call), "the Python of the image"


def test_the_image_is_not_looked_at_otherwise(contained):
    assert contained.run().returncode == 0
    assert not (contained.folder / "contained.txt").exists()
