"""The battery: every kind of odd CT has the outcome that it must have, and none gets through wrong."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drrx.volume import Volume
from tests.battery.body import make_body
from tests.battery.good import GOOD
from tests.battery.judge import find_fault, is_same_grid, to_canonical
from tests.battery.kind import NUM_VARIANTS, Built, Kind
from tests.battery.kinds import KINDS
from tests.battery.page import KINDS_MARK, PEERS_MARK, get_part, make_kinds_table
from tests.battery.peers import is_dicom, is_for_peers
from tests.battery.readers import find_dcm2niix, read_dcm2niix, read_simpleitk
from tests.battery.run import read


def list_variants(kinds):
    return [pytest.param(kind, n, id=f"{kind.name}-{n}") for kind in kinds for n in range(NUM_VARIANTS)]


def find_difference(kind: Kind, answer) -> str:
    """Return how an answer differs from what its kind must give, or an empty text."""
    record = answer.record
    codes = tuple(code for code, _ in record.corrections)
    if kind.codes:
        if record.code not in kind.codes:
            return f"{record.status} {record.code or codes} {record.flags}, not refused as {' or '.join(kind.codes)}"
        if kind.cuts is None and (answer.exit_code == 0 or answer.volume is not None):
            return f"refused with exit code {answer.exit_code} and a CT"
        return "" if len(record.hint) > 10 else "no hint"
    if (record.status, codes, record.flags) != (kind.outcome, kind.corrections, kind.flags) or answer.exit_code:
        return f"{record.status} {record.code or codes} {record.flags}: {record.detail}"
    return ""


@pytest.mark.parametrize(("kind", "variant"), list_variants(KINDS))
def test_each_kind_has_its_outcome_and_nothing_gets_through_wrong(tmp_path, kind, variant):
    built = kind.make(tmp_path / "in", variant)
    answer = read(kind, built, tmp_path / "out")
    assert find_difference(kind, answer) == ""
    if kind.codes:
        assert kind.cuts is not None or answer.files == ("case.json",)
    else:
        assert find_fault(answer.volume, built, exact=kind.exact) == ""
    for secret in built.secrets:
        assert secret not in answer.output


# ---- inputs that are not odd


@pytest.mark.parametrize(("kind", "variant"), list_variants(GOOD))
def test_good_inputs_are_read_as_other_readers_read_them(tmp_path, kind, variant):
    built = kind.make(tmp_path / "in", variant)
    answer = read(kind, built, tmp_path / "out")
    assert find_difference(kind, answer) == ""
    assert find_fault(answer.volume, built, exact=kind.exact) == ""
    if kind.exact and kind.name != "good-nifti-2":  # SimpleITK reads NIfTI-1 only
        (other,) = (to_canonical(*pair) for pair in read_simpleitk({"path": str(built.path)}))
        assert_same(answer.volume, other)


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind.exact], ids=lambda kind: kind.name)
@pytest.mark.skipif(find_dcm2niix() is None, reason="dcm2niix is not installed")
def test_good_series_are_read_as_dcm2niix_reads_them(tmp_path, kind):
    built = kind.make(tmp_path / "in", 0)
    if not is_dicom(built.path):
        pytest.skip("dcm2niix reads DICOM only")
    (tmp_path / "niix").mkdir()
    (other,) = (to_canonical(*pair) for pair in read_dcm2niix({"path": str(built.path), "out": str(tmp_path / "niix")}))
    assert_same(read(kind, built, tmp_path / "out").volume, other)


def assert_same(volume, other):
    np.testing.assert_array_equal(volume.values, np.rint(other.values))
    assert is_same_grid(volume, other, 1e-3)


# ---- the battery itself


def test_kinds_are_many_and_cover_every_row_of_an_input():
    assert len(KINDS) >= 120
    assert len({kind.name for kind in [*KINDS, *GOOD]}) == len(KINDS) + len(GOOD)
    rows = {kind.row for kind in KINDS}
    # What another test file looks after: what of a patient may come out (56).
    assert rows | {"56"} == {*map(str, range(1, 60)), "53b"}


def test_a_variant_is_the_same_each_time_and_unlike_the_others(tmp_path):
    kind = next(kind for kind in KINDS if kind.name == "slices-overlap")
    first, again = (kind.make(tmp_path / name, 0) for name in "ab")
    files = [sorted(file.read_bytes() for file in built.path.iterdir()) for built in (first, again)]
    assert files[0] == files[1]
    shapes = {kind.make(tmp_path / str(variant), variant).truth.shape for variant in range(NUM_VARIANTS)}
    assert len(shapes) == NUM_VARIANTS


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda volume: volume, ""),
        (lambda volume: volume.with_values(volume.values + np.int16(11)), "HU off"),
        (lambda volume: volume.with_values(volume.values[:, :, ::-1]), "markers"),
        (lambda volume: volume.with_values(np.roll(volume.values, 1, 0)), "markers"),
        (lambda volume: Volume(volume.values, volume.world_from_index @ np.diag([1.06, 1, 1, 1])), "markers"),
        (lambda volume: Volume(volume.values[:-4], volume.world_from_index), "markers|missing"),
        (lambda volume: Volume(volume.values, np.diag([-1.0, -1, 1, 1]) @ volume.world_from_index), "markers"),
        (lambda volume: volume.with_values(np.full_like(volume.values, 40)), "markers"),
    ],
)
def test_the_judge_sees_what_is_wrong(change, fault):
    body = make_body(np.random.default_rng(5), texture=False)
    built = Built(None, body.volume, body.markers_mm)
    for exact in (False, True):
        found = find_fault(change(body.volume), built, exact=exact)
        assert (found == "") == (fault == "")
        assert re.search(fault, found)


def test_the_page_shows_these_kinds():
    page = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text()
    assert get_part(page, KINDS_MARK) == make_kinds_table(KINDS)
    peers = get_part(page, PEERS_MARK)
    for kind in [*KINDS, *GOOD]:
        assert not is_for_peers(kind) or f"| {kind.name} |" in peers


def test_bombs_stay_within_memory(tmp_path):
    for kind in (kind for kind in KINDS if kind.row == "46"):
        kind.make(tmp_path / kind.name, 0)
    done = subprocess.run([sys.executable, "-c", BOMBS, str(tmp_path)], capture_output=True, text=True, check=True)
    used_mb, child_mb = map(int, done.stdout.split())
    assert used_mb < 1000
    assert child_mb < 600  # of the 512 MiB allowed


BOMBS = """
import resource, sys
from pathlib import Path
from drrx.errors import CaseRefused
from drrx.io.ct import read_ct
from drrx.io.dicom_child import get_child
from drrx.io.settings import ReadCtSettings
settings = ReadCtSettings(min_num_slices=5, min_length_mm=0, decode_memory_mb=512)
for folder in sorted(Path(sys.argv[1]).iterdir()):
    path = folder / "series" if not list(folder.glob("*.*")) else next(iter(sorted(folder.glob("*.*"))))
    try:
        read_ct(path, settings)
    except CaseRefused:
        pass
get_child(settings.decode_memory_mb, settings.decode_seconds).close()  # only then its memory is counted
print(*(resource.getrusage(who).ru_maxrss >> 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""
