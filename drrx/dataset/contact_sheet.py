"""One picture of a few images: DRR, CXR, boxes and twin in a row each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from drrx.dataset.entries import ImageEntry
from drrx.dataset.viewer.preview import make_thumbnail
from drrx.io.files import write_whole
from drrx.io.image import read_image
from drrx.records.annotation import Annotation
from drrx.records.variant import TWIN

NAME = "contact_sheet.png"
PANELS = ("DRR", "CXR", "annotation", "twin")
CLASSES = ("hidden", "subtle", "visible", "obvious")
VISIBLE, HIDDEN, BACK, TEXT = (90, 220, 110), (255, 170, 60), (24, 26, 30), (230, 230, 230)
GAP_PX, LINE_PX = 6, 22


def write_contact_sheet(folder: Path, entries: Sequence[ImageEntry], num_rows: int, size_px: int) -> list[str]:
    """Write ``contact_sheet.png``: the first images with inserted nodules, or the first of all; return its name."""
    twins = {entry.pair_id: entry for entry in entries if entry.role == TWIN}
    chosen = [entry for entry in entries if entry.role == "positive"] or list(entries)
    rows = [(entry, make_panels(entry, twins.get(entry.pair_id), size_px)) for entry in chosen[:num_rows]]
    with write_whole(folder / NAME) as temporary, temporary.open("wb") as stream:
        make_contact_sheet(rows, size_px).save(stream, format="PNG")
    return [NAME]


def make_panels(entry: ImageEntry, twin: ImageEntry | None, size_px: int) -> dict[str, Image.Image]:
    """Return the panels of one image by name, long side ``size_px``; without a twin that panel is left out."""
    cxr = make_thumbnail(read_image(entry.cxr), size_px)
    drr = make_thumbnail(read_image(entry.drr), size_px)
    panels = {"DRR": drr, "CXR": cxr, "annotation": draw_boxes(cxr, entry)}
    if twin is not None:
        panels["twin"] = make_thumbnail(read_image(twin.cxr), size_px)
    return panels


def draw_boxes(thumbnail: Image.Image, entry: ImageEntry) -> Image.Image:
    """Return the thumbnail in colour with the visual box of each nodule: green if visible, else orange."""
    image = thumbnail.convert("RGB")
    draw, scale = ImageDraw.Draw(image), thumbnail.width / entry.width
    for nodule in entry.annotation.nodules:
        x, y, width, height = (value * scale for value in nodule.bbox_visual)
        draw.rectangle(
            (x - 3, y - 3, x + width + 2, y + height + 2), outline=VISIBLE if nodule.truth_visible else HIDDEN
        )
    return image


def describe(annotation: Annotation) -> str:
    """Return one short line about a nodule."""
    nodule = annotation.nodule
    kind = nodule.kind.replace("_", " ")
    return f"{kind}, {nodule.margin}, {nodule.diameter_mm:.0f} mm, {CLASSES[annotation.visibility_class]}"


def make_contact_sheet(rows: Sequence[tuple[ImageEntry, Mapping[str, Image.Image]]], size_px: int) -> Image.Image:
    """Return one picture with a row of panels per image, named above."""
    height = LINE_PX + max((panel.height for _, panels in rows for panel in panels.values()), default=0) + GAP_PX
    size = (len(PANELS) * (size_px + GAP_PX) + GAP_PX, LINE_PX + max(1, len(rows)) * height)
    sheet = Image.new("RGB", size, BACK)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    lefts = [GAP_PX + column * (size_px + GAP_PX) for column in range(len(PANELS))]
    for left, name in zip(lefts, PANELS, strict=True):
        draw.text((left, 3), name, fill=TEXT, font=font)
    for number, (entry, panels) in enumerate(rows):
        top = LINE_PX + number * height
        label = "; ".join(describe(nodule) for nodule in entry.annotation.nodules) or "no nodule"
        draw.text((GAP_PX, top + 2), f"{entry.image_id}: {label}", fill=TEXT, font=font)
        for left, name in zip(lefts, PANELS, strict=True):
            if name in panels:
                sheet.paste(panels[name].convert("RGB"), (left, top + LINE_PX))
    if not rows:
        draw.text((GAP_PX, LINE_PX + 2), "no image", fill=TEXT, font=font)
    return sheet
