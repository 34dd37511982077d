"""Small images for people: previews for the index page, and one contact sheet."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from drrx.dataset.entries import ImageEntry
from drrx.io.files import write_whole
from drrx.io.image import read_image
from drrx.records.annotation import Annotation

PANELS = ("DRR", "CXR", "annotation", "twin")
VISIBLE, HIDDEN, BACK, TEXT = (90, 220, 110), (255, 170, 60), (24, 26, 30), (230, 230, 230)
LINE_PX = 22


def preview_name(entry: ImageEntry, panel: str) -> str:
    """Return the file of one panel, relative to the data set."""
    return f"previews/{entry.image_id}_{panel.lower()}.jpg"


def make_thumbnail(path: Path, size_px: int) -> Image.Image:
    """Return an image in 8 bits, its long side ``size_px``."""
    image = Image.fromarray(np.round(read_image(path) * 255).astype(np.uint8))
    scale = size_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


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


def make_panels(entry: ImageEntry, twin: ImageEntry | None, size_px: int) -> dict[str, Image.Image]:
    """Return the panels of one image by name; without a twin that panel is left out."""
    cxr = make_thumbnail(entry.cxr, size_px)
    panels = {"DRR": make_thumbnail(entry.drr, size_px), "CXR": cxr, "annotation": draw_boxes(cxr, entry)}
    if twin is not None:
        panels["twin"] = make_thumbnail(twin.cxr, size_px)
    return panels


def write_previews(folder: Path, entry: ImageEntry, panels: dict[str, Image.Image]) -> list[str]:
    """Write the panels as JPEG; return their names relative to the data set."""
    names = []
    for panel, image in panels.items():
        names.append(preview_name(entry, panel))
        with write_whole(folder / names[-1]) as temporary, temporary.open("wb") as stream:
            image.save(stream, format="JPEG", quality=88)
    return names


def describe(annotation: Annotation) -> str:
    """Return one short line about a nodule."""
    classes, nodule = ("hidden", "subtle", "visible", "obvious"), annotation.nodule
    kind = nodule.kind.replace("_", "-") if nodule.kind != "ground_glass" else "ground-glass"
    return f"{kind}, {nodule.margin}, {nodule.diameter_mm:.0f} mm, {classes[annotation.visibility_class]}"


def describe_pose(pose: Mapping[str, float]) -> str:
    """Return how a jittered view was turned and moved, such as ``, rotation +2.1 deg, tilt -0.4 deg``; or nothing."""
    parts = [(name.rpartition("_"), value) for name, value in pose.items() if value]
    return "".join(f", {what.replace('_', ' ')} {value:+.1f} {unit}" for (what, _, unit), value in parts)


def make_contact_sheet(rows: Sequence[tuple[ImageEntry, dict[str, Image.Image]]], size_px: int) -> Image.Image:
    """Return one picture: a row per image (DRR, CXR, annotation, twin), named above."""
    height = LINE_PX + max((p.height for _, panels in rows for p in panels.values()), default=0) + 6
    sheet = Image.new("RGB", (len(PANELS) * (size_px + 6) + 6, LINE_PX + max(1, len(rows)) * height), BACK)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, panel in enumerate(PANELS):
        draw.text((6 + column * (size_px + 6), 3), panel, fill=TEXT, font=font)
    for number, (entry, panels) in enumerate(rows):
        top = LINE_PX + number * height
        label = "; ".join(describe(nodule) for nodule in entry.annotation.nodules) or "no nodule"
        draw.text((6, top + 2), f"{entry.image_id}: {label}", fill=TEXT, font=font)
        for column, panel in enumerate(PANELS):
            if panel in panels:
                sheet.paste(panels[panel].convert("RGB"), (6 + column * (size_px + 6), top + LINE_PX))
    if not rows:
        draw.text((6, LINE_PX + 2), "no image", fill=TEXT, font=font)
    return sheet
