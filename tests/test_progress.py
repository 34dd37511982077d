"""What a run tells of itself: how far it is, and what its stages cost."""

import json
import os

import pytest

from drrx.cli.main import main
from drrx.config import STAGES
from drrx.costs import StageSummary, format_summary, summarise_run, write_summary
from drrx.errors import DrrxError
from drrx.io.files import read_json, write_json, write_text
from drrx.io.owner import take
from drrx.progress import LAST_STAGE, Progress, status_file, tell_status, tell_time

SHARDS = {"x-0001": 8, "x-0002": 8, "x-0003": 4}


def write_record(results, stage, shard, *statuses, num_bytes=0):
    cases = {f"{shard}-{number}": {"status": status, "bytes": num_bytes} for number, status in enumerate(statuses)}
    write_json(results / "records" / stage / f"{shard}.json", {"cases": cases})


def make_progress(results, planned):
    return Progress(results, SHARDS, planned, start=1000.0)


def plan_all(seconds=1.0):
    return {(stage, shard): seconds for stage in STAGES[:-1] for shard in SHARDS} | {(STAGES[-1], ""): seconds}


def test_at_the_start_all_cases_are_left_and_nobody_knows_how_long(tmp_path):
    assert make_progress(tmp_path, plan_all()).tell([], 1010.0) == "0 %: cases 0 done, 0 refused, 20 left of 20"


def test_a_case_is_done_when_its_last_stage_is(tmp_path):
    write_record(tmp_path, LAST_STAGE, "x-0001", *["done"] * 6, "refused", "skipped")
    progress = make_progress(tmp_path, plan_all())
    early = [step for step in plan_all() if step[1] == "x-0001" and step[0] != LAST_STAGE]
    assert "cases 0 done, 0 refused, 20 left of 20; about" in progress.tell(early, 1060.0)
    line = progress.tell([*early, (LAST_STAGE, "x-0001")], 1600.0)
    # 7 of 22 steps in 10 minutes; 8 cases in 10 minutes.
    assert line == "32 %: cases 6 done, 2 refused, 12 left of 20; 48 an hour; about 21 min 26 s left"


def test_cases_of_an_earlier_run_are_done_and_do_not_count_for_the_rate(tmp_path):
    write_record(tmp_path, LAST_STAGE, "x-0001", *["done"] * 8)
    write_record(tmp_path, LAST_STAGE, "x-0002", *["done"] * 7, "refused")
    progress = make_progress(tmp_path, {(LAST_STAGE, "x-0003"): 5.0, (STAGES[-1], ""): 5.0})
    assert progress.tell([], 1001.0) == "0 %: cases 15 done, 1 refused, 4 left of 20"
    write_record(tmp_path, LAST_STAGE, "x-0003", *["done"] * 4)
    line = progress.tell([(LAST_STAGE, "x-0003")], 1060.0)
    assert line == "50 %: cases 19 done, 1 refused, 0 left of 20; 240 an hour; about 1 min 0 s left"


def test_the_time_left_goes_by_the_work_of_the_steps_and_not_by_their_number(tmp_path):
    progress = make_progress(tmp_path, {("read_ct", "x-0001"): 10.0, ("restore_cxr", "x-0001"): 90.0})
    assert progress.tell([("read_ct", "x-0001")], 1010.0).endswith("about 1 min 30 s left")


def test_a_run_that_ended_tells_no_time_left(tmp_path):
    progress = make_progress(tmp_path, {("read_ct", "x-0001"): 1.0, ("restore_cxr", "x-0001"): 1.0})
    assert "left of 20" in progress.tell([("read_ct", "x-0001")], 1010.0, "failed")
    assert "about" not in progress.tell([("read_ct", "x-0001")], 1010.0, "failed")
    assert read_json(status_file(tmp_path))["state"] == "failed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (200000, "2 d 7 h"),
    ],
)
def test_times_are_told_in_two_units(seconds, text):
    assert tell_time(seconds) == text


