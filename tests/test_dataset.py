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
from drrx.annotate.shadow import shadows_to_arrays
from drrx.dataset.collect import collect_dataset
from drrx.dataset.read import without_folders
from drrx.dataset.settings import DEFAULT_SHARES, CollectDatasetSettings
from drrx.dataset.splits import choose_split
from drrx.errors import DrrxError
from drrx.geometry import Pose
from drrx.io.arrays import write_arrays
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, write_json
from drrx.io.image import write_image
from drrx.records.case import CaseRecord, Correction
from drrx.stages import collect_dataset as collect_dataset_stage
from tests.test_annotate import VIEW, make_nodule, make_pair, make_shadow

PATIENTS = {"c1": "p1", "c2": "p1", "bad": "p2", "late": "p3"}
COHORT = [
    CohortRow(case=case, path="phantom:1", cohort=cohort, extra={"patient": PATIENTS[case], "licence": "CC0"})
    for case, cohort in (("c1", "phantoms"), ("c2", "phantoms"), ("bad", "hospital"), ("late", "hospital"))
]
VARIANTS = ("twin", "v1", "v2", "s1")
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
        write_variant(folder, variant, number)


def write_variant(folder: Path, variant: str, number: int) -> None:
    kind = "calcified" if variant == "v2" else "solid"
    nodule = make_nodule((30.0 - 50 * number, 20.0, -40.0 + 30 * number), kind=kind)
    shadow = make_shadow(nodule)
    pair, is_positive = make_pair(shadow, seed=7), variant.startswith("v")
    image = folder / variant / "pa"
    for name in ("drr.png", "cxr.png"):
        write_image(image / name, pair.positive if is_positive else pair.twin)
    findings = [Finding(nodule, shadow, pair, pair)] if is_positive else []
    made = annotate_image((folder.name, variant, "pa"), findings, VIEW, {}, AnnotateCxrSettings(), {})
    write_json(image / "annotation.json", made.to_json())
    write_arrays(image / "paths.npz", shadows_to_arrays([shadow] if is_positive else []))
    if variant != "twin":
        rejections = {"airway": number, "edge": 1}
        write_json(folder / variant / "nodules.json", {"rejections": rejections, "nodules": [nodule.to_json()]})


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


@pytest.fixture
def no_card(monkeypatch):
    """The data card's figure takes a second, and has tests of its own."""
    monkeypatch.setattr("drrx.dataset.collect.write_card", lambda *_: [])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    results = tmp_path_factory.mktemp("run")
    write_run(results)
    return results, collect(results)


@pytest.fixture(scope="module")
def coco(run):
    return COCO(str(run[0] / "dataset" / "annotations.json"))


def test_coco_tools_load_it(coco):
    assert len(coco.getImgIds()) == 8
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
        image = coco.loadImgs([annotation["image_id"]])[0]
        name = f"masks/{image['image_id']}_{annotation['nodule']['nodule_id']}.png"
        file = np.asarray(Image.open(run[0] / "dataset" / name))
        np.testing.assert_array_equal(file, mask * 255)
        assert annotation["iscrowd"] == 0


def test_images_are_linked_to_their_twin_and_only_positives_have_annotations(coco):
    images = {image["image_id"]: image for image in coco.loadImgs(coco.getImgIds())}
    for image in images.values():
        annotations = coco.getAnnIds(imgIds=[image["id"]])
        assert len(annotations) == (image["role"] == "positive")
        if image["role"] == "twin":
            assert image["twin_id"] is None
        else:
            twin = coco.loadImgs([image["twin_id"]])[0]
            assert twin["pair_id"] == image["pair_id"] == f"{image['case']}_{image['view']}"
            assert twin["role"] == "twin"


def test_images_are_whole_16_bit_copies(run, coco):
    for image in coco.loadImgs(coco.getImgIds()):
        for key, name in (("file_name", "cxr.png"), ("drr_file_name", "drr.png")):
            file = run[0] / "dataset" / image[key]
            with Image.open(file) as opened:
                assert opened.size == (image["width"], image["height"])
                assert opened.mode == "I;16"
            source = run[0] / "cases" / image["case"] / image["variant"] / image["view"] / name
            assert file.read_bytes() == source.read_bytes()


