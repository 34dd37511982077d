"""Intermediate files: gone after the last stage, back when they are needed, and never other than they were."""

import os
import shutil

import pytest

from drrx.cli.main import main
from drrx.config import load_config, stage_settings
from drrx.errors import CaseRefused
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, sha256_file, write_text
from drrx.stages import remake
from drrx.stages.batch import CaseJob, Stage, run_batch
from drrx.stages.layout import CaseFolder, is_intermediate
from drrx.stages.registry import load_stage
from tests.small_run import CASES, CONFIG, share_run


class Chain:
    """Three stages that write text: a CT from the source, a projection from the CT, an image from the projection."""

    def __init__(self, folder, monkeypatch):
        self.ran, self.spoilt = [], ""
        self.row = CohortRow(case="c", path="source", cohort="x")
        self.folder = CaseFolder(folder, "c")
        self.source = folder / "source.txt"
        self.source.write_text("patient")
        self.settings = {"read_ct": 1, "project_ct": 1, "compose_drr": 1}
        stages = (
            Stage("read_ct", self.read),
            Stage("project_ct", self.project, upstream=("read_ct",), reads=("ct.nii.gz",)),
            Stage("compose_drr", self.compose, upstream=("read_ct", "project_ct"), reads=("*/projection.npz",)),
        )
        self.stages = {stage.name: stage for stage in stages}
        monkeypatch.setattr(remake, "load_stage", self.stages.__getitem__)

    def read(self, job):
        self.ran.append("read_ct")
        if not self.source.exists():
            raise CaseRefused("NO_FILE", where="c", found="no file", needed="a CT", hint="Put it back.")
        return self.write(job, "ct.nii.gz", self.source.read_text()) + self.write(job, "case.json", "{}")

    def project(self, job):
        self.ran.append("project_ct")
        return self.write(job, "pa/projection.npz", (job.folder.folder / "ct.nii.gz").read_text() + self.spoilt)

    def compose(self, job):
        self.ran.append("compose_drr")
        return self.write(job, "twin/pa/drr.png", (job.folder.folder / "pa" / "projection.npz").read_text())

    def write(self, job, name, text):
        write_text(job.folder.folder / name, f"{text} {job.settings['size']} {job.seed}")
        return [job.folder.folder / name]

    def run(self, keep="dataset", seed=0):
        """Run all stages; return what ran, and the outcome of the last stage."""
        self.ran = []
        for name, stage in self.stages.items():
            job = CaseJob(self.row, self.folder, {"size": self.settings[name]}, seed)
            outcome = run_batch(stage, [job], "code", keep_all=keep == "all", bring_back=remake.bring_back)["c"]
            if outcome["status"] == "failed":
                break
        return self.ran, outcome

    def texts(self):
        files = (path for path in self.folder.folder.rglob("*") if path.is_file() and path.parent.name != "stages")
        return {path.relative_to(self.folder.folder).as_posix(): path.read_text() for path in files}


@pytest.fixture
def chain(tmp_path, monkeypatch):
    chain = Chain(tmp_path, monkeypatch)
    chain.run()
    return chain


def test_only_intermediate_files_go_and_the_records_still_name_them(chain):
    before = chain.texts()
    freed = remake.drop_intermediates(chain.folder)
    gone = {"ct.nii.gz", "pa/projection.npz"}
    assert before.keys() - chain.texts().keys() == gone
    assert freed == sum(len(before[name]) for name in gone)
    assert "ct.nii.gz" in read_json(chain.folder.stage_record("read_ct"))["products"]


def test_a_record_that_a_killed_process_did_not_finish_is_none(chain):
    (chain.folder.folder / "stages" / ".123-abc-first.json").touch()
    remake.drop_intermediates(chain.folder)


def test_a_case_whose_intermediate_files_are_gone_is_done(chain):
    remake.drop_intermediates(chain.folder)
    assert chain.run()[0] == []


def test_with_keep_all_it_is_made_whole_again_and_nothing_else_is_done(chain):
    before = chain.texts()
    remake.drop_intermediates(chain.folder)
    assert chain.run(keep="all")[0] == ["read_ct", "project_ct"]
    assert chain.texts() == before


def test_a_changed_number_brings_back_what_its_stage_reads_through_all_stages_above(chain):
    remake.drop_intermediates(chain.folder)
    chain.settings["compose_drr"] = 2
    ran, outcome = chain.run()
    assert ran == ["read_ct", "project_ct", "compose_drr"]
    assert outcome["status"] == "done"
    assert chain.texts()["twin/pa/drr.png"] == "patient 1 0 1 0 2 0"
    assert "ct.nii.gz" not in chain.texts(), "only what the stage reads comes back"
    assert not (chain.folder.results / "scratch").exists()


def test_files_come_back_with_the_settings_and_seed_on_record(chain):
    remake.drop_intermediates(chain.folder)
    stage = chain.stages["compose_drr"]
    job = CaseJob(chain.row, chain.folder, {"size": 7}, 99)
    (back,) = remake.bring_back(stage, job)
    assert back.read_text() == "patient 1 0 1 0"
    assert remake.bring_back(stage, job) == []


