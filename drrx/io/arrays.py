"""Named arrays in one ``.npz`` file, written whole, read without pickle."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.errors import DrrxError
from drrx.io.files import write_whole
from drrx.io.finite import check_finite


def write_arrays(path: Path, arrays: Mapping[str, NDArray], *, compress: bool = False) -> None:
    """Write ``arrays`` whole; the same arrays give the same bytes.

    Raises
    ------
    CaseFailed
        ``NON_FINITE_OUTPUT``: a value is NaN or infinite.
    """
    for name, values in arrays.items():
        check_finite(values, f"{path.name}, {name}")
    with write_whole(path) as temporary, temporary.open("wb") as stream:
        (np.savez_compressed if compress else np.savez)(stream, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Read all arrays of an ``.npz`` file.

    Raises
    ------
    DrrxError
        The file is missing, damaged (every member's CRC is checked) or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DrrxError(
            where=str(path), found=str(error) or type(error).__name__, needed="a whole .npz file with plain arrays",
            hint="Delete it and run again: the stage that wrote it makes it anew.",
        ) from error  # fmt: skip
