"""The nodules that a CT is known to have, as a label map on the grid of the CT."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drrx.errors import CaseRefused
from drrx.io.canonical import orient
from drrx.io.ct import read_volume_file
from drrx.io.marks import paint_balls, read_marks
from drrx.io.settings import ReadCtSettings
from drrx.io.stream import ANY_COMPRESSION
from drrx.volume import Volume

TABLES = (".csv", ".tsv")
MIN_INSIDE_SHARE = 0.5
MAX_NUM_NODULES = 255  # labels are kept as uint8


def read_annotations(
    path: Path | str, like: Volume, settings: ReadCtSettings, series_uid: str | None = None
) -> NDArray[np.uint8]:
    """Read known nodules: a label mask, or a table of centres and diameters.

    Parameters
    ----------
    path
        A mask (NIfTI, MHA/MHD, NRRD, any orientation) with one whole number per nodule and 0 elsewhere; or a ``.csv``
        or ``.tsv`` in the form of LUNA16: ``seriesuid, coordX, coordY, coordZ, diameter_mm``, LPS mm.
    like
        The canonical CT.
    settings
        Limits of reading.
    series_uid
        SeriesInstanceUID of the CT or what stands for it (`drrx.io.uid.hash_uid`): rows of other series are skipped.
        ``None`` when it is not known.

    Returns
    -------
    NDArray
        uint8 ``[slice, row, column]`` on the CT's grid, nearest neighbour: 0, and 1..n in the order of the labels or
        rows. All zeros where a table has no row for this series.

    Raises
    ------
    CaseRefused
        ``BAD_ANNOTATIONS``: not readable, no label, broken numbers, a diameter of 0 or less.
        ``ANNOTATIONS_MISMATCH``: they do not lie on this CT.
    """
    path = Path(path)
    if path.suffix.lower() in TABLES:
        return paint_balls(read_marks(path, like, series_uid), like)
    try:
        # A label map is nearly empty and packs further than any CT.
        mask = read_volume_file(path, replace(settings, max_compression=ANY_COMPRESSION)).volume
    except CaseRefused as error:
        raise CaseRefused(
            "BAD_ANNOTATIONS", where=f"annotations {path.name}", found=f"{error.found} ({error.code})",
            needed=error.needed, hint="Give a label mask (.nii.gz, .mha, .nrrd) or a .csv with centres and diameters.",
        ) from error  # fmt: skip
    return _move_labels(_number_labels(mask, path.name), like, path.name)


def _number_labels(mask: Volume, where: str) -> Volume:
    """Return the mask with its labels numbered from 1."""
    found = np.unique(mask.values)
    found = found[found != 0]
    odd = [value for value in found if not np.isfinite(value) or value < 0 or value != round(float(value))]
    if odd or not 0 < len(found) <= MAX_NUM_NODULES:
        what = f"the value {odd[0]:g}" if odd else f"{len(found)} labels"
        raise CaseRefused(
            "BAD_ANNOTATIONS", where=f"annotations {where}", found=what,
            needed=f"1 to {MAX_NUM_NODULES} nodules, each with a whole number of its own, and 0 elsewhere",
            hint="Leave the cell of a CT without nodules empty and put has_nodules = no.",
        )  # fmt: skip
    order = np.searchsorted(found, np.maximum(mask.values, found[0])) + 1
    return mask.with_values(np.where(mask.values > 0, order, 0).astype(np.uint8))


def _move_labels(mask: Volume, like: Volume, where: str) -> NDArray[np.uint8]:
    """Return the labels on the CT's grid; each must arrive with the volume it had."""
    _check_place(orient(mask), like, where)
    index_from_index = np.linalg.inv(mask.world_from_index) @ like.world_from_index
    moved = ndimage.affine_transform(
        mask.values, index_from_index[:3, :3], index_from_index[:3, 3], like.shape, np.uint8, order=0,
        mode="grid-constant",
    )  # fmt: skip
    num_labels = int(mask.values.max())
    counts, arrived = (np.bincount(values.ravel(), minlength=num_labels + 1)[1:] for values in (mask.values, moved))
    shares = arrived * like.voxel_volume_mm3 / (counts * mask.voxel_volume_mm3)
    if (shares < MIN_INSIDE_SHARE).any():
        label = int(shares.argmin()) + 1
        raise _refuse_place(where, f"nodule {label} with {100 * shares[label - 1]:.0f} % of its volume in the CT")
    return np.asarray(moved, dtype=np.uint8)


def _check_place(mask: Volume, like: Volume, where: str) -> None:
    """Refuse a mask of the CT's size that lies elsewhere: its header was lost on the way."""
    corners = np.array([[0, 0, 0], np.array(like.shape) - 1])
    off_mm = float(np.abs(mask.to_world(corners) - like.to_world(corners)).max())
    if mask.shape == like.shape and off_mm > min(like.spacing_mm) / 2:
        raise _refuse_place(where, f"a mask of the CT's size that lies {off_mm:.1f} mm beside it")


def _refuse_place(where: str, found: str) -> CaseRefused:
    return CaseRefused(
        "ANNOTATIONS_MISMATCH", where=f"annotations {where}", found=found, needed="nodules that lie on their CT",
        hint="Check that annotations and CT belong together; a mask keeps the header (spacing, origin) of its CT.",
    )  # fmt: skip
