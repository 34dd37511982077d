"""A finished run is checked down to the byte: whatever is flipped, taken away, added or swapped is found and named."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from drrx.cli.main import main
from drrx.errors import DrrxError
from drrx.io.checksums import hash_files, make_sums, read_sums, write_sums
from drrx.io.files import read_json, write_json
from drrx.provenance.verify import verify
from tests.small_run import run_stage, share_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return share_run(tmp_path_factory.getbasetemp()) / "results"


@pytest.fixture
def results(finished, tmp_path):
    """A copy with its hard links."""
    subprocess.run(["cp", "-a", finished, tmp_path / "results"], check=True)
    return tmp_path / "results"


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def found(folder: Path) -> list[tuple[str, str]]:
    return [(finding.kind, finding.file) for finding in verify(folder).findings]


def flip(path: Path, position: int) -> None:
    """Change one bit, in place: a hard link shows it under both names."""
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1]))


@contextmanager
def flipped(path: Path, position: int):
    flip(path, position)
    try:
        yield
    finally:
        flip(path, position)


def test_a_finished_run_is_as_recorded(finished):
    told = verify(finished)
    assert told.findings == ()
    assert told.num_files + told.num_unrecorded == len(list_files(finished))
    assert told.num_unrecorded == 0
    images = 3 + 4
    assert told.num_linked == 2 * images, "cxr and drr of each image"
    assert told.num_bytes == sum(
        {path.stat().st_ino: path.stat().st_size for path in finished.rglob("*") if path.is_file()}.values()
    )


def test_one_flipped_bit_is_found_and_named_in_every_file(finished):
    """Also in the lists themselves; first byte, last byte, and one between."""
    names = [name for name in list_files(finished) if (finished / name).stat().st_size]
    twins = {name: {other for other in names if (finished / name).samefile(finished / other)} for name in names}
    assert len(names) > 60
    for number, name in enumerate(names):
        size = (finished / name).stat().st_size
        with flipped(finished / name, (0, size // 2, size - 1)[number % 3]):
            assert found(finished) == [("changed", twin) for twin in sorted(twins[name])], name
    assert found(finished) == []


RECORDS = ("sha256sums.txt", "dataset/sha256sums.txt", "dataset/files.tsv", "dataset/manifest.json", "summary.json")


@pytest.mark.parametrize("name", [*RECORDS, "cases/p1/stages/read_ct.json", "records/restore_cxr/demo-0001.json"])
def test_every_byte_of_a_record_counts(finished, name):
    size = (finished / name).stat().st_size
    for position in {*range(0, size, max(1, size // 12)), size - 1}:
        with flipped(finished / name, position):
            assert found(finished) == [("changed", name)], position


KINDS = (
    *RECORDS, "shards.tsv", "cases/torn/case.json", "cases/torn/stages/restore_cxr.json", "cases/p1/ct.nii.gz",
    "cases/p1/variants.json", "cases/p1/pa/projection.npz", "cases/p1/v1/nodules.npz", "cases/p1/v1/pa/annotation.json",
    "cases/p1/stages/read_ct.json", "records/compose_drr/demo-0001.json", "dataset/images.csv",
    "dataset/masks/p1_v1_pa_n1.png", "dataset/provenance.tsv", "dataset/ro-crate-metadata.json", "dataset/index.html",
)  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_file_taken_away_is_missing(finished, tmp_path, name):
    shutil.move(finished / name, tmp_path / "away")
    try:
        assert found(finished) == [("missing", name)]
    finally:
        shutil.move(tmp_path / "away", finished / name)


@pytest.mark.parametrize(
    "name", ["dataset/images/p9_v1_pa.png", "cases/p1/v9/pa/cxr.png", "cases/p9/ct.nii.gz", "a.txt"]
)
def test_a_file_put_in_is_extra(results, name):
    (results / name).parent.mkdir(parents=True, exist_ok=True)
    (results / name).write_text("more")
    assert found(results) == [("extra", name)]


def test_a_swapped_pair_is_found(results):
    first, second = (results / f"dataset/images/p1_{variant}_pa.png" for variant in ("v1", "s1"))
    first.rename(results / "dataset/other.png")
    second.rename(first)
    (results / "dataset/other.png").rename(second)
    names = [path.relative_to(results).as_posix() for path in (second, first)]
    assert found(results) == [("changed", name) for name in names]


def test_a_record_that_was_rewritten_is_found(results):
    """Somebody changes a product and its hash in the record of the stage."""
    product, record = results / "cases/p1/anatomy.json", results / "cases/p1/stages/segment_anatomy.json"
    flip(product, 5)
    data = read_json(record)
    data["products"]["anatomy.json"] = hash_files([product])[product]
    write_json(record, data)
    assert found(results) == [
        ("changed", "cases/p1/anatomy.json"), ("changed", "cases/p1/stages/segment_anatomy.json")
    ]  # fmt: skip


def test_two_records_of_one_outcome_must_agree(results):
    """Though the list of checksums was made again over the changed record."""
    record = results / "cases/p1/stages/segment_anatomy.json"
    write_json(record, read_json(record) | {"fingerprint": "0" * 64})
    sums = read_sums(results / "sha256sums.txt")
    write_sums(
        results / "sha256sums.txt", sums | {record.relative_to(results).as_posix(): hash_files([record])[record]}
    )
    assert found(results) == [("disagrees", "cases/p1/stages/segment_anatomy.json")]


def test_half_written_files_and_links_are_named(results):
    half = "cases/p1/.drrx-tmp-0123abcd-4711-99-0a1b2c3d-ct.nii.gz"
    (results / half).write_bytes(b"half")
    (results / "scratch/p1").mkdir(parents=True)
    (results / "scratch/p1/ct.nii.gz").write_bytes(b"copy")
    image = results / "dataset/images/p1_twin_pa.png"
    image.rename(results.parent / "elsewhere.png")
    image.symlink_to(results.parent / "elsewhere.png")
    (results / "dataset/more").symlink_to(results.parent)
    assert found(results) == [
        ("temporary", half), ("changed", "dataset/images/p1_twin_pa.png"),
        ("extra", "dataset/more"), ("temporary", "scratch/p1/ct.nii.gz"),
    ]  # fmt: skip


def test_what_a_refused_case_left_and_diaries_are_no_findings(results):
    (results / "cases/torn/lung_mask.nii.gz").write_bytes(b"written before the refusal")
    (results / "logs").mkdir()
    (results / "logs/a.log").write_text("read_ct 1/1")
    told = verify(results)
    assert (told.findings, told.num_unrecorded) == ((), 1)


def test_intermediate_files_may_all_be_gone_but_not_one_of_them(results):
    names = ["ct.nii.gz", "anatomy.nii.gz", "pa/projection.npz", "s1/nodules.npz", "v1/nodules.npz"]
    for name in names[:-1]:
        (results / "cases/p1" / name).unlink()
    assert found(results) == [("missing", f"cases/p1/{name}") for name in sorted(names[:-1])]
    (results / "cases/p1" / names[-1]).unlink()
    told = verify(results)
    assert (told.findings, told.num_dropped) == ((), len(names))


def test_a_case_that_left_the_cohort_is_still_as_recorded(finished, results):
    run_stage("collect_dataset", finished.parent / "cohort.tsv", results, ["p1", "torn"])
    assert found(results) == []
    with flipped(results / "cases/p2/anatomy.json", 9):
        assert found(results) == [("changed", "cases/p2/anatomy.json")]


def test_stages_that_went_on_without_the_data_set_show(finished, results):
    record = results / "records/annotate_cxr/demo-0001.json"
    run_stage("annotate_cxr", finished.parent / "cohort.tsv", results, ["p1"])
    assert found(results) == [("changed", record.relative_to(results).as_posix())]


def test_a_data_set_alone_is_checked_and_by_coreutils_too(results):
    folder = results / "dataset"
    assert found(folder) == []
    if shutil.which("sha256sum"):
        command = ["sha256sum", "--check", "--strict", "--quiet", "sha256sums.txt"]
        assert subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout == ""
    flip(folder / "records.jsonl", 100)
    assert found(folder) == [("changed", "records.jsonl")]


def test_the_command_tells_in_words_and_in_json(results, capsys):
    assert main(["verify", str(results)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("14 share disk space with another")
    assert said[1] == "all as recorded"
    flip(results / "dataset/nodules.csv", 3)
    assert main(["verify", str(results)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("changed    dataset/nodules.csv: sha256 ")
    assert said[0].endswith(" recorded in dataset/sha256sums.txt")
    assert said[-1] == "1 problem(s)"
    assert main(["verify", str(results), "--json", "--threads", "1"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], [item["file"] for item in told["findings"]]) == (False, ["dataset/nodules.csv"])


def test_a_folder_that_is_neither_is_told(tmp_path):
    with pytest.raises(DrrxError, match="found neither cases nor a manifest; needed the folder of a run"):
        verify(tmp_path)


def test_a_list_reads_back_and_its_seal_holds(tmp_path):
    sums = {"b.txt": "2" * 64, "a folder/a.txt": "1" * 64}
    write_sums(tmp_path / "sums.txt", sums)
    assert read_sums(tmp_path / "sums.txt") == sums
    text = make_sums(sums)
    for wrong in (text[:-1], text.replace("b.txt", "c.txt"), text.replace("# sha", "# she"), "", text + "\n"):
        (tmp_path / "sums.txt").write_text(wrong)
        with pytest.raises(DrrxError, match="found bytes that differ from what its last line seals"):
            read_sums(tmp_path / "sums.txt")


def test_hard_links_are_read_once_and_what_cannot_be_read_is_empty(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    os.link(tmp_path / "a", tmp_path / "b")
    read = []
    monkeypatch.setattr("drrx.io.checksums.sha256_file", lambda path: read.append(path.name) or "1")
    assert hash_files([tmp_path / "a", tmp_path / "b"]) == {tmp_path / "a": "1", tmp_path / "b": "1"}
    assert read == ["a"]
    monkeypatch.undo()
    assert hash_files([tmp_path / "none"]) == {tmp_path / "none": ""}
