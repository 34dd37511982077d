"""Names of files and folders are only names: no shell and no Snakemake reads anything into them."""

import json
import shutil
import sys

import pytest

from drrx.config import load_config
from drrx.errors import DrrxError
from drrx.restorer.model import DELIVERED
from tests.stand_in import Planner, Project, make_project

#: Everything that a shell, Python or Snakemake could take for more than a letter, in one name.
AWFUL = "a b'\"$(touch ran)`touch ran`;touch ran;&&touch ran|*?[x]#!~%s%(x)s\\ü山,=:@^"
NAMES = (
    "a b", "it's", 'd"q', "$(touch ran)", "`touch ran`", "-x", "--cores", "%s%(x)s", ";touch ran;", "ümläut 山",
    "x" * 200, "*?[a]", "#x", "~root", "&&touch ran", "a\\b", "!x", "a,b=c", "a:b", "..x", AWFUL,
)  # fmt: skip
TAKEN = (
    "{shard}",
    "{input}",
    "a{b",
    "{{x}}",
    "}",
    "<results>",
    "a<b",
    "new\nline",
    "tab\t",
    "nul\0",
    "\x1b[2J",
    "\u2028",
)


@pytest.mark.parametrize("name", TAKEN)
def test_what_snakemake_would_fill_in_is_refused_at_once(name):
    for values in ({"results": name}, {"restore_cxr": {"weights": name}}, {"train": {"drrs": ["ok", name]}}):
        with pytest.raises(DrrxError, match=r"config.yaml: .*found .* in .*; needed text without \{ \} < >"):
            load_config(values)


def test_any_other_name_is_a_name(tmp_path):
    """The plan for each name of the results folder: the same jobs, and nothing ran."""
    project, planner = make_project(tmp_path), Planner()
    try:
        wanted = planner.ask(project)
        for name in NAMES[::3]:  # the others, alone and really run, are slow
            (project.folder / "config.yaml").write_text(f"results: {json.dumps(name)}\n")
            assert planner.ask(project) == wanted, name
    finally:
        planner.close()
    assert not list(tmp_path.rglob("ran"))


def make_awful(tmp_path, name):
    """A project with that name for working folder, results, table, CT, mask, annotations, weights and their folders."""
    folder = make_project(tmp_path).folder
    project = Project(folder.with_name(name))
    folder.rename(project.folder)
    inside = project.folder / name
    inside.mkdir()
    shutil.copy(DELIVERED, inside / f"{name}.safetensors")
    (inside / f"{name}.nii").write_bytes(b"")
    cells = ("a", f"{name}.nii", "demo", f"{name}.nii", f"{name}.nii")
    (project.folder / "cohort.tsv").unlink()
    quoted = "\t".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    (inside / f"{name}.tsv").write_text(f"case\tpath\tcohort\tmask\tannotations\n{quoted}\n")
    settings = {
        "cohort": f"{name}/{name}.tsv", "results": f"{name}/out {name}",
        "restore_cxr": {"weights": f"{name}/{name}.safetensors"},
    }  # fmt: skip
    (project.folder / "config.yaml").write_text(json.dumps(settings))
    return project, project.folder / settings["results"]


def test_an_awful_name_everywhere_runs_nothing(tmp_path):
    project, results = make_awful(tmp_path, AWFUL)
    said = project.run()
    assert said.returncode in (0, 8), said.stderr  # 8: the stand-in says that a case was refused
    assert not list(tmp_path.rglob("ran"))
    assert (results / "dataset" / "manifest.json").exists()
    assert (results / "logs" / "read_ct" / "demo-0001.log").exists()
    words = [line for line in (project.folder / "calls.txt").read_text().splitlines() if line.startswith("restore_cxr")]
    assert f"--cohort {AWFUL}/{AWFUL}.tsv --results {AWFUL}/out {AWFUL}" in words[0]
    assert {path.name for path in tmp_path.iterdir()} == {"stand_in", AWFUL}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_every_name_everywhere_runs_nothing(tmp_path, name):
    if len(name) > 60:
        name = name[:60]  # the longest path of a run must stay below 4096 bytes and each name below 256
    project, results = make_awful(tmp_path, name)
    said = project.run(command=[sys.executable, "-m", "drrx", "run", "--cores", "2"])
    assert said.returncode in (0, 8), said.stderr
    assert not list(tmp_path.rglob("ran"))
    assert (results / "dataset" / "manifest.json").exists()


@pytest.mark.slow
def test_training_takes_awful_names_too(tmp_path):
    project = make_project(tmp_path)
    (project.folder / f"{AWFUL}.csv").write_text("file,patient\n")
    train = {"images": f"{AWFUL}.csv", "drrs": [f"{AWFUL}=2", AWFUL]}
    (project.folder / "config.yaml").write_text(json.dumps({"results": f"out {AWFUL}", "train": train}))
    said = project.run("--dry-run", "--printshellcmds", "train_restorer")
    assert said.returncode == 0, said.stderr
    assert not list(tmp_path.rglob("ran"))


def test_ids_of_cases_cannot_lead_out(tmp_path):
    """They are checked where the table is read, before any folder is made."""
    from drrx.io.cohort import read_cohort

    for case in ("..", "../x", "/x", "a/b", "a\\b", ".hidden", "-x", "a b", "$(x)", "x" * 65, "a\nb", "ü"):
        text = '"' + case + '"'
        (tmp_path / "t.tsv").write_text(f"case\tpath\tcohort\n{text}\tphantom:1\tdemo\n")
        with pytest.raises(DrrxError, match="column case"):
            read_cohort(tmp_path / "t.tsv")


def test_weights_that_nobody_recorded_stop_a_run_before_it_begins(tmp_path):
    project = make_project(tmp_path)
    (project.folder / "w.safetensors").write_bytes(b"\x80\x04.")
    said = project.run("--config", "restore_cxr={weights: w.safetensors}")
    assert said.returncode == 1
    assert "w.safetensors: found no SHA-256 in w.safetensors.sha256 beside it (MODEL_HASH)" in said.stdout + said.stderr
    assert not (project.folder / "results").exists()
