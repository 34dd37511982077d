"""Other readers, each input in a child process with limits. Runs by itself: ``PYTHON readers.py NAME``.

It needs NumPy and the reader, and nothing of drrx, so that readers can live in an environment of their own. A request
is a line of JSON on standard input (``path``, ``out``: a folder, ``settings`` and ``series_uid`` for drrx); the reply
is a line of JSON: what happened, and the ``.npz`` files with values ``[slice, row, column]`` and their LPS affine.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MEMORY_BYTES = 4 << 30
SECONDS = 60
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Volumes = Iterator[tuple[Any, Any]]


def _get_folder(request: dict[str, Any]) -> Path:
    """Return the folder of a DICOM file; other readers take no single file for its series."""
    path = Path(request["path"])
    return path.parent if path.suffix == ".dcm" else path


def read_simpleitk(request: dict[str, Any]) -> Volumes:
    """Yield every series of a folder by ImageSeriesReader, or the image in a file."""
    import SimpleITK as sitk  # noqa: N813

    path = str(_get_folder(request))
    if not Path(path).is_dir():
        yield from _split_simpleitk(sitk, sitk.ReadImage(path))
        return
    reader = sitk.ImageSeriesReader()
    series = sorted({uid for folder, _, _ in os.walk(path) for uid in reader.GetGDCMSeriesIDs(folder)})
    if not series:
        raise RuntimeError("no series found")
    for uid in series:
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(path, uid, False, True))
        with contextlib.suppress(RuntimeError) if len(series) > 1 else contextlib.nullcontext():
            yield from _split_simpleitk(sitk, reader.Execute())


def _split_simpleitk(sitk: Any, image: Any) -> Volumes:
    if image.GetNumberOfComponentsPerPixel() > 1 or image.GetDimension() < 3:
        yield sitk.GetArrayFromImage(image), np.full((4, 4), np.nan)
        return
    values, affine = sitk.GetArrayFromImage(image), np.eye(4)
    side = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(side, side)[:3, :3]
    affine[:3, :3] = (direction * image.GetSpacing()[:3])[:, ::-1]
    affine[:3, 3] = image.GetOrigin()[:3]
    for volume in values.reshape(-1, *values.shape[-3:]):
        yield volume, affine


def read_dicom2nifti(request: dict[str, Any]) -> Volumes:
    """Convert a folder as one series."""
    import dicom2nifti

    out = Path(request["out"], "ct.nii.gz")
    dicom2nifti.dicom_series_to_nifti(str(_get_folder(request)), str(out), reorient_nifti=True)
    yield from _read_nifti(out)


def find_dcm2niix() -> str | None:
    """Return the program: beside this Python, or on the path."""
    return shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")


def read_dcm2niix(request: dict[str, Any]) -> Volumes:
    """Convert a folder; every file that comes out counts."""
    out = Path(request["out"])
    binary = find_dcm2niix() or "dcm2niix"
    folder = _get_folder(request)
    done = subprocess.run([binary, "-z", "n", "-b", "n", "-d", "9", "-o", str(out), str(folder)], check=False)
    files = sorted(out.glob("*.nii"))
    if done.returncode < 0:
        raise OSError(f"ended by signal {-done.returncode}")
    if not files:
        raise SystemExit(done.returncode)
    if done.returncode:
        print(f"Warning: exit code {done.returncode}", file=sys.stderr)
    for file in files:
        yield from _read_nifti(file)


def _read_nifti(path: Path) -> Volumes:
    import nibabel as nib

    image = nib.load(path)
    values = np.asarray(image.dataobj)
    affine = LPS_FROM_RAS @ image.affine @ np.eye(4)[[2, 1, 0, 3]]
    for index in range(int(np.prod(values.shape[3:]))):
        yield values.reshape(*values.shape[:3], -1)[..., index].T, affine


def read_drrx(request: dict[str, Any]) -> Volumes:
    """Read by ``drrx.io.ct.read_ct`` with the settings of the request."""
    from drrx.io.ct import read_ct
    from drrx.io.settings import ReadCtSettings

    volume, record = read_ct(request["path"], ReadCtSettings(**request["settings"]), series_uid=request["series_uid"])
    for code, text in record.corrections:
        print(f"Warning: {code} {text}", file=sys.stderr)
    yield volume.values, volume.world_from_index


READERS: dict[str, Callable[[dict[str, Any]], Volumes]] = {
    "drrx": read_drrx, "SimpleITK": read_simpleitk, "dicom2nifti": read_dicom2nifti, "dcm2niix": read_dcm2niix,
}  # fmt: skip
# What a reader raises on purpose, with a reason that a user can read; all else is a raw error of its inside.
TYPED = {"drrx": ("CaseRefused",), "SimpleITK": ("RuntimeError",), "dcm2niix": ("SystemExit",),
         "dicom2nifti": ("ConversionError", "ConversionValidationError")}  # fmt: skip


def _work(name: str, request: dict[str, Any]) -> None:
    """In the child: read, save, tell."""
    out = Path(request["out"])
    with (out / "said.txt").open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.alarm(SECONDS)
    reply: dict[str, Any] = {"kind": "read"}
    try:
        for index, (values, affine) in enumerate(READERS[name](request)):
            np.savez(out / f"{index}.npz", values=values, affine=affine)
    except BaseException as error:  # whatever it is: it is what the reader answers
        traceback.print_exc()
        reply = {"kind": "error", "type": type(error).__name__, "typed": type(error).__name__ in TYPED[name]}
        if name == "dcm2niix" and isinstance(error, SystemExit):
            reply["typed"] = error.code != 0  # nothing written, and it says that all is well
    (out / "reply.json").write_text(json.dumps(reply))


def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Run a reader in a child process and return what happened."""
    out = Path(request["out"])
    pid = os.fork()
    if pid == 0:
        try:
            _work(name, request)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    file = out / "reply.json"
    reply: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"kind": "error", "type": "crash"}
    said = (out / "said.txt").read_text(errors="replace").lower() if (out / "said.txt").exists() else ""
    reply["warned"] = "warn" in said or "error" in said
    reply["files"] = sorted(str(path) for path in out.glob("*.npz"))
    return reply


def main() -> None:
    """Answer requests until standard input ends."""
    name = sys.argv[1]
    with contextlib.suppress(ImportError):
        __import__({"drrx": "drrx.io.ct", "dcm2niix": "nibabel"}.get(name, name))
    for line in sys.stdin:
        print(json.dumps(answer(name, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