def read_table(path: Path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_have_a_row_each(run):
    folder = run[0] / "dataset"
    images, nodules = read_table(folder / "images.csv"), read_table(folder / "nodules.csv")
    assert [row["role"] for row in images] == ["twin", "positive", "positive", "sham"] * 2
    assert [row["num_nodules"] for row in images] == ["0", "1", "1", "0"] * 2
    assert {row["licence"] for row in images} == {"CC0"}
    assert [row["class"] for row in nodules] == ["nodule", "calcified nodule"] * 2
    unknown = {"contrast_total", "index_z", "index_y", "index_x"}
    assert all((value == "") == (key in unknown) for row in nodules for key, value in row.items())


def test_records_are_whole(run):
    folder = run[0] / "dataset"
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert [line["image_id"] for line in lines] == [row["image_id"] for row in read_table(folder / "images.csv")]
    for line in lines:
        source = run[0] / "cases" / line["case"] / line["variant"] / line["view"] / "annotation.json"
        assert json.loads(source.read_text()).items() <= line.items()
        assert line["patient"] == "p1"


def test_a_patient_is_in_one_split_for_good(run):
    rows = read_table(run[0] / "dataset" / "images.csv")
    (split,) = {row["split"] for row in rows}
    assert split == choose_split("p1", DEFAULT_SHARES)
    assert {row["split"] for row in read_table(run[0] / "dataset" / "nodules.csv")} == {split}


def test_splits_have_their_shares_and_nothing_else_moves_a_patient():
    patients = [f"patient {number}" for number in range(4000)]
    shares = {"train": 0.7, "val": 0.1, "test": 0.2}
    chosen = {patient: choose_split(patient, shares) for patient in patients}
    for name, share in shares.items():
        # Four standard deviations of a count of 4000 draws.
        assert list(chosen.values()).count(name) / 4000 == pytest.approx(share, abs=4 * (0.25 / 4000) ** 0.5)
    backwards = dict(reversed(shares.items()))
    assert all(choose_split(patient, backwards) == split for patient, split in chosen.items())
    assert {choose_split(patient, {"all": 1.0, "none": 0.0}) for patient in patients} == {"all"}


@pytest.mark.parametrize("shares", [{}, {"train": 0.7}, {"train": 1.2, "val": -0.2}, {"../x": 1.0}])
def test_shares_that_are_none_are_refused(tmp_path, shares):
    with pytest.raises(DrrxError, match=r"collect_dataset\.split_shares: found .*shares that add up to 1"):
        collect(tmp_path, settings=CollectDatasetSettings(split_shares=shares))


def test_images_say_how_they_were_taken(run, coco):
    rows = read_table(run[0] / "dataset" / "images.csv")
    images = coco.loadImgs(coco.getImgIds())
    assert [row["tilt_deg"] for row in rows] == ["0"] * 4 + ["-1.25"] * 4
    assert [image["pose"]["tilt_deg"] for image in images] == [0] * 4 + [-1.25] * 4
    assert {row["view_position"] for row in rows} == {image["view_position"] for image in images} == {"PA"}
    assert {row["patient_orientation"] for row in rows} == {"L\\F"}
    for row, image in zip(rows, images, strict=True):
        spacing_mm = [float(row["row_spacing_mm"]), float(row["column_spacing_mm"])]
        assert image["pixel_spacing_mm"] == pytest.approx(spacing_mm, rel=1e-5) == [430 / 256] * 2
        assert float(row["source_to_detector_mm"]) == image["source_to_detector_mm"] == pytest.approx(1800)
    text = (run[0] / "dataset" / "index.html").read_text()
    assert text.count('"tilt_deg":-1.25') == text.count('"tilt_deg":0.0') == 1


def test_the_manifest_names_files_outside_without_their_folders(tmp_path, no_card):
    told = {
        "views": ["pa"],
        "preview_px": 96,
        "restore_cxr": {"weights": "/home/me/w.safetensors"},
        "sample_nodules": {"nodule_library": "/home/me/lib"},
    }
    write_run(tmp_path)
    collect_dataset_stage.collect(tmp_path, COHORT, told, 5)
    found = read_json(tmp_path / "dataset" / "manifest.json")["run"]["settings"]
    assert (found["restore_cxr"]["weights"], found["sample_nodules"]["nodule_library"]) == ("w.safetensors", "lib")


def test_summary_names_refused_cases(run):
    results, summary = run
    assert json.loads((results / "summary.json").read_text()) == summary
    counts = {"cases": 4, "accepted": 1, "corrected": 1, "refused": 2, "images": 8, "twins": 2, "nodules": 4}
    assert summary["counts"].items() >= counts.items()
    assert summary["refusals"] == {"NO_LUNGS": 1, "NO_PLACE": 1}
    assert summary["rejections"] == {"airway": 2 * (1 + 2), "edge": 4}  # of v1 and v2; s1 stands where v1 does
    assert summary["roles"] == {"positive": 4, "sham": 2, "twin": 2}
    bad, late = summary["refused"]
    assert (bad["case"], bad["code"], bad["hint"]) == ("bad", "NO_LUNGS", "Use a chest CT.")
    assert bad["detail"] == "bad.nii.gz: found no lung; needed two lungs."
    assert (late["case"], late["code"]) == ("late", "NO_PLACE")
    assert "secret" not in json.dumps(summary)


def test_page_links_exist_and_tells_of_refused_cases(run):
    folder = run[0] / "dataset"
    text = (folder / "index.html").read_text()
    links = re.findall(r'href="([^"#]+)"', text)
    for link in links:
        assert (folder / link).exists(), link
    lying = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert {link.strip("/") for link in links} == lying
    assert "NO_LUNGS" in text
    assert "Use a chest CT." in text
    assert "PADDING" in text
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.size[0] == 4 * (96 + 6) + 6
        assert np.asarray(sheet).std() > 10


def test_manifest_tells_how_it_was_made(run):
    folder = run[0] / "dataset"
    manifest = json.loads((folder / "manifest.json").read_text())
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


@pytest.mark.usefixtures("no_card")
def test_case_that_left_the_cohort_leaves_the_data_set(tmp_path):
    write_run(tmp_path)
    collect(tmp_path)
    collect(tmp_path, COHORT[1:])
    names = [str(name) for name in read_all(tmp_path / "dataset")]
    assert not [name for name in names if "c1_" in name]
    assert [name for name in names if "c2_" in name]
    assert (tmp_path / "cases/c1/v1/pa/cxr.png").is_file()


@pytest.mark.usefixtures("no_card")
def test_missing_and_broken_files_refuse_the_case_only(tmp_path):
    write_run(tmp_path)
    (tmp_path / "cases/c1/v2/pa/cxr.png").unlink()
    summary = collect(tmp_path)
    (found,) = [case for case in summary["refused"] if case["case"] == "c1"]
    assert found["code"] == "MISSING_FILES"
    assert found["detail"] == "v2/pa/cxr.png: found no readable image; needed a PNG."
    assert summary["counts"]["images"] == 4
    write_json(tmp_path / "cases/c1/pa/projection.json", {"view": VIEW.to_json()})
    write_image(tmp_path / "cases/c1/v2/pa/cxr.png", np.zeros(VIEW.shape))
    (found,) = [case for case in collect(tmp_path)["refused"] if case["case"] == "c1"]
    assert found["detail"] == "pa/projection.json: found no 'patient_orientation'; needed the record of a view."
    write_image(tmp_path / "cases/c2/v1/pa/drr.png", np.zeros((8, 8)))
    summary = collect(tmp_path)
    assert "DRR and CXR of different sizes" in summary["refused"][1]["detail"]
    assert COCO(str(tmp_path / "dataset/annotations.json")).getImgIds() == []


@pytest.mark.usefixtures("no_card")
def test_interrupted_run_has_no_manifest(tmp_path, monkeypatch):
    write_run(tmp_path)
    collect(tmp_path)
    monkeypatch.setattr("drrx.dataset.viewer.write.make_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        collect(tmp_path)
    assert not (tmp_path / "dataset/manifest.json").exists()


@pytest.mark.usefixtures("no_card")
def test_names_are_escaped_and_folders_cut(tmp_path):
    write_run(tmp_path)
    collect(tmp_path, [*COHORT, COHORT[0].model_copy(update={"case": "x", "cohort": "<script>alert(1)</script>"})])
    assert "<script>" not in (tmp_path / "dataset/index.html").read_text()
    assert without_folders("/home/me/ct/a.nii.gz: found 3/4 of /x/y") == "a.nii.gz: found 3/4 of y"
