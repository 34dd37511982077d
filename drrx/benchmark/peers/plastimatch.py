"""Plastimatch's ``drr`` program, found on the PATH; its own clock is read, without start-up and files."""

import re
import resource
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK

from drrx.benchmark.peers.peer import Peer, PeerAbsent, Projection, Shot
from drrx.benchmark.scene import Scene

MM_PER_CM = 10  # it integrates in cm


def prepare(scene: Scene, algorithm: str) -> Projection:
    """Write the CT to a file and make the command."""
    program = _find_program()
    folder = tempfile.TemporaryDirectory()
    ct, view, center = Path(folder.name) / "ct.mha", scene.view, scene.volume.center_world_mm
    image = SimpleITK.GetImageFromArray(scene.density())
    image.SetSpacing(scene.volume.spacing_mm[::-1])  # type: ignore[no-untyped-call]
    image.SetOrigin(scene.volume.world_from_index[:3, 3].tolist())  # type: ignore[no-untyped-call]
    SimpleITK.WriteImage(image, str(ct))
    rows, columns = view.shape
    row_mm, column_mm = view.pixel_spacing_mm
    command = [
        program, "drr", "-A", "cpu", "-i", algorithm, "-P", "none", "-t", "pfm", "--nrm", "0 1 0", "--vup", "0 0 1",
        "--sad", f"{view.source_world_mm[1] - center[1]:.6f}", "--sid", f"{view.source_to_detector_mm:.6f}",
        "-o", " ".join(f"{c:.6f}" for c in center), "-r", f"{rows} {columns}",
        "-z", f"{rows * row_mm:.6f} {columns * column_mm:.6f}", "-I", str(ct), "-O", f"{folder.name}/out",
    ]  # fmt: skip

    def project() -> Shot:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        total, files = (float(re.search(rf"{key} time: ([\d.e-]+)", done.stdout)[1]) for key in ("Total", "I/O"))  # type: ignore[index]
        peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return Shot(_read_pfm(Path(folder.name) / "out0000.pfm")[:, ::-1] * MM_PER_CM, total - files, peak_mib)

    return project


def _read_pfm(path: Path) -> np.ndarray:
    _, size, _, data = path.read_bytes().split(b"\n", 3)
    columns, rows = map(int, size.split())
    return np.frombuffer(data, "<f4", rows * columns).reshape(rows, columns)


def _find_program() -> str:
    program = shutil.which("plastimatch")
    if program is None:
        raise PeerAbsent("no program plastimatch on the PATH")
    return program


def find_version() -> str:
    """Return what the program says."""
    said = subprocess.run([_find_program(), "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[-1]


PEERS = (
    Peer("plastimatch exact", "length in every voxel", partial(prepare, algorithm="exact"), find_version),
    Peer("plastimatch uniform", "samples every 1 mm", partial(prepare, algorithm="uniform"), find_version),
)
