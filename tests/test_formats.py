"""Every export, read back by another reader than the one that wrote it: boxes are those of the masks, to the pixel."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from drrx.annotate.mask import box_of, decode_mask, encode_mask
from drrx.annotate.shadow import shadows_to_arrays
from drrx.dataset.collect import FORMATS, collect_dataset
from drrx.dataset.formats.coco import write_coco
from drrx.dataset.formats.imagefolder import write_imagefolder
from drrx.dataset.formats.luna import write_luna
from drrx.dataset.formats.masks import write_masks
from drrx.dataset.formats.nih import write_nih
from drrx.dataset.formats.node21 import write_node21
from drrx.dataset.formats.path_maps import write_path_maps
from drrx.dataset.formats.vindr import write_vindr
from drrx.dataset.formats.yolo import write_yolo
from drrx.dataset.settings import CollectDatasetSettings, FormatName
from drrx.dataset.tables import write_tables
from drrx.errors import DrrxError
from drrx.io.arrays import write_arrays
from tests.image_entries import make_entries, make_entry, make_known, make_view
from tests.test_annotate import make_shadow

VISIBLE = {"twin": ["r1"], "v1": ["n1", "n2", "r1"], "s1": ["r1"], "removed": []}


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """Two cases in two splits, two views, all roles; masks are wider than high, so that no side stands for another."""
    folder = tmp_path_factory.mktemp("files")
    made = [replace(flatten(e), split="test" if e.case == "c1" else "train") for e in make_entries(folder)]
    for entry in made:
        view = make_view(entry.view)
        names = {"v1": ("n1", "n2"), "removed": ("r1",)}.get(entry.variant, ())
        write_arrays(entry.paths, shadows_to_arrays([make_shadow(make_known(name), view) for name in names]))
    return made


def flatten(entry):
    """Leave the upper third of every visual mask out."""
    nodules = []
    for nodule in entry.annotation.nodules:
        mask = decode_mask(nodule.mask)
        top = int(nodule.bbox_visual[1] + nodule.bbox_visual[3] / 3)
        mask[:top] = False
        nodules.append(replace(nodule, mask=encode_mask(mask), bbox_visual=box_of(mask), area_px=int(mask.sum())))
    return replace(entry, annotation=replace(entry.annotation, nodules=tuple(nodules)))


@pytest.fixture(scope="module")
def extents(entries):
    """Edges ``(x, y, x end, y end)`` of every nodule's mask, by image and nodule; decoded by pycocotools."""
    found = {}
    for entry in entries:
        for nodule in entry.annotation.nodules:
            mask = coco_mask.decode({"size": list(nodule.mask.size), "counts": nodule.mask.counts})
            ys, xs = np.nonzero(mask)
            key = entry.image_id, nodule.nodule.nodule_id
            found[key] = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert len(found) == 2 * 2 * 5
    assert all(right - left > bottom - top for left, top, right, bottom in found.values())
    return found


