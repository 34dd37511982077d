"""A stage over cases: done once, redone when something changed, and one bad case stops nothing."""

import errno
import os
import re
from dataclasses import replace

import pytest

from drrx.errors import CaseRefused, DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, sha256_file, write_text
from drrx.stages.batch import CaseJob, Stage, run_batch
from drrx.stages.layout import CaseFolder


class Copy:
    """A stage that writes one file and counts its work."""

    def __init__(self, name="read_ct", upstream=()):
        self.done = []
        self.stage = Stage(name, self.run, upstream=upstream, depends=lambda job: self.signature)
        self.signature = "a"

    def run(self, job):
        self.done.append(job.row.case)
        if job.row.path == "bad":
            raise CaseRefused("NO_LUNGS", where="bad", found="no air", needed="two lungs", hint="Leave it out.")
        if job.row.path == "large":
            raise MemoryError("too large")
        if job.row.path == "poison":
            raise ZeroDivisionError("poison")
        path = job.folder.folder / f"{self.stage.name}.txt"
        write_text(path, f"{job.settings['size']}\n")
        return [path]


def make_jobs(tmp_path, paths, size=1, seed=0):
    rows = [CohortRow(case=f"c{number}", path=path, cohort="x") for number, path in enumerate(paths)]
    return [CaseJob(row, CaseFolder(tmp_path, row.case), {"size": size}, seed) for row in rows]


def test_a_done_case_is_not_done_again(tmp_path):
    copy = Copy()
    first = run_batch(copy.stage, make_jobs(tmp_path, ["a", "b"]), "code")
    second = run_batch(copy.stage, make_jobs(tmp_path, ["a", "b", "c"]), "code")
    assert copy.done == ["c0", "c1", "c2"]
    assert {case: second[case] for case in first} == first


@pytest.mark.parametrize("change", ["settings", "seed", "code", "signature", "file"])
def test_a_change_does_the_case_again(tmp_path, change):
    copy = Copy()
    run_batch(copy.stage, make_jobs(tmp_path, ["a"]), "code")
    if change == "file":
        (tmp_path / "cases" / "c0" / "read_ct.txt").unlink()
    copy.signature = "b" if change == "signature" else "a"
    jobs = make_jobs(tmp_path, ["a"], size=2 if change == "settings" else 1, seed=1 if change == "seed" else 0)
    run_batch(copy.stage, jobs, "other" if change == "code" else "code")
    assert copy.done == ["c0", "c0"]


def test_a_refused_case_stops_neither_the_others_nor_the_next_stage(tmp_path):
    jobs = make_jobs(tmp_path, ["a", "bad", "b"])
    outcomes = run_batch(Copy().stage, jobs, "code")
    assert [outcomes[case]["status"] for case in ("c0", "c1", "c2")] == ["done", "refused", "done"]
    assert outcomes["c1"]["code"] == "NO_LUNGS"
    assert outcomes["c1"]["hint"] == "Leave it out."
    following = Copy("segment_anatomy", upstream=("read_ct",))
    after = run_batch(following.stage, jobs, "code")
    assert following.done == ["c0", "c2"]
    assert after["c1"]["status"] == "skipped"
    assert after["c1"]["code"] == "NO_LUNGS"


def test_a_poisonous_case_is_recorded_and_the_others_go_on(tmp_path):
    outcomes = run_batch(Copy().stage, make_jobs(tmp_path, ["poison", "a"]), "code")
    assert outcomes["c0"]["status"] == "failed"
    assert outcomes["c0"]["code"] == "DEFECT"
    assert re.fullmatch(
        r"case c0: ZeroDivisionError at drrx/stages/batch.py:\d+ in _try_case\.", outcomes["c0"]["detail"]
    )
    assert outcomes["c1"]["status"] == "done"


def test_too_little_memory_is_told_as_such(tmp_path):
    outcome = run_batch(Copy().stage, make_jobs(tmp_path, ["large"]), "code")["c0"]
    assert (outcome["status"], outcome["code"]) == ("failed", "OUT_OF_MEMORY")
    assert "fewer jobs at a time" in outcome["hint"]


def test_a_failed_case_is_tried_again_and_a_refused_one_is_not(tmp_path):
    copy = Copy()
    for _ in range(2):
        run_batch(copy.stage, make_jobs(tmp_path, ["poison", "bad"]), "code")
    assert copy.done == ["c0", "c1", "c0"]


def test_an_outcome_tells_what_it_was_made_with(tmp_path):
    (outcome,) = run_batch(Copy().stage, make_jobs(tmp_path, ["a"], size=3, seed=5), "code").values()
    assert (outcome["settings"], outcome["seed"], outcome["bytes"]) == ({"size": 3}, 5, len("3\n"))


def test_new_products_upstream_run_the_next_stage_again(tmp_path):
    first, second = Copy(), Copy("segment_anatomy", upstream=("read_ct",))
    for size in (1, 1, 2):
        jobs = make_jobs(tmp_path, ["a"], size=size)
        run_batch(first.stage, jobs, "code")
        run_batch(second.stage, make_jobs(tmp_path, ["a"]), "code")
    assert second.done == ["c0", "c0"]


def test_a_stage_without_its_upstream_says_so(tmp_path):
    with pytest.raises(DrrxError, match="Delete it and run again"):
        run_batch(Copy("project_ct", upstream=("read_ct",)).stage, make_jobs(tmp_path, ["a"]), "code")


