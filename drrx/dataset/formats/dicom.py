"""The images as DICOM: digital X-ray images for presentation, and on request the nodules as segmentations."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drrx.dataset.entries import ImageEntry
from drrx.dataset.formats.dicom_dx import make_dx
from drrx.dataset.formats.dicom_seg import load_highdicom, make_seg
from drrx.dataset.formats.dicom_study import Study
from drrx.io.files import write_whole
from drrx.io.image import read_image
from drrx.records.variant import TWIN

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def write_dicom(folder: Path, entries: Sequence[ImageEntry], *, segments: bool = False) -> list[str]:
    """Write every restored image as ``dicom/<image_id>.dcm``, 16 bits, the same pixels as the PNG.

    A case is a study of its patient; the images of one view and role are a series; all images of a pair share the
    frame of reference. UIDs are hashes of what the files hold, so the same data set gives the same files. Everything
    in them is written here from the data set's own records: no attribute of the source CT is carried over. No date is
    known; ``19000101`` stands where DICOM asks for one.

    Parameters
    ----------
    folder
        The data set.
    entries
        Its images; twins among them.
    segments
        Write ``dicom/<image_id>_seg.dcm`` too for images with nodules: one binary segment per nodule, its visual mask.

    Returns
    -------
    Names of the files, relative to the data set.

    Raises
    ------
    DrrxError
        ``segments`` without highdicom.
    """
    if segments:
        load_highdicom()  # says at once that it is missing
    names = []
    for study, entry in _find_studies(entries):
        image = make_dx(entry, _read_pixels(entry.cxr), study)
        names.append(f"dicom/{entry.image_id}.dcm")
        _save(folder / names[-1], image)
        if segments and entry.annotation.nodules:
            names.append(f"dicom/{entry.image_id}_seg.dcm")
            _save(folder / names[-1], make_seg(entry, image, study))
    return names


def _find_studies(entries: Sequence[ImageEntry]) -> Iterator[tuple[Study, ImageEntry]]:
    """Yield every image with its study: twins, which no setting of nodules changes, name study and frame.

    A patient bears the name of the first case, as what the cohort table calls one may be nobody else's business.
    """
    twins = {entry.pair_id: entry for entry in entries if entry.role == TWIN}
    keys = {pair_id: Study.make_key(pair_id, _read_pixels(twin.drr)) for pair_id, twin in twins.items()}
    patients: dict[str, str] = {}
    studies: dict[str, str] = {}
    for entry in entries:
        patient = patients.setdefault(entry.source.patient, entry.case)
        pair = keys[entry.pair_id]
        yield Study(patient, studies.setdefault(entry.case, pair), pair), entry


def _read_pixels(path: Path) -> NDArray[np.uint16]:
    """Read a 16-bit PNG as it is stored, uint16 ``[row, column]``, little-endian."""
    return np.rint(read_image(path) * 65535).astype("<u2")


def _save(path: Path, dataset: "Dataset") -> None:
    with write_whole(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
