"""Damaged files give a valid result or a typed error: hypothesis draws the damage, about 3 s for each reader.

`make fuzz` goes on for as long as you like, with limits on memory and time that only a process of its own can have.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drrx.errors import DrrxError
from drrx.io.ct import read_volume_file
from tests.fuzz import __main__ as main
from tests.fuzz.__main__ import Run, Tally
from tests.fuzz.child import FINDING, make_input
from tests.fuzz.targets import MAX_SECONDS, SETTINGS, TARGETS

#: Inputs that take about 3 s on a slow core, processes of their own included.
NUM_INPUTS = {"dicom": 150, "codecs": 100, "enhanced": 200, "archives": 100, "config": 100, "weights": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_give_a_valid_result_or_a_typed_error(name):
    target = TARGETS[name]

    # The blob that is printed repeats a failure: @reproduce_failure. Files are found anew in each run.
    @settings(
        max_examples=NUM_INPUTS.get(name, 300), deadline=1000 * MAX_SECONDS, database=None, print_blob=True,
        derandomize=False, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(st.data())
    def try_one(data):
        made = target.make_input(lambda n: data.draw(st.integers(0, n - 1)))
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.try_input(Path(folder), made)

    try_one()


@pytest.mark.parametrize("name", TARGETS)
def test_undamaged_files_are_read(tmp_path, name):
    target = TARGETS[name]
    for number, seed in enumerate(target.make_seeds()):
        assert target.try_input(tmp_path / str(number), seed) == "read", seed.entry


class Crash(Exception):
    """What no reader may raise."""


def test_a_finding_is_found_and_kept(tmp_path, monkeypatch):
    """The law itself is tested: on readers that raise, repeat text of the file, wait, or give nonsense."""
    target = TARGETS["marks"]
    made = target.make_seeds()[0]

    def read_badly(_):
        raise Crash

    with pytest.raises(Crash):
        type(target)("x", target.make_seeds, target.edits, read_badly).try_input(tmp_path / "a", made)
    run, tally = Run("marks", 1, tmp_path / "keep"), Tally()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "marks.csv").write_text("x")
    run._count(f"0 {FINDING}:Crash@marks.py:1 0.01 100", tmp_path)
    run._count("1 BAD_ANNOTATIONS 11.0 100", tmp_path)
    run._count("2 read 0.1 100", tmp_path)
    assert dict(run.tally.findings) == {"Crash@marks.py:1": 1, "slow": 1}
    assert dict(run.tally.outcomes) == {FINDING: 2, "read": 1}
    assert sorted(path.name for path in (tmp_path / "keep").iterdir()) == ["marks-1-0", "marks-1-1"]
    assert "--reader marks --seed 1 --only 1" in (tmp_path / "keep" / "marks-1-1" / "finding.txt").read_text()
    assert (tmp_path / "keep" / "marks-1-1" / "input" / "marks.csv").read_text() == "x"
    assert not tally.findings


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("import time; time.sleep(60)", "no answer in time"),
        ("import os; os.abort()", "died (-6)"),
        ("1 / 0", "died (1)"),
    ],
)
def test_a_process_that_waits_or_dies_is_a_finding_and_begun_anew(tmp_path, monkeypatch, end, told):
    monkeypatch.setattr(main, "PATIENCE_SECONDS", 0.5)
    starts = []

    def make_command(run, work):
        starts.append(run.number)
        lines = f"ready\n{run.number} read 0.1 100\n"
        (work / str(run.number + 1)).mkdir()
        (work / str(run.number + 1) / "marks.csv").write_text("x")
        return [sys.executable, "-c", f"print({lines!r}, end='', flush=True); {end}"]

    monkeypatch.setattr(Run, "_make_command", make_command)
    tally = Run("marks", 3, tmp_path).go(0.02)
    assert starts[0] == 0
    assert starts == [2 * number for number in range(len(starts))], "the input that ended it is left out"
    assert len(starts) > 1 or told == "no answer in time"
    assert set(tally.findings) == {told}
    assert (tmp_path / "marks-3-1" / "input" / "marks.csv").is_file()


def test_a_process_that_does_not_start_is_no_finding(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "_make_command", lambda run, work: [sys.executable, "-c", "1 / 0"])
    with pytest.raises(ChildProcessError, match="does not start"):
        Run("marks", 3, tmp_path).go(0.02)
    assert list(tmp_path.iterdir()) == []


def test_a_run_reads_one_input_after_another_and_tells_their_number(tmp_path, capsys):
    arguments = ["--minutes", "0.05", "--reader", "marks", "--reader", "cohort", "--seed", "1"]
    assert main.main([*arguments, "--keep", str(tmp_path), "--json", str(tmp_path / "counts.json")]) == 0
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert list(counts) == ["marks", "cohort"]
    assert all(sum(tally["outcomes"].values()) > 20 and not tally["findings"] for tally in counts.values())
    assert "0 findings" in capsys.readouterr().out
    assert main.main([*arguments, "--only", "5"]) == 0
    assert capsys.readouterr().out.split()[-1] in counts["marks"]["outcomes"]


#: Lines that SimpleITK cannot do without and does not miss: it gives nonsense then.
NEEDED_BY_ITK = b"CompressedDataSize = "


@pytest.mark.parametrize("name", ["nifti", "metaimage", "nrrd"])
def test_what_simpleitk_reads_too_it_reads_alike(tmp_path, name, capfd):
    """Damaged files that both readers take: the same numbers at the same place."""
    num_both = 0
    for number in range(500):
        made, folder = make_input(TARGETS[name], 7, number), tmp_path / str(number)
        folder.mkdir()
        for file, data in made.files.items():
            (folder / file).write_bytes(data)
        try:
            volume = read_volume_file(folder / made.entry, SETTINGS).volume
            image = sitk.ReadImage(str(folder / made.entry))
        except (DrrxError, RuntimeError):
            continue
        header = made.files[made.entry][:1000]
        if b"CompressedData = True" in header and NEEDED_BY_ITK not in header:
            continue
        num_both += 1
        values = sitk.GetArrayFromImage(image).reshape(volume.shape)
        finite = np.isfinite(volume.values)  # SimpleITK has 0 for NaN
        np.testing.assert_allclose(volume.values[finite], values[finite], atol=1e-3, err_msg=str(number))
        for corner in np.ndindex(2, 2, 2):
            index = np.array(corner) * (np.array(volume.shape) - 1)
            place = image.TransformIndexToPhysicalPoint([*index.tolist()[::-1], *[0] * (image.GetDimension() - 3)])
            # Between sform and qform, of which either takes another, half a millimetre is let pass.
            np.testing.assert_allclose(volume.to_world(index), place[:3], atol=0.5, err_msg=str(number))
    capfd.readouterr()
    assert num_both > 30
