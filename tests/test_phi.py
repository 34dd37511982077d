"""Names of patients never come out: not in data set, records, logs, crash reports or Snakemake's files."""

import contextlib
import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from drrx.config import STAGES, load_config, stage_settings
from drrx.io.files import read_json
from tests.phi import SETTINGS, Cohort
from tests.small_run import CONFIG as SMALL
from tests.stand_in import make_project

CONFIG = SMALL | {
    "shams": 0, "read_ct": SETTINGS, "restore_cxr": {"steps": 1, "mode": "mean"},
    "collect_dataset": {
        "preview_px": 64, "dicom": "dx+seg",
        "formats": ["coco", "masks", "node21", "vindr", "nih", "yolo", "imagefolder", "luna", "path_maps"],
    },
}  # fmt: skip
#: Defects of ours, planted: whatever is raised while a patient's file is in hand may quote it.
DEFECTS = """
import errno, json, sys
import drrx.stages.read_ct as stage
from drrx.cli.main import main
*words, commands = sys.argv[1:]
read = stage.read_ct

def broken(path, *args, case="", **others):
    word, name = words[0], words[1]
    if case == "defect-value":
        raise ValueError(f"cannot use {word} of {path}")
    if case == "defect-chain":
        try:
            {}[word]
        except KeyError as error:
            raise RuntimeError(f"{name} is wrong") from error
    if case == "defect-os":
        raise OSError(errno.EIO, "Input/output error", str(path))
    if case == "defect-bytes":
        (word.encode() + b"\\xff").decode()
    if case == "defect-memory":
        raise MemoryError(f"no room for {path}")
    if case == "defect-group":
        raise ExceptionGroup(word, [ValueError(name)])
    return read(path, *args, case=case, **others)

stage.read_ct = broken
print(json.dumps([main(command) for command in json.loads(commands)]))
"""
DEFECT_CASES = ("value", "chain", "os", "bytes", "memory", "group")


class Run:
    """All stages over the cohort in a process of their own, with all that it said."""

    def __init__(self, folder):
        self.folder = folder
        self.inputs = folder / "inputs"
        self.inputs.mkdir()
        self.cohort = Cohort(self.inputs).build()
        for name in DEFECT_CASES:
            self.cohort.add(f"defect-{name}", self.cohort.folder / self.cohort.canaries.word("path of a defect"))
        self.cohort.write()
        self.results = folder / "out" / "results"
        self.config = load_config(CONFIG)
        self.cases = [row["case"] for row in self.cohort.rows]
        defects = [case for case in self.cases if case.startswith("defect")]
        sound = [case for case in self.cases if case not in defects]
        statuses = self.call("read", self.command("read_ct", sound, "all"), self.command("read_ct", defects, "defects"))
        assert statuses == [0, 1]
        refused = [case for case in sound if self.record(case)["status"] == "refused"]
        later = [self.command(stage, [*self.cohort.good, *refused], "all") for stage in STAGES[1:]]
        assert self.call("follow", *later) == [0] * len(later)

    def record(self, case, stage="read_ct"):
        return read_json(self.results / "cases" / case / "stages" / f"{stage}.json")

    def command(self, stage, cases, shard):
        name = "dataset/manifest.json" if stage == "collect_dataset" else f"records/{stage}/{shard}.json"
        places = ["--cohort", str(self.cohort.table), "--results", str(self.results)]
        told = ["--cases", *cases, "--settings", stage_settings(self.config, stage)]
        return ["run-stage", stage, *places, *told, "--output", str(self.results / name)]

    def call(self, name, *commands):
        words = [self.cohort.canaries.word(f"{part} of a defect") for part in ("message", "cause")]
        command = [sys.executable, "-c", DEFECTS, *words, json.dumps(commands)]
        said = subprocess.run(command, cwd=self.folder, capture_output=True, check=False)
        log = self.results / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(said.stdout + said.stderr)
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("phi"))


