"""The same battery through other readers: right, refused, wrong with a warning, or silently wrong."""

import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from drrx.volume import Volume
from tests.battery import readers
from tests.battery.judge import find_fault
from tests.battery.kind import NUM_VARIANTS, Built, Kind

Verdict = Literal["right", "refused", "raw error", "warned wrong", "silent wrong"]
VERDICTS: tuple[Verdict, ...] = ("right", "refused", "raw error", "warned wrong", "silent wrong")
NAMES = ("drrx", "SimpleITK", "dicom2nifti", "dcm2niix")
ONLY_DICOM = ("dicom2nifti", "dcm2niix")

Results = dict[str, dict[str, list[Verdict]]]


@contextmanager
def start(name: str, python: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start the process that runs one reader; it forks for every input."""
    command = [str(python), str(Path(readers.__file__).resolve()), name]
    if name == "drrx":
        command[1:2] = ["-m", "tests.battery.readers"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        _get(process.stdin).close()
        process.wait()


def _get(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise OSError("a pipe is missing")
    return stream


def ask(process: "subprocess.Popen[str]", kind: Kind, built: Built, out: Path) -> dict[str, Any]:
    """Let a reader read one input; return its reply (see :mod:`tests.battery.readers`)."""
    out.mkdir()
    request = {"path": str(built.path), "out": str(out), "settings": asdict(kind.settings),
               "series_uid": built.series_uid}  # fmt: skip
    print(json.dumps(request), file=process.stdin, flush=True)
    return json.loads(_get(process.stdout).readline())


def read_volumes(reply: dict[str, Any]) -> list[Volume]:
    """Return the volumes that a reader gave; what is no volume in space is left out."""
    volumes = []
    for file in reply["files"]:
        with np.load(file) as data:
            values, affine = data["values"], data["affine"]
        sound = values.ndim == 3 and values.dtype.kind in "iuf" and np.isfinite(affine).all()
        if sound and abs(np.linalg.det(affine)) > 1e-9:
            volumes.append(Volume(values, affine))
    return volumes


def judge(reply: dict[str, Any], built: Built) -> Verdict:
    """Say what an answer is worth; of several volumes the best one counts, as if the user took that."""
    if reply["kind"] == "error" and not reply["files"]:
        return "refused" if reply.get("typed") else "raw error"
    if any(not find_fault(volume, built, exact=False) for volume in read_volumes(reply)):
        return "right"
    return "warned wrong" if reply["warned"] else "silent wrong"


def run(kinds: Sequence[Kind], python: Path, drrx_python: Path, names: Sequence[str] = NAMES) -> Results:
    """Read every variant of every kind by every reader."""
    results: Results = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as temporary:
        processes = {
            name: stack.enter_context(start(name, drrx_python if name == "drrx" else python)) for name in names
        }
        for kind in kinds:
            for variant in range(NUM_VARIANTS):
                folder = Path(temporary, f"{kind.name}-{variant}")
                built = kind.make(folder / "in", variant)
                for name, process in processes.items():
                    if name in ONLY_DICOM and not is_dicom(built.path):
                        continue
                    verdict = judge(ask(process, kind, built, folder / name), built)
                    results.setdefault(kind.name, {}).setdefault(name, []).append(verdict)
                shutil.rmtree(folder)
    return results


def is_for_peers(kind: Kind) -> bool:
    """Return whether other readers can be asked: they do not look for lungs, and cannot be told of an offset."""
    return kind.cuts is None and not kind.settings.add_hu


def is_dicom(path: Path) -> bool:
    """Return whether a reader of DICOM folders can be asked."""
    return path.is_dir() or path.suffix == ".dcm"


def find_versions(python: Path) -> str:
    """Return the versions of the readers in an environment."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    names = [name for name in NAMES if name != "drrx"]
    done = subprocess.run([str(python), "-c", code, *names], check=True, capture_output=True, text=True)
    return ", ".join(f"{name} {version}" for name, version in zip(names, done.stdout.split(), strict=True))


def count(results: Results, name: str) -> Counter[str]:
    """Return how often a reader had each verdict."""
    return Counter(verdict for by_name in results.values() for verdict in by_name.get(name, []))