def test_the_status_of_a_run_is_its_last_line_and_its_age(tmp_path):
    make_progress(tmp_path, plan_all()).tell([], 1060.0)
    told = tell_status(tmp_path, 1090.0)
    assert told.endswith("20 left of 20 (running, told 30 s ago, 1 min 0 s after the start)")
    with pytest.raises(DrrxError, match="found no run that told how far it is"):
        tell_status(tmp_path / "elsewhere", 0.0)


# Cost


def write_benchmark(results, name, seconds, memory, cpu):
    write_text(results / "benchmarks" / f"{name}.tsv", f"s\tmax_rss\tcpu_time\n{seconds}\t{memory}\t{cpu}\n")


@pytest.fixture
def results(tmp_path):
    for shard, seconds, memory in (("x-0001", 10, 300), ("x-0002", 20, 500), ("gone-0001", 1000, 9000)):
        write_benchmark(tmp_path, f"read_ct/{shard}", seconds, memory, seconds / 2)
        write_record(tmp_path, "read_ct", shard, "done", "done", "refused", num_bytes=50)
    write_benchmark(tmp_path, "annotate_cxr/x-0001", 0.2, "NA", "NA")
    write_benchmark(tmp_path, "collect_dataset", 5, 100, 4)
    write_text(tmp_path / "records" / "annotate_cxr" / "x-0001.json", "half a rec")
    write_text(tmp_path / "dataset" / "own.csv", "1234")
    (tmp_path / "dataset" / "linked.png").hardlink_to(tmp_path / "benchmarks" / "collect_dataset.tsv")
    return tmp_path


def test_stages_are_summed_over_the_shards_of_the_cohort(results):
    assert summarise_run(results, ["x-0001", "x-0002"]) == (
        StageSummary("read_ct", 2, 4, 30.0, 15.0, 500.0, 300),
        StageSummary("annotate_cxr", 1, 0, 0.2, 0.0, 0.0, 0),
        StageSummary("collect_dataset", 1, 0, 5.0, 4.0, 100.0, 4),
    )


def test_the_table_has_a_line_for_each_stage_and_for_the_whole(results):
    summaries = summarise_run(results, ["x-0001", "x-0002"])
    lines = format_summary(summaries).splitlines()
    assert [line.split()[0] for line in lines] == ["stage", "read_ct", "annotate_cxr", "collect_dataset", "whole"]
    assert lines[-1].split() == ["whole", "4", "35", "s", "19", "s", "500", "MB", "0.0", "MB"]
    rows = [line.split("\t") for line in write_summary(results, summaries).read_text().splitlines()]
    assert rows[1] == ["read_ct", "2", "4", "30.0", "15.0", "500.0", "300"]
    assert len({len(row) for row in rows}) == 1


def test_drrx_status_tells_line_and_cost(results, capsys):
    assert main(["status", str(results)]) == 1
    assert "no run that told how far it is" in capsys.readouterr().err
    status_file(results).parent.mkdir(parents=True)
    status_file(results).write_text(json.dumps({"state": "running", "line": "32 %: ...", "time": 1.0, "start": 0.0}))
    write_text(results / "shards.tsv", "shard\tcase\nx-0001\ta\nx-0002\tb\n")
    assert main(["status", str(results)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("32 %: ... (running, told ")
    assert "read_ct" in told


def test_drrx_status_names_the_run_that_goes_on_and_the_one_that_was_killed(tmp_path, capsys):
    status_file(tmp_path).parent.mkdir(parents=True)
    write_json(status_file(tmp_path), {"state": "running", "line": "50 %", "time": 0.0, "start": 0.0})
    owner = take(tmp_path)
    assert main(["status", str(tmp_path)]) == 0
    assert f"\nrun by process {os.getpid()} on " in capsys.readouterr().out
    record = read_json(owner.path)
    owner.path.write_text(json.dumps(record | {"pid": 2**22 + 1}))
    assert main(["status", str(tmp_path)]) == 0
    assert "\nthe run was killed (process 4194305 on " in capsys.readouterr().out
    owner.path.unlink()
    assert main(["status", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("\n") == 1