def unpack(name, data):
    """Yield the bytes of a file, and of what is packed in it."""
    yield name, data
    if data[:2] == b"\x1f\x8b":
        with contextlib.suppress(EOFError):  # some inputs are cut on purpose
            yield from unpack(f"{name}, unpacked", gzip.decompress(data))
    elif data[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from unpack(f"{name}, {member}", archive.read(member))
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        at = 8
        while at < len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            chunk = data[at + 8 : at + 8 + length]
            if kind in (b"zTXt", b"iCCP"):
                yield f"{name}, {kind}", zlib.decompress(chunk.partition(b"\0")[2][1:])
            at += length + 12


STEM = "CNRY"


def make_pattern(canaries):
    """Return what finds any canary: plain, in any capitals, as UTF-16 and as JSON writes it."""
    words = [word for word in canaries.places if not word.startswith(STEM)]
    patterns = {re.escape(word.encode()) for word in words}
    patterns |= {re.escape(json.dumps(word)[1:-1].encode()) for word in words}
    for before, after in ((b"", b""), (b"", rb"\0"), (rb"\0", b"")):
        patterns.add(b"".join(before + part + after for part in (b"C", b"N", b"R", b"Y", *[b"[0-9]"] * 3, b"X")))
    return re.compile(b"|".join(sorted(patterns)), re.IGNORECASE)


def find_canaries(canaries, folder):
    """Return where a canary came out, each with what stands around it, and how many files were looked at."""
    pattern, found, num_files = make_pattern(canaries), [], 0
    for path in sorted(folder.rglob("*")):
        parts = [("name", os.fsencode(path.relative_to(folder)))]
        if path.is_symlink():
            parts.append(("link", os.fsencode(path.readlink())))
        elif path.is_file():
            num_files += 1
            parts += unpack("bytes", path.read_bytes())
        for part, data in parts:
            found += [
                f"{path.relative_to(folder)} ({part}): {tell(canaries, data, match.start())}"
                for match in pattern.finditer(data)
            ]
    return found, num_files


def tell(canaries, data, at):
    """Say which canary it is, and show it among its neighbours."""
    around = data[max(0, at - 50) : at + 50]
    low = around.replace(b"\0", b"").decode("utf-8", "replace").upper()
    return f"{[place for word, place in canaries.places.items() if word in low]} {around!r}"


def test_the_search_finds_what_is_hidden(tmp_path, run):
    canaries = run.cohort.canaries
    word = canaries.word("DICOM PatientID").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", word.lower())
    texts = zlib.compress(word)
    chunk = struct.pack(">I", len(texts) + 5) + b"zTXtkey\0\0" + texts + bytes(4)
    hidden = {
        "a.gz": gzip.compress(word), "b.npz": buffer.getvalue(), "c.png": b"\x89PNG\r\n\x1a\n" + chunk,
        "d.txt": word.decode().encode("utf-16"), f"{word.decode()}.txt": b"", "e.json": b'"\\u5c71\\u7530"',
    }  # fmt: skip
    for name, data in hidden.items():
        (tmp_path / name).write_bytes(data)
    assert len(find_canaries(canaries, tmp_path)[0]) == len(hidden)
    assert len(find_canaries(canaries, next(run.cohort.folder.glob("*-0")))[0]) > 1000


def test_the_cohort_is_what_it_should_be(run):
    assert len(run.cohort.canaries.places) >= 100
    statuses = {case: run.record(case) for case in run.cases}
    codes = {record["code"] for record in statuses.values()}
    done = [case for case, record in statuses.items() if record["status"] == "done"]
    failed = [case for case, record in statuses.items() if record["status"] == "failed"]
    assert {*run.cohort.good, "mhd", "nrrd", "zip", "fixed"} <= set(done), statuses
    assert failed == [f"defect-{name}" for name in DEFECT_CASES]
    assert len(codes) >= 12, codes
    assert read_json(run.results / "cases" / "fixed" / "case.json")["status"] == "corrected"
    summary = read_json(run.results / "summary.json")
    assert summary["counts"]["images"] > 0
    assert len(summary["refused"]) >= 25


def test_no_name_comes_out_of_a_run(run):
    found, num_files = find_canaries(run.cohort.canaries, run.folder / "out")
    assert num_files > 150
    assert not found, "\n".join(found)


def test_a_crash_report_tells_where_and_what_kind(run):
    for name, kind in (("value", "ValueError"), ("chain", "RuntimeError"), ("bytes", "UnicodeDecodeError")):
        record = run.record(f"defect-{name}")
        assert (record["status"], record["code"]) == ("failed", "DEFECT")
        assert kind in record["detail"]
    log = (run.results / "logs" / "read.log").read_text()
    assert "read_ct.py" in log
    assert "in broken" in log


def test_no_name_comes_out_of_snakemake(run, tmp_path):
    """Its own metadata, logs and reports hold the parameters and commands of all jobs."""
    project = make_project(tmp_path)
    header, *rows = run.cohort.table.read_text().splitlines()
    named = [row for row in rows if row.split("\t")[0] in ("dcm", "dcm-uid", "mask-gone", "marks-cell")]
    table = run.cohort.table.with_name("some.tsv")
    table.write_text("\n".join([header, *named]) + "\n")
    options = ("--config", f"cohort={os.path.relpath(table, project.folder)}", "shard_size=4")
    (project.folder / "cohort.tsv").unlink()
    texts = []
    for extra, fails in (((), "annotate_cxr"), (("--verbose", "--printshellcmds"), "")):
        said = project.run("--keep-going", *options, *extra, fails=fails)
        assert (said.returncode == 0) == (not fails), said.stderr
        texts.append(said.stdout + said.stderr)
    (project.folder / "said.txt").write_text("\n".join(texts))
    found, num_files = find_canaries(run.cohort.canaries, Path(project.folder))
    assert num_files > 20
    assert not found, "\n".join(found)
