"""The battery: every kind of odd CT has the outcome that it must have, and none gets through wrong."""

import pytest

from tests.battery.judge import find_fault
from tests.battery.kind import NUM_VARIANTS, Kind
from tests.battery.kinds import KINDS
from tests.battery.run import read

VARIANTS = [
    pytest.param(kind, variant, id=f"{kind.name}-{variant}") for kind in KINDS for variant in range(NUM_VARIANTS)
]


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


@pytest.mark.parametrize(("kind", "variant"), VARIANTS)
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