def read_rows(path: Path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def wanted(entries, extents, keep=lambda nodule: True):
    """The edges of all boxes of an image, sorted, by image."""
    return {
        entry.image_id: sorted(
            extents[entry.image_id, nodule.nodule.nodule_id] for nodule in entry.annotation.nodules if keep(nodule)
        )
        for entry in entries
    }


def test_each_role_shows_what_it_should(entries):
    for entry in entries:
        assert [nodule.nodule.nodule_id for nodule in entry.annotation.nodules] == VISIBLE[entry.variant]
        assert entry.role == {"twin": "twin", "v1": "positive", "s1": "sham", "removed": "removed"}[entry.variant]


def test_coco_by_pycocotools(tmp_path, entries, extents):
    assert write_coco(tmp_path, entries) == ["annotations.json"]
    coco = COCO(str(tmp_path / "annotations.json"))
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        boxes = []
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            x, y, width, height = annotation["bbox"]
            boxes.append((x, y, x + width, y + height))
            np.testing.assert_array_equal(coco_mask.toBbox(coco.annToRLE(annotation)), annotation["bbox"])
            assert annotation["category_id"] == (2 if annotation["nodule"]["kind"] == "calcified" else 1)
            assert set(annotation["nodule"]["measures"]) >= {"volume_mm3", "axes_world", "zone_fractions"}
        found[image["image_id"]] = sorted(boxes)
        assert image["split"] == ("test" if image["case"] == "c1" else "train")
    assert found == wanted(entries, extents)
    data = json.loads((tmp_path / "annotations.json").read_text())
    licences = {licence["id"]: licence["name"] for licence in data["licenses"]}
    assert {licences[image["license"]] for image in data["images"]} == {e.source.licence for e in entries}


def test_node21_by_the_logic_of_its_baseline(tmp_path, entries, extents):
    """Rows of one ``img_name`` are its boxes; label 0 is a negative; corners are x + width, y + height."""
    (name,) = write_node21(tmp_path, entries)
    rows = read_rows(tmp_path / name)
    assert list(rows[0])[:6] == ["img_name", "label", "x", "y", "width", "height"]
    found = {}
    for row in rows:
        image = found.setdefault(row["img_name"].removesuffix(".png"), [])
        if row["label"] == "1":
            x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
            image.append((x, y, x + width, y + height))
    assert {image: sorted(boxes) for image, boxes in found.items()} == wanted(
        entries, extents, lambda nodule: nodule.nodule.kind != "calcified"
    )
    negatives = [row for row in rows if row["label"] == "0"]
    assert {row["role"] for row in negatives} == {"removed"}
    assert all(row[key] == "0" for row in negatives for key in ("x", "y", "width", "height"))
    assert len(negatives) == len({row["img_name"] for row in negatives}) == 4


def test_an_image_with_nothing_but_calcium_is_negative_for_node21(tmp_path, entries):
    (positive,) = [entry for entry in entries if entry.image_id == "c1_v1_pa"]
    calcified = tuple(n for n in positive.annotation.nodules if n.nodule.kind == "calcified")
    only = replace(positive, annotation=replace(positive.annotation, nodules=calcified))
    (name,) = write_node21(tmp_path, [only])
    (row,) = read_rows(tmp_path / name)
    assert (row["label"], row["width"]) == ("0", "0")


def test_vindr_by_corners_in_original_pixels(tmp_path, entries, extents):
    *tables, sizes = write_vindr(tmp_path, entries)
    assert tables == ["vindr/annotations_test.csv", "vindr/annotations_train.csv"]
    found, classes = {}, set()
    for table in tables:
        rows = read_rows(tmp_path / table)
        assert list(rows[0])[:7] == ["image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"]
        for row in rows:
            image = found.setdefault(row["image_id"], [])
            classes.add(row["class_name"])
            if row["class_name"] == "No finding":
                assert (row["x_min"], row["role"]) == ("", "removed")
            else:
                image.append(tuple(float(row[key]) for key in ("x_min", "y_min", "x_max", "y_max")))
        assert {row["image_id"][:2] for row in rows} == {"c1" if "test" in table else "c2"}
    assert {image: sorted(boxes) for image, boxes in found.items()} == wanted(entries, extents)
    assert classes == {"Nodule/Mass", "Calcification", "No finding"}
    shapes = {row["image_id"]: (int(row["width"]), int(row["height"])) for row in read_rows(tmp_path / sizes)}
    assert shapes == {entry.image_id: (entry.width, entry.height) for entry in entries}


def test_nih_by_position_at_1024(tmp_path, entries, extents):
    """Readers take the first six fields by position: the header's names are not those of columns."""
    boxes, images, train_val, test = (tmp_path / name for name in write_nih(tmp_path, entries))
    assert boxes.read_text().splitlines()[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    lines = list(csv.reader(io.StringIO(boxes.read_text())))
    assert {len(line) for line in lines} == {9}
    found = {entry.image_id: [] for entry in entries}
    for index, label, *values in lines[1:]:
        x, y, width, height = (float(value) * 256 / 1024 for value in values[:4])
        assert (label, values[4:]) == ("Nodule", ["", "", ""])
        found[index.removesuffix(".png")].append((x, y, x + width, y + height))
    assert {image: sorted(rows) for image, rows in found.items()} == wanted(entries, extents)
    table = read_rows(images)
    labels = {row["Image Index"].removesuffix(".png"): row["Finding Labels"] for row in table}
    assert labels == {e.image_id: "Nodule" if e.annotation.nodules else "No Finding" for e in entries}
    assert [(row["OriginalImage[Width"], row["Height]"]) for row in table] == [("256", "256")] * len(entries)
    lists = [set(file.read_text().split()) for file in (train_val, test)]
    assert lists == [{f"{e.image_id}.png" for e in entries if e.case == case} for case in ("c2", "c1")]


def test_nih_scales_each_axis_for_itself_and_knows_masses(tmp_path, entries):
    (entry,) = [entry for entry in entries if entry.image_id == "c1_v1_pa"]
    found = entry.annotation.nodules[0]
    large = replace(found, bbox_visual=(10.0, 20.0, 30.0, 40.0), nodule=replace(found.nodule, diameter_mm=31.0))
    wide = replace(entry, width=2048, height=512, annotation=replace(entry.annotation, nodules=(large,)))
    boxes, images, *_ = (tmp_path / name for name in write_nih(tmp_path, [wide]))
    assert boxes.read_text().splitlines()[1] == "c1_v1_pa.png,Mass,5,40,15,80,,,"
    assert ",Mass,0," in images.read_text()


def test_yolo_by_its_documented_layout(tmp_path, entries, extents):
    """What ultralytics does: data.yaml -> list -> image -> label file by the last /images/ -> /labels/."""
    data, *_ = write_yolo(tmp_path, entries)
    config = yaml.safe_load((tmp_path / data).read_text())
    assert config["names"] == {0: "nodule", 1: "calcified nodule"}
    found = {}
    for split in ("train", "test"):
        folder = (tmp_path / config[split]).parent
        for line in (tmp_path / config[split]).read_text().splitlines():
            assert line.startswith("./")
            image = (folder / line[2:]).as_posix()
            label = Path("/labels/".join(image.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")
            boxes = found.setdefault(Path(image).stem, [])
            for number, *shares in map(str.split, label.read_text().splitlines()):
                x, y, width, height = np.array(shares, float) * 256
                edges = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
                assert np.abs(edges - edges.round()).max() < 1e-5
                boxes.append((tuple(edges.round()), int(number)))
            assert Path(image).stem.startswith("c1" if split == "test" else "c2")
    classes = {image: sorted(number for _, number in boxes) for image, boxes in found.items()}
    assert {image: sorted(box for box, _ in boxes) for image, boxes in found.items()} == wanted(entries, extents)
    assert classes["c1_v1_pa"] == [0, 0, 1]
    assert (tmp_path / "labels/c1_removed_pa.txt").read_bytes() == b""


def test_imagefolder_by_its_documented_rule(tmp_path, entries, extents):
    """A line of JSON per image, ``file_name`` relative to the file, the same keys and types in each line."""
    (name,) = write_imagefolder(tmp_path, entries)
    lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    assert name == "images/metadata.jsonl"
    assert {frozenset(line) for line in lines} == {frozenset(lines[0])}
    found = {}
    for line, entry in zip(lines, entries, strict=True):
        assert f"images/{line['file_name']}" == entry.file_name
        objects = line["objects"]
        assert len({len(values) for values in objects.values()}) == 1
        found[line["image_id"]] = sorted((x, y, x + w, y + h) for x, y, w, h in objects["bbox"])
        assert set(objects["categories"]) <= {0, 1}
        assert (line["split"], line["role"], line["patient"]) == (entry.split, entry.role, entry.source.patient)
    assert found == wanted(entries, extents)


def test_masks_by_pillow(tmp_path, entries, extents):
    names = write_masks(tmp_path, entries)
    assert len(names) == len(extents)
    for (image_id, nodule_id), edges in extents.items():
        pixels = np.asarray(Image.open(tmp_path / f"masks/{image_id}_{nodule_id}.png"))
        ys, xs = np.nonzero(pixels)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == edges
        assert set(np.unique(pixels)) == {0, 255}


def test_path_maps_by_pillow_give_the_boxes_again(tmp_path, entries, extents):
    names = write_path_maps(tmp_path, entries)
    assert len(names) == len(extents)
    nodules = {(e.image_id, n.nodule.nodule_id): n for e in entries for n in e.annotation.nodules}
    for key, nodule in nodules.items():
        with Image.open(tmp_path / "path_maps" / f"{'_'.join(key)}.tif") as image:
            path_mm = np.asarray(image)
        assert (path_mm.dtype, path_mm.shape) == (np.float32, (256, 256))
        assert path_mm.max() == nodule.peak_path_mm
        ys, xs = np.nonzero(path_mm > max(0.2, 0.02 * path_mm.max()))
        x, y, width, height = nodule.bbox_full
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x, y, x + width, y + height)


def test_path_maps_of_another_run_are_refused(tmp_path, entries):
    (entry,) = [entry for entry in entries if entry.image_id == "c1_v1_pa"]
    other = tmp_path / "paths.npz"
    write_arrays(other, shadows_to_arrays([make_shadow(replace(make_known("n1"), diameter_mm=10.0))]))
    with pytest.raises(DrrxError, match=r"c1_v1_pa, path map of n1: found another among 1; needed one with a peak"):
        write_path_maps(tmp_path, [replace(entry, paths=other)])


def test_luna_lists_every_nodule_of_a_ct_once(tmp_path, entries):
    (name,) = write_luna(tmp_path, entries)
    rows = read_rows(tmp_path / name)
    assert list(rows[0]) == ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"]
    found = {(row["seriesuid"], *(float(row[key]) for key in list(row)[1:])) for row in rows}
    assert len(found) == len(rows) == 2 * 5
    center_mm = make_known("n1").measures.centroid_world_mm
    assert ("c1_v1", *center_mm, 24.0) in found


def test_every_table_tells_role_and_split(tmp_path, entries):
    for name in [*write_tables(tmp_path, entries), *write_node21(tmp_path, entries)]:
        if name.endswith(".csv"):
            assert {"role", "split"} <= set(read_rows(tmp_path / name)[0])


def test_images_say_what_is_known_of_the_nodules_of_their_ct(tmp_path):
    told = {"ct": {"source": {"has_nodules": "yes"}}, "quality": {"flags": ["THICK_SLICES", "UNANNOTATED_NODULES"]}}
    for number, facts in enumerate((told, {})):
        write_tables(tmp_path / str(number), [make_entry(tmp_path, "c", "twin", "pa", 0, facts)])
    rows = [read_rows(tmp_path / name / "images.csv")[0] for name in "01"]
    cells = [(row["ct_has_nodules"], row["flags"]) for row in rows]
    assert cells == [("yes", "THICK_SLICES UNANNOTATED_NODULES"), ("unknown", "")]


def test_formats_are_those_that_settings_name():
    assert set(FORMATS) == set(FormatName.__args__)


def test_formats_that_are_no_longer_asked_for_go_away(tmp_path, monkeypatch):
    monkeypatch.setattr("drrx.dataset.collect.write_card", lambda *_: [])

    def collect(*formats):
        collect_dataset(tmp_path, (), ("pa",), CollectDatasetSettings(formats=formats), {})
        return {path.name for path in (tmp_path / "dataset").rglob("*.csv")}

    assert collect("node21", "nih") == {
        "images.csv", "nodules.csv", "metadata.csv", "BBox_List_2017.csv", "Data_Entry_2017.csv"
    }  # fmt: skip
    (tmp_path / "dataset" / "notes.csv").write_text("mine")
    assert collect("node21") == {"images.csv", "nodules.csv", "metadata.csv", "notes.csv"}
