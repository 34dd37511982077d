"""The data set: readable by COCO tools, complete, linked, deterministic, and honest about refused cases."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.dataset.collect import collect_dataset
from drrx.dataset.entries import without_folders
from drrx.dataset.settings import CollectDatasetSettings
from drrx.geometry import Pose
from drrx.io.files import sha256_file, write_json
from drrx.io.image import write_image
from drrx.records.case import CaseRecord, Correction
from tests.test_annotate import VIEW, make_nodule, make_pair, make_shadow

COHORT = [("c1", "phantoms"), ("c2", "phantoms"), ("bad", "hospital"), ("late", "hospital")]
VARIANTS = ("twin", "v1", "v2")
SETTINGS = CollectDatasetSettings(preview_px=96)


def write_case(results: Path, case: str) -> None:
    folder = results / "cases" / case
    corrections = (Correction("PADDING", "21 % of voxels at -2048 set to -1024 in /data/secret/ct.nii.gz"),)
    record = CaseRecord(case, "phantoms")
    if case == "c2":
        record = CaseRecord(case, "phantoms", "corrected", corrections=corrections)
    write_json(folder / "case.json", record.to_json())
    pose = Pose() if case == "c1" else Pose(tilt_deg=-1.25)
    facts = {"projection": "pa", "view_position": "PA", "patient_orientation": ["L", "F"]}
    write_json(
        folder / "pa" / "projection.json",
        {"view": VIEW.to_json(), "pose": pose.to_json(), "source_to_center_mm": 1600.0} | facts,
    )
    write_json(folder / "variants.json", {"variants": VARIANTS})
    for number, variant in enumerate(VARIANTS):
        nodule = make_nodule(
            (30.0 - 50 * number, 20.0, -40.0 + 30 * number), kind="calcified" if number == 2 else "solid"
        )
        pair = make_pair(make_shadow(nodule), seed=7)
        image = folder / variant / "pa"
        write_image(image / "drr.png", pair.twin if variant == "twin" else pair.positive)
        write_image(image / "cxr.png", pair.twin if variant == "twin" else pair.positive)
        if variant != "twin":
            names = (case, variant, "pa")
            findings = [Finding(nodule, make_shadow(nodule), pair, pair)]
            made = annotate_image(names, findings, VIEW, {}, AnnotateCxrSettings(), {})
            write_json(image / "annotation.json", made.to_json())


def write_run(results: Path) -> None:
    for case in ("c1", "c2"):
        write_case(results, case)
    refused = CaseRecord(
        "bad", "hospital", "refused", "NO_LUNGS", "/mnt/site/ct/bad.nii.gz: found no lung; needed two lungs.",
        "Use a chest CT.",
    )  # fmt: skip
    write_json(results / "cases" / "bad" / "case.json", refused.to_json())
    write_json(results / "cases" / "late" / "case.json", CaseRecord("late", "hospital").to_json())
    outcome = {
        "status": "skipped",
        "code": "NO_PLACE",
        "detail": "no place",
        "hint": "Smaller nodules.",
        "products": {},
    }
    write_json(results / "cases" / "late" / "stages" / "annotate_cxr.json", outcome)


def collect(results: Path, cases=COHORT, settings=SETTINGS):
    return collect_dataset(results, cases, ("pa",), settings, {"seed": 5})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    results = tmp_path_factory.mktemp("run")
    write_run(results)
    return results, collect(results)


@pytest.fixture(scope="module")
def coco(run):
    return COCO(str(run[0] / "dataset" / "annotations.json"))


def test_coco_tools_load_it(coco):
    assert len(coco.getImgIds()) == 6
    assert len(coco.getAnnIds()) == 4
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["nodule", "calcified nodule"]
    assert sorted(a["category_id"] for a in coco.loadAnns(coco.getAnnIds())) == [1, 1, 2, 2]


def test_ids_are_unique_and_refer_to_each_other(run, coco):
    data = json.loads((run[0] / "dataset" / "annotations.json").read_text())
    for key in ("images", "annotations", "categories"):
        ids = [item["id"] for item in data[key]]
        assert len(set(ids)) == len(ids)
        assert min(ids) == 1
    assert {a["image_id"] for a in data["annotations"]} <= {i["id"] for i in data["images"]}


def test_decoded_masks_fit_their_boxes_and_files(run, coco):
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        ys, xs = np.nonzero(mask)
        x, y, w, h = annotation["bbox"]
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x, y, x + w, y + h)
        assert mask.sum() == annotation["area"]
        assert coco_mask.area(coco.annToRLE(annotation)) == annotation["area"]
        file = np.asarray(Image.open(run[0] / "dataset" / annotation["mask_file_name"]))
        np.testing.assert_array_equal(file, mask * 255)
        assert annotation["iscrowd"] == 0


def test_twins_are_linked_and_have_no_annotations(coco):
    images = {image["image_id"]: image for image in coco.loadImgs(coco.getImgIds())}
    for image in images.values():
        annotations = coco.getAnnIds(imgIds=[image["id"]])
        if image["role"] == "twin":
            assert annotations == []
            assert image["twin_id"] is None
        else:
            twin = coco.loadImgs([image["twin_id"]])[0]
            assert twin["pair_id"] == image["pair_id"] == f"{image['case']}_{image['view']}"
            assert twin["role"] == "twin"
            assert len(annotations) == 1


def test_images_are_whole_16_bit_copies(run, coco):
    for image in coco.loadImgs(coco.getImgIds()):
        for key, name in (("file_name", "cxr.png"), ("drr_file_name", "drr.png")):
            file = run[0] / "dataset" / image[key]
            with Image.open(file) as opened:
                assert opened.size == (image["width"], image["height"])
                assert opened.mode == "I;16"
            source = run[0] / "cases" / image["case"] / image["variant"] / image["view"] / name
            assert file.read_bytes() == source.read_bytes()


def test_tables_have_a_row_each(run):
    images = list(csv.DictReader((run[0] / "dataset" / "images.csv").open()))
    nodules = list(csv.DictReader((run[0] / "dataset" / "nodules.csv").open()))
    assert [row["role"] for row in images] == ["twin", "positive", "positive"] * 2
    assert [row["num_nodules"] for row in images] == ["0", "1", "1"] * 2
    assert [row["class"] for row in nodules] == ["nodule", "calcified nodule"] * 2
    assert all(value != "" for row in nodules for value in row.values())


def test_images_say_how_they_were_taken(run, coco):
    rows = list(csv.DictReader((run[0] / "dataset" / "images.csv").open()))
    images = coco.loadImgs(coco.getImgIds())
    assert [row["tilt_deg"] for row in rows] == ["0"] * 3 + ["-1.25"] * 3
    assert [image["pose"]["tilt_deg"] for image in images] == [0] * 3 + [-1.25] * 3
    assert {row["view_position"] for row in rows} == {image["view_position"] for image in images} == {"PA"}
    assert {row["patient_orientation"] for row in rows} == {"L\\F"}
    for row, image in zip(rows, images, strict=True):
        spacing_mm = [float(row["row_spacing_mm"]), float(row["column_spacing_mm"])]
        assert image["pixel_spacing_mm"] == pytest.approx(spacing_mm, rel=1e-5) == [430 / 256] * 2
        assert float(row["source_to_detector_mm"]) == image["source_to_detector_mm"] == pytest.approx(1800)
    text = (run[0] / "dataset" / "index.html").read_text()
    assert (text.count("PA, tilt -1.2 deg<"), text.count("PA<")) == (2, 2)


def test_summary_names_refused_cases(run):
    results, summary = run
    assert json.loads((results / "summary.json").read_text()) == summary
    counts = {"cases": 4, "accepted": 1, "corrected": 1, "refused": 2, "images": 6, "twins": 2, "nodules": 4}
    assert summary["counts"].items() >= counts.items()
    bad, late = summary["refused"]
    assert (bad["case"], bad["code"], bad["hint"]) == ("bad", "NO_LUNGS", "Use a chest CT.")
    assert bad["detail"] == "bad.nii.gz: found no lung; needed two lungs."
    assert (late["case"], late["code"]) == ("late", "NO_PLACE")
    assert "secret" not in json.dumps(summary)


def test_page_links_exist_and_tells_of_refused_cases(run):
    folder = run[0] / "dataset"
    text = (folder / "index.html").read_text()
    links = re.findall(r'(?:href|src)="([^"]+)"', text)
    assert len(links) > 20
    for link in links:
        assert (folder / link).is_file(), link
    assert "NO_LUNGS" in text
    assert "Use a chest CT." in text
    assert "PADDING" in text
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.size[0] == 4 * (96 + 6) + 6
        assert np.asarray(sheet).std() > 10


def test_manifest_lists_every_file_with_its_checksum(run):
    folder = run[0] / "dataset"
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == found
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
    assert manifest["run"] == {"seed": 5}
    assert str(run[0]) not in (folder / "manifest.json").read_text()


def read_all(folder: Path):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_inputs_same_bytes_in_another_folder(run, tmp_path):
    write_run(tmp_path)
    collect(tmp_path, settings=CollectDatasetSettings(preview_px=96, image_files="copy"))
    assert read_all(tmp_path / "dataset") == read_all(run[0] / "dataset")
    assert (tmp_path / "dataset/images/c1_v1_pa.png").stat().st_nlink == 1
    collect(tmp_path)
    assert read_all(tmp_path / "dataset") == read_all(run[0] / "dataset")


def test_case_that_left_the_cohort_leaves_the_data_set(tmp_path):
    write_run(tmp_path)
    collect(tmp_path)
    collect(tmp_path, COHORT[1:])
    names = [str(name) for name in read_all(tmp_path / "dataset")]
    assert not [name for name in names if "c1_" in name]
    assert [name for name in names if "c2_" in name]
    assert (tmp_path / "cases/c1/v1/pa/cxr.png").is_file()


def test_missing_and_broken_files_refuse_the_case_only(tmp_path):
    write_run(tmp_path)
    (tmp_path / "cases/c1/v2/pa/cxr.png").unlink()
    summary = collect(tmp_path)
    (found,) = [case for case in summary["refused"] if case["case"] == "c1"]
    assert found["code"] == "MISSING_FILES"
    assert found["detail"] == "v2/pa/cxr.png: found no readable image; needed a PNG."
    assert summary["counts"]["images"] == 3
    write_json(tmp_path / "cases/c1/pa/projection.json", {"view": VIEW.to_json()})
    write_image(tmp_path / "cases/c1/v2/pa/cxr.png", np.zeros(VIEW.shape))
    (found,) = [case for case in collect(tmp_path)["refused"] if case["case"] == "c1"]
    assert found["detail"] == "pa/projection.json: found no 'patient_orientation'; needed the record of a view."
    write_image(tmp_path / "cases/c2/v1/pa/drr.png", np.zeros((8, 8)))
    summary = collect(tmp_path)
    assert "DRR and CXR of different sizes" in summary["refused"][1]["detail"]
    assert COCO(str(tmp_path / "dataset/annotations.json")).getImgIds() == []


def test_interrupted_run_has_no_manifest(tmp_path, monkeypatch):
    write_run(tmp_path)
    collect(tmp_path)
    monkeypatch.setattr("drrx.dataset.collect.make_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        collect(tmp_path)
    assert not (tmp_path / "dataset/manifest.json").exists()


def test_index_is_limited_but_tables_are_not(tmp_path):
    write_run(tmp_path)
    collect(tmp_path, settings=CollectDatasetSettings(preview_px=64, preview_rows=1, contact_rows=1))
    text = (tmp_path / "dataset/index.html").read_text()
    assert text.count("<section") == 1
    assert "3 more are in images.csv" in text
    assert len((tmp_path / "dataset/images.csv").read_text().splitlines()) == 7


def test_names_are_escaped_and_folders_cut(tmp_path):
    write_run(tmp_path)
    collect(tmp_path, [*COHORT, ("x", "<script>alert(1)</script>")])
    assert "<script>" not in (tmp_path / "dataset/index.html").read_text()
    assert without_folders("/home/me/ct/a.nii.gz: found 3/4 of /x/y") == "a.nii.gz: found 3/4 of y"
