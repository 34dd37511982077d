"""What `drrx` says when a command fails: one line, a code, an exit status, and no word of a patient's files."""

import argparse
import errno
import signal

import pytest

from drrx.cli import main as cli
from drrx.errors import CaseRefused, DrrxError
from drrx.io.fence import OwnerLost


def raises(monkeypatch, error, argv=()):
    """Run a command that ends with ``error``; return the status."""

    def work(args):
        raise error

    class Parser:
        def parse_args(self, argv):
            return argparse.Namespace(command="try", run=work)

    monkeypatch.setattr(cli, "make_parser", Parser)
    return cli.main(list(argv))


SAYS = {"where": "a.nii", "found": "noise", "needed": "a CT", "hint": "Look."}


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DrrxError(**SAYS), 1, "error: a.nii: found noise; needed a CT. Look."),
        (CaseRefused("NOT_CT", **SAYS), 1, "error [NOT_CT]: a.nii: found noise; needed a CT. Look."),
        (OwnerLost(**SAYS), 1, "error [OUTPUT_TAKEN_OVER]: a.nii: found noise; needed a CT. Look."),
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError("DOE"), 1, "error [OUT_OF_MEMORY]: too little memory. "
         "Run again with fewer jobs at a time, or on a machine with more memory."),
    ],
)  # fmt: skip
def test_errors_are_one_line_with_a_code(monkeypatch, capsys, error, status, said):
    assert raises(monkeypatch, error) == status
    assert capsys.readouterr().err == f"drrx try: {said}\n"


@pytest.mark.parametrize("is_named", [True, False])
def test_trouble_with_a_file_names_it_only_if_the_user_did(monkeypatch, capsys, is_named):
    error = OSError(errno.ENOSPC, "DOE", "/data/DOE.nii")
    assert raises(monkeypatch, error, ["/data/DOE.nii"] if is_named else []) == 1
    said = capsys.readouterr().err
    name = ": /data/DOE.nii" if is_named else ""
    assert said.startswith(f"drrx try: error [DISK_FULL]: no space left on the disk{name}. Make room")
    assert "\n" not in said.strip()


def test_a_defect_has_its_own_status_and_tells_places_but_no_words(monkeypatch, capsys, caplog):
    assert raises(monkeypatch, ZeroDivisionError("DOE^JANE")) == 70
    said = capsys.readouterr().err
    assert said.startswith("drrx try: error [DEFECT]: ZeroDivisionError at drrx/cli/main.py:")
    assert said.endswith("Report it to the makers of drrx with the lines above.\n")
    assert "ZeroDivisionError raised\n  drrx/cli/main.py" in caplog.text
    assert "DOE" not in said + caplog.text
    assert "Traceback" not in said + caplog.text


def test_sigterm_is_as_it_was_after_a_command(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    raises(monkeypatch, DrrxError(**SAYS))
    assert signal.getsignal(signal.SIGTERM) == before
