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
from drrx.records.annotation import Annotation
from drrx.records.variant import REMOVED


def write_path_maps(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``path_maps/<image_id>_<nodule_id>.tif`` below ``folder`` and return their names.

    float32 ``[row, column]`` of the whole image, mm along the ray; 0 where it misses the nodule.

    Raises
    ------
    DrrxError
        The maps of a case are not those that its annotation was made from.
    """
    removed = {entry.pair_id: entry.paths for entry in entries if entry.role == REMOVED}
    names = []
    for entry in entries:
        inserted, real = (_read_shadows(path) for path in (entry.paths, removed.get(entry.pair_id)))
        for found in entry.annotation.nodules:
            names.append(f"path_maps/{entry.image_id}_{found.nodule.nodule_id}.tif")
            shadow = _find_shadow(found, real if found.nodule.origin == "real" else inserted, entry.image_id)
            _write_map(folder / names[-1], shadow.place(shadow.path_mm, (entry.height, entry.width)))
    return names


def _read_shadows(path: Path | None) -> Sequence[Shadow]:
    return () if path is None else shadows_from_arrays(read_arrays(path))


def _find_shadow(found: Annotation, shadows: Sequence[Shadow], image_id: str) -> Shadow:
    """Return the shadow of a nodule; ids end in the nodule's place in its variant, from 1."""
    number = int(found.nodule.nodule_id[1:])
    if number > len(shadows) or float(shadows[number - 1].path_mm.max()) != found.peak_path_mm:
        raise DrrxError(
            where=f"{image_id}, path map of {found.nodule.nodule_id}", found=f"another among {len(shadows)}",
            needed=f"one with a peak of {found.peak_path_mm:g} mm", hint="Run again: annotate_cxr makes it anew.",
        )  # fmt: skip
    return shadows[number - 1]


def _write_map(path: Path, path_mm: NDArray[np.float32]) -> None:
    with write_whole(path) as temporary, temporary.open("wb") as stream:
        Image.fromarray(path_mm).save(stream, format="TIFF", compression="tiff_deflate")
