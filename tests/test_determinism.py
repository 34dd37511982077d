"""The same table and settings give the same bytes, whoever runs them, where, when and in what order."""

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from drrx.config import STAGES, load_config, stage_settings
from drrx.io.files import read_json
from tests.boxed import RUN, Box, hash_tree, snapshot, tell_difference
from tests.small_run import CASES, CONFIG, run_stage, share_run
from tests.stand_in import ROOT

#: As far from what this process has as there is: ASCII only, another side of the world, another hash of every text.
ELSEWHERE = {
    "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "77",
}  # fmt: skip
INPUTS = ("cohort.tsv", "ct.nii.gz", "known.nii.gz", "torn.nii.gz")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return share_run(tmp_path_factory.getbasetemp())


def copy_inputs(shared, folder):
    folder.mkdir(parents=True)
    for name in INPUTS:
        shutil.copy2(shared / name, folder / name)
    return folder


class Boxed:
    """The shared run again, in a box."""

    def __init__(self, shared, folder):
        self.box = Box(folder / "box")
        self.inputs = copy_inputs(shared, folder / "data" / "in puts")
        self.before = snapshot(folder, skip=("box",))
        self.said = self.box.run("-c", RUN, self.inputs, **ELSEWHERE)
        self.results = self.inputs / "results"
        self.after = snapshot(folder, skip=("box",))


@pytest.fixture(scope="module")
def boxed(shared, tmp_path_factory):
    return Boxed(shared, tmp_path_factory.mktemp("elsewhere"))


def test_a_run_elsewhere_gives_the_same_bytes(shared, boxed):
    """Another folder, user, home, umask, time zone, locale, hash seed and order of every folder's files."""
    here, there = hash_tree(shared / "results"), hash_tree(boxed.results)
    assert len(here) > 60
    assert here == there, tell_difference(here, there)


def test_a_run_asks_nothing_of_the_network(boxed):
    assert boxed.box.network == []


def test_a_run_writes_below_its_results_only(boxed):
    changed = {
        name for name in boxed.before.keys() | boxed.after.keys() if boxed.before.get(name) != boxed.after.get(name)
    }
    results = boxed.results.relative_to(boxed.inputs.parent.parent).as_posix()
    assert {name for name in changed if not name.startswith(results)} == set()
    assert any(boxed.results.rglob("manifest.json"))
    allowed = (str(boxed.results), str(boxed.box.folder / "tmp"), "/dev/", "/proc/")
    caches = ("__pycache__", str(boxed.box.folder / "home" / ".cache"), str(boxed.box.folder / "home" / ".config"))
    stray = {
        path for path in boxed.box.written() if not path.startswith(allowed) and not any(c in path for c in caches)
    }
    assert stray == set()
    assert len(boxed.box.written()) > 100, "the watch sees nothing"


def test_a_run_leaves_nothing_in_temporary_and_working_folders(boxed):
    left = [path.name for name in ("tmp", "work") for path in (boxed.box.folder / name).iterdir()]
    assert left in ([], ["torchinductor_somebody"]), "torch makes itself an empty folder"


REACH_OUT = """
import os, socket, urllib.request
for reach in (
    lambda: urllib.request.urlopen("http://192.0.2.1/"),
    lambda: socket.create_connection(("192.0.2.1", 80)),
    lambda: socket.gethostbyname("example.org"),
):
    try:
        reach()
    except OSError:
        pass
open("stray", "w")
os.mkdir("folder")
"""


def test_the_box_is_tight(tmp_path):
    """That the watch works: a look-up, a connection and a write elsewhere are seen."""
    box = Box(tmp_path / "box")
    code = "import socket, urllib.request as u\nfor f in (lambda: u.urlopen('http://192.0.2.1/'), lambda: socket."
    code += (
        "create_connection(('192.0.2.1', 80)), lambda: socket.gethostbyname('example.org')):\n    try:\n        f()\n"
    )
    code += "    except OSError: pass\nopen('stray', 'w')\nimport os; os.mkdir('folder')"
    box.run("-c", code)
    assert len(box.network) >= 3
    assert {Path(path).name for path in box.written()} >= {"stray", "folder"}


