"""Files are whole or not there; what a killed process leaves can be told from what a living one writes."""

import errno
import os
import subprocess
import sys
import time

import pytest

from drrx.io import temporary
from drrx.io.files import drop_unfinished, move_whole, remove, write_json, write_text, write_whole
from drrx.io.processes import Process, is_running, this_process
from drrx.io.temporary import is_temporary, name_temporary, sweep

DEAD = """
import os, sys
from pathlib import Path
from drrx.io.files import write_whole
with write_whole(Path(sys.argv[1])) as path:
    path.write_text("half")
    os._exit(9)
"""


def leave_half(path):
    """Let a process die in the middle of writing ``path``."""
    assert subprocess.run([sys.executable, "-c", DEAD, str(path)], check=False).returncode == 9


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a" / "x.nii.gz"
    with write_whole(path) as unfinished:
        unfinished.write_text("new")
        assert unfinished.name.endswith("-x.nii.gz")
        assert is_temporary(unfinished.name)
        assert not path.exists()
    assert names(tmp_path / "a") == ["x.nii.gz"]
    with pytest.raises(ZeroDivisionError), write_whole(path) as unfinished:
        unfinished.write_text(str(1 / 0))
    assert path.read_text() == "new"
    assert names(tmp_path / "a") == ["x.nii.gz"]


def test_a_file_has_the_rights_that_the_user_wants_for_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_the_folder_is_synced_after_the_rename(tmp_path, monkeypatch):
    calls = []
    real_replace, real_sync = os.replace, os.fsync
    monkeypatch.setattr("os.replace", lambda *paths: calls.append("rename") or real_replace(*paths))

    def sync(handle):
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        real_sync(handle)

    monkeypatch.setattr("os.fsync", sync)
    write_text(tmp_path / "x", "text")
    assert calls == ["file", "rename", "folder"]


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    write_text(tmp_path / "x", "old")

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync" if step == "sync" else "pathlib.Path.write_text", fail)
    with pytest.raises(OSError, match="full"):
        write_text(tmp_path / "x", "new")
    monkeypatch.undo()
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_names_as_long_as_a_file_system_takes_can_be_written(tmp_path):
    for name in ("n" * 255, "ü" * 127):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


def test_what_a_dead_process_left_is_swept_and_nothing_else(tmp_path):
    leave_half(tmp_path / "deep" / "x.png")
    write_text(tmp_path / "deep" / "y.png", "whole")
    (tmp_path / "deep" / ".drrx-tmp-of-a-user").touch()
    (left,) = [path for path in (tmp_path / "deep").iterdir() if is_temporary(path.name)]
    with write_whole(tmp_path / "z.png") as living:
        assert sweep(tmp_path, deep=False) == []
        assert sweep(tmp_path) == [left]
        assert living.exists()
    assert names(tmp_path / "deep") == [".drrx-tmp-of-a-user", "y.png"]


def test_what_another_machine_left_is_swept_a_day_later(tmp_path):
    me = this_process()
    other = Process("elsewhere", me.pid, me.start, "another boot", me.namespace)
    path = tmp_path / name_temporary("x").replace(me.space, other.space)
    path.touch()
    assert sweep(tmp_path) == []
    old = time.time() - temporary.OLD_S - 60
    os.utime(path, (old, old))
    assert sweep(tmp_path) == [path]


def test_folders_of_the_dead_are_swept_with_all_in_them(tmp_path):
    process = subprocess.run([sys.executable, "-c", "import drrx.io.temporary as t; print(t.name_temporary('c'))"],
                             capture_output=True, text=True, check=True)  # fmt: skip
    (tmp_path / process.stdout.strip() / "cases").mkdir(parents=True)
    assert len(sweep(tmp_path)) == 1
    assert names(tmp_path) == []


def test_a_number_that_another_process_got_since_is_not_the_process():
    me = this_process()
    assert is_running(me.pid, me.start)
    assert not is_running(me.pid, me.start + 1)


def test_a_process_that_ends_midway_can_take_its_files_along(tmp_path):
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "x"):
        drop_unfinished()
    assert names(tmp_path) == []


def test_moving_and_removing_are_whole_too(tmp_path):
    write_json(tmp_path / "a", {})
    move_whole(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["b"]
    remove(tmp_path / "b")
    remove(tmp_path / "b")
    assert names(tmp_path) == []
