"""Write the page and its pictures."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from drrx.dataset.entries import CaseOutcome, ImageEntry
from drrx.dataset.viewer.data import Comparison, make_data
from drrx.dataset.viewer.page import make_page
from drrx.dataset.viewer.preview import write_difference, write_thumbnail
from drrx.io.files import write_text
from drrx.io.image import read_image
from drrx.records.variant import REMOVED, TWIN

PAGE = "index.html"


def write_viewer(
    folder: Path,
    outcomes: Sequence[CaseOutcome],
    entries: Sequence[ImageEntry],
    files: Iterable[str],
    thumbnail_px: int,
) -> list[str]:
    """Write ``index.html`` and ``previews``.

    Parameters
    ----------
    folder
        The data set; its images need not be there yet, the pictures are made from the case's own files.
    outcomes, entries
        What became of every case, and all images.
    files
        Names of the other files of the data set, relative to it.
    thumbnail_px
        Long side of the thumbnails.

    Returns
    -------
    Names of what was written, relative to ``folder``.
    """
    names: list[str] = []
    compared: dict[str, Comparison] = {}
    for _, group in groupby(sorted(entries, key=lambda entry: entry.pair_id), key=lambda entry: entry.pair_id):
        pair = list(group)
        others = {entry.variant: (entry, read_image(entry.cxr)) for entry in pair if entry.variant in (TWIN, REMOVED)}
        for entry in pair:
            pixels = others[entry.variant][1] if entry.variant in others else read_image(entry.cxr)
            names.append(write_thumbnail(folder, entry, pixels, thumbnail_px))
            # A positive shows what was inserted; the twin, against `removed`, the nodules that the CT had.
            other, other_pixels = others.get(REMOVED if entry.variant == TWIN else TWIN, (None, None))
            if other is not None and other_pixels is not None:
                name, scale = write_difference(folder, entry, pixels - other_pixels)
                names.append(name)
                compared[entry.image_id] = (other, scale)
    write_text(folder / PAGE, make_page(outcomes, make_data(entries, compared), [*files, *names, PAGE]))
    return [*names, PAGE]