def test_every_format_of_the_data_set_is_written_without_network(boxed):
    """DICOM with segments, pages and pictures, from what the run made; also in the order of another table."""
    config = load_config(CONFIG | {"collect_dataset": {"preview_px": 64, "dicom": "dx+seg", "image_files": "copy"}})
    target = boxed.box.folder / "copy"
    shutil.copytree(boxed.results, target / "results")
    header, *rows = (boxed.inputs / "cohort.tsv").read_text().splitlines()
    (target / "cohort.tsv").write_text("\n".join([header, *rows[::-1]]) + "\n")
    words = ["-m", "drrx", "run-stage", "collect_dataset", "--cohort", target / "cohort.tsv", "--results"]
    words += [target / "results", "--seed", "7", "--settings", stage_settings(config, "collect_dataset"), "--output"]
    boxed.box.run(*words, target / "results" / "dataset" / "manifest.json", **ELSEWHERE)
    assert boxed.box.network == []
    dataset = target / "results" / "dataset"
    assert list(dataset.glob("dicom/*")), "no DICOM"
    here, there = (read_rows(folder / "images.csv") for folder in (boxed.results / "dataset", dataset))
    assert [row["image_id"] for row in here] != [row["image_id"] for row in there], "the table's order is kept"
    assert sorted(map(repr, here)) == sorted(map(repr, there))
    first, second = (
        {name: value for name, value in hash_tree(folder).items() if name.endswith(".png") and "/" in name}
        for folder in (boxed.results / "dataset", dataset)
    )
    assert len(second) >= 10
    assert first == second, tell_difference(first, second)


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


LOADS = re.compile(
    r"""(?:src|href|action|poster|data)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import|"""
    r"""fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\("""
)


def test_pages_load_nothing_from_elsewhere(boxed):
    """Links that a reader may click are no loads: only those of pages count, and only with their tag <a>."""
    pages = [*boxed.results.rglob("*.html"), *boxed.results.rglob("*.js"), *boxed.results.rglob("*.css")]
    assert pages
    for page in pages:
        text = re.sub(r"<a\s[^>]*>", "", page.read_text())
        assert not LOADS.search(text), (page, LOADS.search(text))


# The rest takes minutes


def run_elsewhere(shared, folder, **environment):
    inputs = copy_inputs(shared, folder / "data")
    box = Box(folder / "box")
    box.run("-c", RUN, inputs, **environment)
    return hash_tree(inputs / "results")


