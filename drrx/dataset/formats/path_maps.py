"""How far each ray runs inside each nodule, mm: soft labels, or a body to recompute boxes with limits of one's own.

32-bit TIFF holds millimetres as they are, and Pillow, ITK and ImageJ open it; a 16-bit PNG would need a scale that
readers forget.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drrx.annotate.shadow import Shadow, shadows_from_arrays
from drrx.dataset.entries import ImageEntry
from drrx.errors import DrrxError
from drrx.io.arrays import read_arrays
from drrx.io.files import write_whole


def write_path_maps(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``path_maps/<image_id>_<nodule_id>.tif`` below ``folder`` for inserted nodules and return their names.

    float32 ``[row, column]`` of the whole image, mm along the ray; 0 where it misses the nodule.
    """
    names = []
    for entry in entries:
        for nodule_id, shadow in _read_shadows(entry):
            names.append(f"path_maps/{entry.image_id}_{nodule_id}.tif")
            _write_map(folder / names[-1], shadow.place(shadow.path_mm, (entry.height, entry.width)))
    return names


def _read_shadows(entry: ImageEntry) -> list[tuple[str, Shadow]]:
    inserted = [found for found in entry.annotation.nodules if found.nodule.origin != "real"]
    shadows = shadows_from_arrays(read_arrays(entry.paths)) if inserted else ()
    peaks = [found.peak_path_mm for found in inserted]
    if [float(shadow.path_mm.max()) for shadow in shadows] != peaks:
        raise DrrxError(
            where=f"{entry.image_id}, path maps", found=f"{len(shadows)} that are not those of the annotation",
            needed=f"{len(inserted)}, in the order of the nodules", hint="Run again: annotate_cxr makes it anew.",
        )  # fmt: skip
    return [(found.nodule.nodule_id, shadow) for found, shadow in zip(inserted, shadows, strict=True)]


def _write_map(path: Path, path_mm: NDArray[np.float32]) -> None:
    with write_whole(path) as temporary, temporary.open("wb") as stream:
        Image.fromarray(path_mm).save(stream, format="TIFF", compression="tiff_deflate")
