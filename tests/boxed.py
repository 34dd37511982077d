"""The small run in a box: another user, place, time zone and locale, no network, and every write watched."""

import json
import os
import subprocess
import sys
from pathlib import Path

from drrx.io.files import sha256_file
from tests.stand_in import ROOT

#: Python runs this at its start, in every process of the box. Audit hooks see what any library asks the interpreter.
WATCH = """
import os, random, sys
LOG = os.open(os.environ["BOX_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
DRAW = random.Random(int(os.environ["BOX_ORDER"]))

def tell(kind, path):
    if isinstance(path, (str, bytes, os.PathLike)):
        line = kind + "\\t" + repr(os.path.abspath(os.fsdecode(path)))[1:-1] + "\\n"
        os.write(LOG, line.encode("ascii", "replace"))

def watch(event, args):
    if event == "socket.bind" and args[1][0] in ("::1", "127.0.0.1"):
        return  # a library tries whether there is IPv6
    if event in ("socket.connect", "socket.sendto", "socket.bind") and not isinstance(args[1], (str, bytes)):
        os.write(LOG, b"network\\t" + event.encode() + b"\\n")
        raise OSError(101, "no network here")
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        os.write(LOG, b"network\\t" + event.encode() + b"\\n")
        raise OSError(101, "no network here")
    if event == "open":
        path, mode, flags = args
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            tell("open", path)
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.utime"):
        tell(event, args[0])
    elif event in ("os.rename", "os.link", "os.symlink"):
        tell(event, args[1])

sys.addaudithook(watch)
listdir, scandir = os.listdir, os.scandir

def shuffled(names):
    names = list(names)
    DRAW.shuffle(names)
    return names

class Scan:
    def __init__(self, found): self.found = iter(found)
    def __enter__(self): return self
    def __exit__(self, *others): pass
    def close(self): pass
    def __next__(self): return next(self.found)
    def __iter__(self): return self

def scan(*args):
    with scandir(*args) as found:
        return Scan(shuffled(found))

os.listdir = lambda *args: shuffled(listdir(*args))
os.scandir = scan
"""
RUN = "import os, sys; from pathlib import Path; os.umask(0o077); from tests.small_run import run_stages; "
RUN += "run_stages(Path(sys.argv[1]))"
#: What may differ: how long it took.
TIMES = ("logs", "benchmarks")


class Box:
    """A folder with a home, a place for temporary files and one to work in, and nothing else to write to."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("home", "tmp", "work", "watch"):
            (folder / name).mkdir(parents=True)
        (folder / "watch" / "sitecustomize.py").write_text(WATCH)
        self.log = folder / "watch" / "log.txt"
        self.log.touch()

    def run(self, *command, check=True, **environment):
        """Run Python with ``command`` in the box; nothing of this process's environment but PATH goes in."""
        base = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": f"{self.folder / 'watch'}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1",
            "BOX_LOG": str(self.log), "BOX_ORDER": "1", "USER": "somebody", "LOGNAME": "somebody",
        }  # fmt: skip
        said = subprocess.run(
            [sys.executable, *map(str, command)], cwd=self.folder / "work", env=base | environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or said.returncode == 0, said.stderr[-3000:]
        return said

    @property
    def network(self):
        """What was asked of the network."""
        return [line for line in self.log.read_text().splitlines() if line.startswith("network")]

    def written(self):
        """Every path that any process of the box wrote, made, renamed or removed."""
        lines = (line.split("\t", 1) for line in self.log.read_text().splitlines())
        return {path for kind, path in lines if kind != "network"}


def snapshot(folder, skip=()):
    """Hash, size and time of change of every file below ``folder``; folders and links too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] in skip or "__pycache__" in name:
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = f"{sha256_file(path)} {path.stat().st_mtime_ns}" if path.is_file() else "folder"
    return found


def hash_tree(results, skip=TIMES):
    """SHA-256 of every file of a run but those that tell how long it took."""
    paths = (path for path in results.rglob("*") if path.is_file())
    names = {path.relative_to(results).as_posix(): path for path in paths}
    return {name: sha256_file(path) for name, path in names.items() if name.split("/")[0] not in skip}


def tell_difference(first, second):
    """Names of files that differ or are missing."""
    return json.dumps(sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)))
