"""One driver at a time owns a folder; the dead lose it at once, and what they left running writes nothing more."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from drrx.io import owner
from drrx.io.fence import ENVIRONMENT, PREFIX, OwnerLost, hold_owner
from drrx.io.files import move_whole, remove, write_text
from drrx.io.owner import OutputBusy, check_free, find_owner, take
from drrx.io.processes import this_process

OWN = """
import sys, time
from pathlib import Path
from drrx.io.owner import take
owner = take(Path(sys.argv[1]))
print(owner.path.name, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def free(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@pytest.fixture
def other(tmp_path):
    """Another process that owns the folder."""
    process = subprocess.Popen([sys.executable, "-c", OWN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == f"{PREFIX}1"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def locks(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def forge(folder, number=1, age_s=0.0, **change):
    """Put down a lock of another process."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{PREFIX}{number}"
    path.write_text(json.dumps(this_process().to_json() | {"token": "forged", "since": "then"} | change))
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def test_the_owner_is_named_to_the_second_and_what_to_do(tmp_path, other):
    with pytest.raises(OutputBusy) as told:
        take(tmp_path)
    text = str(told.value)
    assert f"found a run that is not over: process {other.pid} on {this_process().host} since 2" in text
    assert f"drrx run --break-lock, or delete {tmp_path / (PREFIX + '1')}." in text
    assert locks(tmp_path) == [f"{PREFIX}1"]
    with pytest.raises(OutputBusy):
        check_free(tmp_path)
    assert find_owner(tmp_path)["alive"] is True


def test_a_killed_owner_has_lost_the_folder_at_once(tmp_path, other):
    other.kill()  # and nobody waits for it: a zombie is dead
    deadline = time.monotonic() + 20
    while find_owner(tmp_path)["alive"] and time.monotonic() < deadline:
        time.sleep(0.01)
    check_free(tmp_path)
    assert take(tmp_path).path.name == f"{PREFIX}2"
    assert locks(tmp_path) == [f"{PREFIX}2"]


def test_it_is_given_back_without_a_trace(tmp_path):
    first = take(tmp_path / "new")
    first.export()
    first.give_back()
    assert locks(tmp_path / "new") == []
    assert ENVIRONMENT not in os.environ
    assert find_owner(tmp_path / "new") is None
    second = take(tmp_path / "new")
    first.give_back()
    assert locks(tmp_path / "new") == [second.path.name]


def test_a_driver_elsewhere_is_dead_after_ten_minutes_of_silence(tmp_path):
    for change in ({"host": "elsewhere", "boot": "other"}, {"namespace": "a container's"}, {"boot": ""}):
        forge(tmp_path, age_s=owner.SILENT_S - 20, **change)
        with pytest.raises(OutputBusy):
            take(tmp_path)
        forge(tmp_path, age_s=owner.SILENT_S + 20, **change)
        take(tmp_path).give_back()


def test_a_machine_that_was_started_anew_has_no_old_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "started_s", lambda: time.time() - 60)
    forge(tmp_path, age_s=50, boot="the one before")
    with pytest.raises(OutputBusy):
        take(tmp_path)  # a sign of life since: a second machine of that name
    forge(tmp_path, age_s=70, boot="the one before")
    take(tmp_path)


def test_half_a_lock_is_a_lock(tmp_path):
    forge(tmp_path).write_text("")
    with pytest.raises(OutputBusy, match="process \\? on \\?"):
        take(tmp_path)


def test_by_force_it_is_taken_from_the_living(tmp_path, other):
    assert take(tmp_path, by_force=True).path.name == f"{PREFIX}2"
    assert other.poll() is None


def test_a_file_system_without_hard_links_is_served_too(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr("os.link", link)
    first = take(tmp_path)
    with pytest.raises(OutputBusy):
        take(tmp_path)
    first.give_back()
    take(tmp_path)


RACE = """
import sys, time
from pathlib import Path
from drrx.io.owner import OutputBusy, take
folder, start = Path(sys.argv[1]), float(sys.argv[2])
while time.time() < start:
    pass
try:
    print(take(folder).path.name, flush=True)
    time.sleep(3)
except OutputBusy:
    print("busy", flush=True)
"""


@pytest.mark.parametrize("locks_work", [True, False])
def test_of_many_drivers_that_take_over_one_dead_lock_exactly_one_wins(tmp_path, locks_work):
    forge(tmp_path, number=4, pid=2**22 + 1)
    code = (
        RACE
        if locks_work
        else "import fcntl, errno\ndef no(*_): raise OSError(errno.ENOLCK, '')\nfcntl.flock = no" + RACE
    )
    start = str(time.time() + 1.5)
    command = [sys.executable, "-c", code, str(tmp_path), start]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(said) == [f"{PREFIX}5", *["busy"] * 5]


def test_threads_that_give_back_and_take_never_own_at_the_same_time(tmp_path):
    owning, most, turns = [], [], []

    def work():
        for _ in range(40):
            try:
                mine = take(tmp_path)
            except OutputBusy:
                continue
            owning.append(1)
            most.append(len(owning))
            time.sleep(0.001)
            owning.pop()
            turns.append(1)
            mine.give_back()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) > 10
    assert max(most) == 1


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_writes_as_long_as_its_driver_owns_the_folder(tmp_path):
    mine = take(tmp_path)
    mine.export()
    write_text(tmp_path / "x", "mine")
    os.environ[ENVIRONMENT] = f"{mine.token}:{mine.path}"
    taken = take(tmp_path, by_force=True)
    for attempt in (
        lambda: write_text(tmp_path / "x", "orphan's"),
        lambda: move_whole(tmp_path / "x", tmp_path / "y"),
        lambda: remove(tmp_path / "x"),
    ):
        with pytest.raises(OwnerLost, match="the run that started this job is over"):
            attempt()
    assert (tmp_path / "x").read_text() == "mine"
    taken.export()
    write_text(tmp_path / "x", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [taken.path.name, "x"]


def test_the_orphan_of_a_dead_driver_may_finish_until_there_is_another(tmp_path, other):
    lock = tmp_path / f"{PREFIX}1"
    os.environ[ENVIRONMENT] = f"{json.loads(lock.read_text())['token']}:{lock}"
    other.kill()
    other.wait()
    write_text(tmp_path / "x", "late")
    take(tmp_path)
    with pytest.raises(OwnerLost):
        write_text(tmp_path / "x", "too late")
    assert (tmp_path / "x").read_text() == "late"


def test_a_job_of_a_run_that_is_over_writes_nothing(tmp_path):
    mine = take(tmp_path)
    told = f"{mine.token}:{mine.path}"
    mine.give_back()
    take(tmp_path)  # has the same number
    os.environ[ENVIRONMENT] = told
    with pytest.raises(OwnerLost):
        write_text(tmp_path / "x", "")


HOLD = """
import sys, time
from drrx.io.fence import hold_owner
with hold_owner():
    print("holding", flush=True)
    time.sleep(1.0)
    print(time.time(), flush=True)
"""


def test_a_takeover_waits_for_a_job_that_is_just_giving_a_file_its_name(tmp_path):
    mine = take(tmp_path)
    environment = os.environ | {ENVIRONMENT: f"{mine.token}:{mine.path}"}
    job = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "holding\n"
    take(tmp_path, by_force=True)
    taken_s = time.time()
    assert float(job.communicate()[0]) <= taken_s


def test_a_job_asks_in_well_under_a_millisecond(tmp_path):
    take(tmp_path).export()
    best_s = 1.0
    for _ in range(200):
        start = time.perf_counter()
        with hold_owner():
            pass
        best_s = min(best_s, time.perf_counter() - start)
    assert best_s < 1e-3


# --- signs of life ---------------------------------------------------------------------------------------------------


def test_a_driver_gives_signs_of_life_and_ends_when_another_one_took_over(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(owner, "BEAT_S", 0.02)
    killed = threading.Event()
    monkeypatch.setattr(os, "kill", lambda pid, number: number == signal.SIGTERM and killed.set())
    mine = take(tmp_path)
    os.utime(mine.path, (0, 0))
    mine.start_beating()
    deadline = time.monotonic() + 20
    while mine.path.stat().st_mtime == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.time() - mine.path.stat().st_mtime < 30
    assert not killed.is_set()
    Path(mine.path).unlink()
    assert killed.wait(20)
    assert "another run has taken over the folder; this one ends" in capsys.readouterr().err


def test_a_driver_that_gave_back_is_not_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "BEAT_S", 0.02)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("killed"))
    mine = take(tmp_path)
    mine.start_beating()
    mine.give_back()
    time.sleep(0.1)