@pytest.mark.parametrize("loss", ["source gone", "source changed", "another result"])
def test_what_cannot_come_back_as_it_was_fails_and_touches_nothing(chain, loss):
    remake.drop_intermediates(chain.folder)
    before = chain.texts()
    chain.settings["compose_drr"] = 2
    if loss == "source gone":
        chain.source.unlink()
    elif loss == "source changed":
        chain.source.write_text("somebody else")
    chain.spoilt = "!" if loss == "another result" else ""
    _, outcome = chain.run()
    assert (outcome["status"], outcome["code"]) == ("failed", "INPUTS_LOST")
    maker = "project_ct" if loss == "another result" else "read_ct"
    assert f"case c, {maker} to make an intermediate file again" in outcome["detail"]
    assert outcome["hint"].endswith(f"make the case anew: drrx run --forcerun {maker}.")
    assert chain.texts() == before
    chain.source.write_text("patient")
    chain.spoilt = ""
    assert chain.run()[1]["status"] == "done", "a failure is tried again"


def test_nothing_is_removed_of_a_case_that_failed(chain):
    record = read_json(chain.folder.stage_record("compose_drr"))
    write_text(chain.folder.stage_record("compose_drr"), str(record | {"status": "failed"}).replace("'", '"'))
    before = chain.texts()
    assert remake.drop_intermediates(chain.folder) == 0
    assert chain.texts() == before


def test_a_file_that_is_there_is_not_replaced(chain):
    """Images of the data set are links to the case's own: making one anew would cost its space twice."""
    os.link(chain.folder.folder / "case.json", chain.folder.results / "link.json")
    remake.drop_intermediates(chain.folder)
    chain.settings["compose_drr"] = 2
    chain.run()
    assert (chain.folder.results / "link.json").samefile(chain.folder.folder / "case.json")


def test_real_stages_read_only_intermediate_files_that_a_stage_above_makes():
    names = {
        "read_ct": {"ct.nii.gz", "lung_mask.nii.gz", "known_nodules.nii.gz"},
        "segment_anatomy": {"anatomy.nii.gz"},
        "sample_nodules": {"v1/nodules.npz"},
        "project_ct": {"pa/projection.npz"},
    }
    for name in ("segment_anatomy", "sample_nodules", "project_ct", "compose_drr", "restore_cxr", "annotate_cxr"):
        stage = load_stage(name)
        above = set().union(*(names.get(maker, set()) for maker in stage.upstream))
        for pattern in stage.reads:
            assert any(is_intermediate(made, (pattern,)) for made in above), (name, pattern)
            assert all(is_intermediate(made) for made in above)
    assert load_stage("restore_cxr").reads == load_stage("annotate_cxr").reads == ()


# The real stages, on a small finished run


def run_stage(folder, stage, keep, **change):
    """One stage over all cases, as Snakemake starts it; ``change`` goes into the stage's section."""
    config = load_config(CONFIG | {stage: CONFIG.get(stage, {}) | change})
    command = ["run-stage", stage, "--cohort", str(folder / "cohort.tsv"), "--results", str(folder / "results")]
    command += ["--seed", "7", "--cases", *CASES, "--settings", stage_settings(config, stage), "--keep", keep]
    assert main([*command, "--output", str(folder / "results" / "records" / stage / "demo-0001.json")]) == 0


def hash_products(folder, suffixes=(".png", ".json")):
    files = (path for path in (folder / "results" / "cases").rglob("*") if path.is_file() and path.suffix in suffixes)
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files if path.parent.name != "stages"}


def list_intermediates(folder):
    cases = folder / "results" / "cases"
    names = ("/".join(path.relative_to(cases).parts[1:]) for path in cases.rglob("*") if path.is_file())
    return [name for name in names if is_intermediate(name)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return share_run(tmp_path_factory.getbasetemp())


@pytest.fixture
def slim(whole, tmp_path):
    """The run after ``keep: dataset``."""
    folder = tmp_path / "slim"
    shutil.copytree(whole, folder)
    assert list_intermediates(folder)
    run_stage(folder, "annotate_cxr", "dataset")
    assert list_intermediates(folder) == []
    return folder


def test_restoration_and_annotation_need_no_intermediate_file_and_no_ct(slim, monkeypatch):
    for name in ("ct.nii.gz", "known.nii.gz"):
        (slim / name).unlink()
    before = hash_products(slim)
    monkeypatch.setattr(remake, "load_stage", lambda name: pytest.fail(f"{name} was asked"))
    for stage in ("restore_cxr", "annotate_cxr"):
        run_stage(slim, stage, "dataset", **({"mode": "mean"} if stage == "restore_cxr" else {}))
    after = hash_products(slim)
    changed = {name.rpartition("/")[2] for name in before if before[name] != after[name]}
    assert changed == {"cxr.png", "cxr.json", "annotation.json"}
    assert before.keys() == after.keys()


def test_another_radiograph_brings_back_the_projection_and_is_as_if_nothing_had_gone(slim, whole, tmp_path):
    full = tmp_path / "full"
    shutil.copytree(whole, full)
    for folder, keep in ((slim, "dataset"), (full, "all")):
        run_stage(folder, "compose_drr", keep, display_gamma=0.9)
    all_kinds = (".png", ".json", ".npz")
    assert hash_products(slim, all_kinds).items() <= hash_products(full, all_kinds).items()
    assert set(list_intermediates(slim)) == {
        f"{name}.npz" for name in ("pa/projection", "v1/nodules", "s1/nodules", "removed/nodules")
    }
    assert hash_products(slim) == hash_products(full) != hash_products(whole)