VARIED = {
    "UTC": {"TZ": "UTC"}, "west": {"TZ": "America/St_Johns"}, "C.utf8": {"LC_ALL": "C.utf8"},
    "hash 0": {"PYTHONHASHSEED": "0"}, "hash 1": {"PYTHONHASHSEED": "1"}, "order": {"BOX_ORDER": "5"},
    "no home": {"HOME": "/nonexistent"}, "numba 1": {"NUMBA_NUM_THREADS": "1"}, "date": {"SOURCE_DATE_EPOCH": "0"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIED)
def test_one_thing_at_a_time(shared, tmp_path, name):
    here, there = hash_tree(shared / "results"), run_elsewhere(shared, tmp_path, **VARIED[name])
    assert here == there, tell_difference(here, there)


@pytest.mark.slow
def test_the_kernel_of_the_system_gives_no_network_and_it_is_not_missed(shared, tmp_path):
    """As root, in a name space without any network device but its own: no library goes round the interpreter."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    inputs = copy_inputs(shared, tmp_path / "data")
    command = ["unshare", "-n", sys.executable, "-c", RUN, str(inputs)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    here, there = hash_tree(shared / "results"), hash_tree(inputs / "results")
    assert here == there, tell_difference(here, there)


@pytest.mark.slow
def test_a_run_that_was_stopped_after_any_stage_goes_on_to_the_same_bytes(shared, tmp_path):
    """Each job is begun with half of its cases, as if killed there, and then done whole."""
    inputs = copy_inputs(shared, tmp_path / "data")
    results = inputs / "results"
    results.mkdir()
    (results / "shards.tsv").write_text("shard\tcase\n" + "".join(f"demo-0001\t{case}\n" for case in CASES))
    for stage in STAGES:
        if stage != "collect_dataset":
            run_stage(stage, inputs / "cohort.tsv", results, CASES[1:2])
            (results / "records" / stage / "demo-0001.json").unlink()
        run_stage(stage, inputs / "cohort.tsv", results)
    here, there = hash_tree(shared / "results"), hash_tree(results)
    assert here == there, tell_difference(here, there)


def run_workflow(folder, cores, rows):
    """The whole way through Snakemake, a case a shard."""
    (folder / "cohort.tsv").write_text("\n".join(rows) + "\n")
    folder.joinpath("config.yaml").write_text(
        "seed: 7\nshard_size: 1\n" + "".join(f"{k}: {v!r}\n".replace("True", "true") for k, v in CONFIG.items())
    )
    command = [sys.executable, "-m", "drrx", "run", "--cores", str(cores)]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode in (0, 8), said.stderr[-3000:]
    return folder / "results"


@pytest.mark.slow
def test_workers_and_the_order_of_the_table_change_nothing(shared, tmp_path):
    header, *rows = (shared / "cohort.tsv").read_text().splitlines()
    trees = []
    for name, cores, order in (("one", 1, rows), ("two", 2, rows), ("turned", 2, rows[::-1])):
        folder = copy_inputs(shared, tmp_path / name)
        trees.append(run_workflow(folder, cores, [header, *order]))
    one, two, turned = (hash_tree(tree) for tree in trees)
    told = ("progress.json",)  # tells when
    one, two = ({k: v for k, v in tree.items() if not k.endswith(told)} for tree in (one, two))
    assert one == two, tell_difference(one, two)
    for part in ("cases/", "dataset/images/", "dataset/drr/", "dataset/masks/"):
        first, second = ({k: v for k, v in tree.items() if k.startswith(part)} for tree in (one, turned))
        assert first, part
        assert first == second, tell_difference(first, second)
    # And they are what the stages give without Snakemake.
    images = {k: v for k, v in hash_tree(shared / "results").items() if k.startswith("dataset/images/")}
    assert images == {k: v for k, v in one.items() if k.startswith("dataset/images/")}


@pytest.mark.slow
def test_threads_of_the_network_change_the_last_digits_at_most(shared, tmp_path):
    """Sums in another order: what README promises is a difference below 1e-4, not none."""
    from drrx.io.image import read_image

    inputs = copy_inputs(shared, tmp_path / "data")
    Box(tmp_path / "box").run("-c", RUN, inputs, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    here, there = hash_tree(shared / "results"), hash_tree(inputs / "results")
    other = sorted(name for name in here if name.endswith(".png") and here[name] != there[name])
    worst = [abs(read_image(shared / "results" / n) - read_image(inputs / "results" / n)).max() for n in other]
    assert max(worst, default=0) < 1e-4
    assert {name for name in other if "drr" in name} == set()


def test_versions_and_machine_are_told_without_names(boxed):
    """Nothing in a run says which machine, user or folder it was made on."""
    words = [
        "somebody",
        str(boxed.box.folder),
        str(boxed.inputs),
        sysconfig.get_paths()["purelib"],
        os.uname().nodename,
    ]
    for name in ("dataset/manifest.json", "summary.json", "cases/p1/stages/read_ct.json"):
        text = (boxed.results / name).read_text()
        assert not [word for word in words if word in text]
        assert read_json(boxed.results / name)
