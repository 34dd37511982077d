"""Tables as those of ChestX-ray14 (NIH), with their odd headers: for code that reads that data set.

Its images are 1024 x 1024 and so are the coordinates; its header writes one column ``Bbox [x,y,w,h]`` with commas in
the name, which readers see as four, and ends in three empty columns.
"""

from collections.abc import Sequence
from pathlib import Path

from drrx.dataset.entries import ImageEntry
from drrx.dataset.tables import list_nodules
from drrx.io.files import write_text
from drrx.records.annotation import Annotation

BOXES, IMAGES = "nih/BBox_List_2017.csv", "nih/Data_Entry_2017.csv"
LISTS = ("nih/train_val_list.txt", "nih/test_list.txt")
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
IMAGE_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
SIDE_PX = 1024
MASS_MM = 30.0  # larger than this is a mass (Fleischner Society's glossary)


def write_nih(folder: Path, entries: Sequence[ImageEntry]) -> list[str]:
    """Write boxes, images and the two lists of the split below ``nih`` and return their names.

    Boxes are scaled to 1024 x 1024, each axis for itself, as that data set's images were; a split ``test`` makes the
    test list, all others the other. Age and gender are not known and left empty.
    """
    write_text(folder / BOXES, "\n".join([BOX_HEADER, *(_box_line(*item) for item in list_nodules(entries))]) + "\n")
    write_text(folder / IMAGES, "\n".join([IMAGE_HEADER, *map(_image_line, entries)]) + "\n")
    for name, wanted in zip(LISTS, (False, True), strict=True):
        lines = [f"{Path(entry.file_name).name}\n" for entry in entries if (entry.split == "test") == wanted]
        write_text(folder / name, "".join(lines))
    return [BOXES, IMAGES, *LISTS]


def _find_label(nodule: Annotation) -> str:
    return "Mass" if nodule.nodule.diameter_mm > MASS_MM else "Nodule"


def _box_line(entry: ImageEntry, nodule: Annotation) -> str:
    x, y, width, height = nodule.bbox_visual
    across, down = SIDE_PX / entry.width, SIDE_PX / entry.height
    box = ",".join(f"{value:.10g}" for value in (x * across, y * down, width * across, height * down))
    return f"{Path(entry.file_name).name},{_find_label(nodule)},{box},,,"


def _image_line(entry: ImageEntry) -> str:
    labels = "|".join(sorted({_find_label(nodule) for nodule in entry.annotation.nodules})) or "No Finding"
    row_mm, column_mm = entry.facts.pixel_spacing_mm
    patient = entry.source.patient.replace(",", " ")
    size = f"{entry.width},{entry.height},{column_mm:.6g},{row_mm:.6g}"
    return f"{Path(entry.file_name).name},{labels},0,{patient},,,{entry.facts.view_position},{size},"
