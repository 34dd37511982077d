"""The visual mask of every nodule as a picture; COCO has the same as run lengths."""

from collections.abc import Sequence
from pathlib import Path

from drrx.annotate.mask import decode_mask
from drrx.dataset.entries import ImageEntry
from drrx.dataset.tables import list_nodules
from drrx.io.image import write_image


def write_masks(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write ``masks/<image_id>_<nodule_id>.png``, 0 or 255, below ``folder`` and return their names."""
    names = []
    for entry, nodule in list_nodules(entries):
        names.append(f"masks/{entry.image_id}_{nodule.nodule.nodule_id}.png")
        write_image(folder / names[-1], decode_mask(nodule.mask), bits=8)
    return names
