"""Shards: a case stays where it was first put, and an old shard gets no new case."""

import os
import re
import shutil

import pytest

from drrx.config import STAGES, Config, make_schema, stage_settings
from drrx.errors import DrrxError
from drrx.io.cohort import CohortRow, read_cohort
from drrx.shards import cases_by_shard, cohort_signature, plan_shards, read_shards, row_signature, write_shards


def rows(*names, cohort="demo"):
    return [CohortRow(case=name, path="phantom:1", cohort=cohort) for name in names]


def test_a_small_batch_is_cut_so_that_it_can_run_side_by_side():
    shards = plan_shards(rows("b", "a"), {}, 8)
    assert shards == {"b": "demo-0001", "a": "demo-0002"}


@pytest.mark.parametrize(("num_cases", "shard_size"), [(1, 1), (9, 8), (64, 8), (65, 8), (100, 7), (1000, 64)])
def test_shards_keep_to_the_size_and_are_even(num_cases, shard_size):
    names = [f"c{number}" for number in range(num_cases)]
    shards = plan_shards(rows(*names), {}, shard_size)
    sizes = [list(shards.values()).count(shard) for shard in dict.fromkeys(shards.values())]
    assert sum(sizes) == num_cases
    assert max(sizes) <= shard_size
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == max(-(-num_cases // shard_size), min(num_cases, 8))


def test_the_largest_shard_fits_a_command_line():
    # Linux takes 128 KiB in one word, and the shell gets the whole command in one.
    names = make_schema()["properties"]["shard_size"]["maximum"] * (64 + 1)
    assert names + 2 * max(len(stage_settings(Config(), stage)) for stage in STAGES) < 128 * 1024 - 8000


def test_new_cases_make_new_shards_wherever_they_stand_in_the_table():
    old = plan_shards(rows("m", "n"), {}, 8)
    new = plan_shards(rows("a", "m", "n", "z"), old, 8)
    assert list(new.items())[:2] == list(old.items())
    assert {new["a"], new["z"]}.isdisjoint(old.values())


def test_a_shard_keeps_its_order_when_the_table_is_re_ordered():
    planned = plan_shards(rows(*"abcdefghijkl"), {}, 1000)
    shuffled = cases_by_shard(rows(*"lbdcakjhgfie"), planned)
    assert {name: [row.case for row in found] for name, found in shuffled.items()} == {
        name: [row.case for row in found] for name, found in cases_by_shard(rows(*"abcdefghijkl"), planned).items()
    }


def test_a_case_that_left_keeps_its_number_out_of_use():
    old = plan_shards(rows("m", "n"), {}, 8)
    new = plan_shards(rows("m", "x"), old, 8)
    assert new["x"] == "demo-0003"
    assert cases_by_shard(rows("m", "x"), new).keys() == {"demo-0001", "demo-0003"}


def test_cohorts_do_not_share_shards():
    both = rows("a") + rows("b", cohort="demo-0001")
    assert plan_shards(both, {}, 8) == {"a": "demo-0001", "b": "demo-0001-0001"}


def test_the_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "results" / "shards.tsv"
    assert read_shards(path) == {}
    shards = plan_shards(rows(*"abcdefghij"), {}, 2)
    write_shards(path, shards)
    assert read_shards(path) == shards
    before = path.stat().st_mtime_ns
    write_shards(path, shards)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["case\tshard\na\tb\n", "shard\tcase\ns\n", "shard\tcase\ns\ta\nt\ta\n", ""])
def test_a_table_that_was_changed_by_hand_is_an_error(tmp_path, text):
    path = tmp_path / "shards.tsv"
    path.write_text(text)
    with pytest.raises(DrrxError, match="columns shard and case"):
        read_shards(path)


@pytest.mark.parametrize("name", ["mask", "annotations"])
def test_a_row_signature_follows_the_files_beside_the_ct(tmp_path, name):
    row = CohortRow(case="a", path="phantom:1", cohort="demo", **{name: str(tmp_path / "m.nii")})
    missing = row_signature(row)
    (tmp_path / "m.nii").write_bytes(b"1")
    first = row_signature(row)
    (tmp_path / "m.nii").write_bytes(b"22")
    assert len({missing, first, row_signature(row)}) == 3


def test_a_row_signature_follows_the_file_and_moves_with_the_project(tmp_path):
    (tmp_path / "one" / "tables").mkdir(parents=True)
    table, ct = tmp_path / "one" / "tables" / "cohort.tsv", tmp_path / "one" / "ct.nii"
    ct.write_bytes(b"12345")
    table.write_text("case\tpath\tcohort\na\t../ct.nii\tdemo\n")
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # with times of change
    (first,), (second,) = (read_cohort(tmp_path / name / "tables" / "cohort.tsv") for name in ("one", "two"))
    before = row_signature(first)
    assert first.path != second.path
    assert before == row_signature(second)
    assert re.fullmatch("[0-9a-f]{16}", before), "no name of a file"
    os.utime(ct, ns=(10**18, 10**18))
    changed = row_signature(first)
    ct.unlink()
    assert len({before, changed, row_signature(first)}) == 3
    assert cohort_signature([first]) != cohort_signature([second])


def test_a_table_of_absolute_paths_may_lie_elsewhere(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "ct.nii").write_bytes(b"1")
    signatures = []
    for folder in (tmp_path, tmp_path / "other"):
        (folder / "cohort.tsv").write_text(f"case\tpath\tcohort\na\t{tmp_path / 'ct.nii'}\tdemo\n")
        signatures += map(row_signature, read_cohort(folder / "cohort.tsv"))
    assert signatures[0] == signatures[1]