def test_records_hold_hashes_and_no_paths(tmp_path):
    run_batch(Copy().stage, make_jobs(tmp_path, ["a"]), "code")
    record = read_json(tmp_path / "cases" / "c0" / "stages" / "read_ct.json")
    assert list(record["products"]) == ["read_ct.txt"]
    assert str(tmp_path) not in str(record)


def test_a_case_that_was_killed_midway_with_other_settings_is_not_taken_for_done(tmp_path):
    """Settings A finish, settings B are killed after the first file, settings A come back."""
    copy = Copy()
    run_batch(copy.stage, make_jobs(tmp_path, ["a"], size=1), "code")

    def killed(job):
        copy.run(job)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(replace(copy.stage, run=killed), make_jobs(tmp_path, ["a"], size=2), "code")
    assert (tmp_path / "cases" / "c0" / "read_ct.txt").read_text() == "2\n"
    outcome = run_batch(copy.stage, make_jobs(tmp_path, ["a"], size=1), "code")["c0"]
    path = tmp_path / "cases" / "c0" / "read_ct.txt"
    assert path.read_text() == "1\n"
    assert outcome["products"] == {"read_ct.txt": sha256_file(path)}


@pytest.mark.parametrize(
    ("number", "code", "gist"),
    [
        (errno.ENOSPC, "DISK_FULL", "no space left on the disk: cases/c0/x.png."),
        (errno.EDQUOT, "DISK_FULL", "the quota of the disk is used up: cases/c0/x.png."),
        (errno.EROFS, "CANNOT_WRITE", "a file system that may only be read: cases/c0/x.png."),
        (errno.EACCES, "CANNOT_WRITE", "no right to open a file: cases/c0/x.png."),
        (errno.EIO, "IO_ERROR", "the disk or its network does not answer rightly: cases/c0/x.png."),
    ],
)
def test_trouble_with_files_is_told_by_code_and_is_no_refusal(tmp_path, number, code, gist):
    def run(job):
        raise OSError(number, os.strerror(number), str(job.folder.folder / "x.png"))

    outcome = run_batch(replace(Copy().stage, run=run), make_jobs(tmp_path, ["a"]), "code")["c0"]
    assert (outcome["status"], outcome["code"], outcome["detail"]) == ("failed", code, f"case c0: {gist}")
    assert outcome["hint"]


def test_neither_record_nor_log_repeats_what_an_exception_says_of_a_patient(tmp_path, caplog):
    def run(job):
        try:
            raise ValueError("DOE^JANE")
        except ValueError as error:
            raise PermissionError(errno.EACCES, "DOE^JANE", "/data/DOE^JANE/1.dcm") from error

    outcome = run_batch(replace(Copy().stage, run=run), make_jobs(tmp_path, ["a"]), "code")["c0"]
    assert outcome["code"] == "CANNOT_READ"
    assert "DOE" not in str(outcome) + caplog.text
    assert "ValueError, its cause" in caplog.text
    assert "tests/test_batch.py" in caplog.text


@pytest.mark.parametrize("path", ["a", "bad", "poison"])
def test_a_source_that_changes_while_it_is_read_is_no_result(tmp_path, path):
    copy = Copy()

    def run(job):
        copy.signature = "b"
        return copy.run(job)

    stage = replace(copy.stage, run=run)
    outcome = run_batch(stage, make_jobs(tmp_path, [path]), "code")["c0"]
    assert (outcome["status"], outcome["code"], outcome["products"]) == ("failed", "INPUT_CHANGED", {})
    again = run_batch(stage, make_jobs(tmp_path, ["a"]), "code")["c0"]
    assert again["status"] == "done"


def test_a_source_that_cannot_be_asked_fails_that_case_alone(tmp_path):
    def depends(job):
        if job.row.path == "bad":
            raise OSError(errno.EIO, "no", "x")
        return ""

    outcomes = run_batch(replace(Copy().stage, depends=depends), make_jobs(tmp_path, ["bad", "a"]), "code")
    assert [outcome["status"] for outcome in outcomes.values()] == ["failed", "done"]
    assert outcomes["c0"]["code"] == "IO_ERROR"


def test_a_file_of_the_stage_above_that_was_damaged_is_lost_and_no_reason_to_refuse_the_case(tmp_path):
    first, jobs = Copy(), make_jobs(tmp_path, ["a"])
    run_batch(first.stage, jobs, "code")
    (tmp_path / "cases" / "c0" / "read_ct.txt").write_text("torn")

    def run(job):
        raise DrrxError(where="read_ct.txt", found="torn", needed="a number", hint="none")

    outcome = run_batch(Stage("segment_anatomy", run, upstream=("read_ct",)), jobs, "code")["c0"]
    assert (outcome["status"], outcome["code"]) == ("failed", "INPUTS_LOST")
    assert "case c0, read_ct.txt: found another file" in outcome["detail"]
    assert outcome["hint"].endswith("delete it first and add --forcerun read_ct.")


def test_a_file_that_was_cut_short_is_made_again(tmp_path):
    copy = Copy()
    run_batch(copy.stage, make_jobs(tmp_path, ["a"]), "code")
    (tmp_path / "cases" / "c0" / "read_ct.txt").write_text("")
    run_batch(copy.stage, make_jobs(tmp_path, ["a"]), "code")
    assert copy.done == ["c0", "c0"]


def test_a_case_that_cannot_even_be_recorded_ends_the_job(tmp_path, monkeypatch):
    def write(path, data):
        raise OSError(errno.ENOSPC, "full", str(path))

    monkeypatch.setattr("drrx.stages.batch.write_json", write)
    with pytest.raises(OSError, match="full"):
        run_batch(Copy().stage, make_jobs(tmp_path, ["a"]), "code")
