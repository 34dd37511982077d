"""The main job on a small phantom, from the cohort table to the data set, through Snakemake and every real stage."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from drrx.geometry import View
from drrx.provenance.verify import verify

ROOT = Path(__file__).parent.parent
# Coarse and small, so that the way takes seconds; everything else is as delivered.
CONFIG = """\
variants: 1
views: [pa, lateral, pa_1]
make_phantom: {in_plane_mm: 2.5, slice_mm: 3.5}
project_ct: {size_px: 256}
sample_nodules: {diameter_min_mm: 15, diameter_max_mm: 25}
"""
VIEWS = ("pa", "lateral", "pa_1")
COHORT = "case\tpath\tcohort\nphantom-1\tphantom:1\tdemo\ntorn\ttorn.nii.gz\tdemo\n"


def snakemake(folder, *options):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Working folder of a finished run over a phantom and a file that is no CT."""
    folder = tmp_path_factory.mktemp("main_job")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "cohort.tsv").write_text(COHORT)
    (folder / "torn.nii.gz").write_bytes(b"\x1f\x8b not a whole file")
    # Both in one shard, as in a large cohort: what befalls one case must not touch the other.
    (folder / "results").mkdir()
    (folder / "results" / "shards.tsv").write_text("shard\tcase\ndemo-0001\ttorn\ndemo-0001\tphantom-1\n")
    said = snakemake(folder, "--show-failed-logs")
    assert said.returncode == 0, said.stdout[-4000:] + said.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return folder / "results" / "dataset"


def read_grey(path):
    return np.asarray(Image.open(path))


def test_the_case_that_is_no_ct_is_refused_and_the_other_done(folder):
    summary = json.loads((folder / "results" / "summary.json").read_text())
    assert [case["case"] for case in summary["refused"]] == ["torn"]
    assert summary["refused"][0]["code"]
    assert summary["refused"][0]["hint"]
    assert summary["counts"]["images"] == 2 * len(VIEWS)


@pytest.fixture(scope="module")
def coco(dataset):
    return COCO(dataset / "annotations.json")


@pytest.fixture(scope="module", params=VIEWS)
def pair(request, coco):
    """Twin, positive and the one annotation of a view."""
    images = {image["role"]: image for image in coco.loadImgs(coco.getImgIds()) if image["view"] == request.param}
    assert images.keys() == {"positive", "twin"}
    (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=images["positive"]["id"]))
    return images["twin"], images["positive"], annotation


def test_coco_readers_load_the_annotations(coco, pair):
    twin, positive, annotation = pair
    assert positive["pair_id"] == twin["pair_id"] == f"phantom-1_{twin['view']}"
    assert coco.getAnnIds(imgIds=twin["id"]) == []
    mask = coco.annToMask(annotation)
    assert mask.shape == (256, 256)
    assert mask.sum() == pytest.approx(annotation["area"])
    x, y, width, height = coco_mask.toBbox(annotation["segmentation"])
    left, top, box_width, box_height = annotation["bbox"]
    assert left <= x + 1
    assert top <= y + 1
    assert left + box_width >= x + width - 1
    assert top + box_height >= y + height - 1


def test_images_say_how_they_were_taken(pair):
    for image in pair[:2]:
        assert image["projection"] == image["view"].removesuffix("_1")
        expected = ("LL", ["P", "F"]) if image["projection"] == "lateral" else ("PA", ["L", "F"])
        assert (image["view_position"], image["patient_orientation"]) == expected
        assert any(image["pose"].values()) == image["view"].endswith("_1")


def test_the_mask_lies_where_the_view_puts_the_nodule(folder, coco, pair):
    _, positive, annotation = pair
    record = folder / "results" / "cases" / "phantom-1" / positive["view"] / "projection.json"
    view = View.from_json(json.loads(record.read_text())["view"])
    center_mm = np.array(annotation["nodule"]["measures"]["centroid_world_mm"])
    row, column = view.project_points(center_mm)
    assert annotation["center_px"] == pytest.approx([column + 0.5, row + 0.5])
    ys, xs = np.nonzero(coco.annToMask(annotation))
    assert np.hypot(xs.mean() - column, ys.mean() - row) < 2
    assert annotation["magnification"] == pytest.approx(view.magnification(center_mm))


def test_drr_and_twin_differ_where_the_nodule_is_and_nowhere_else(dataset, pair):
    *images, annotation = pair
    twin, positive = (read_grey(dataset / image["drr_file_name"]).astype(int) for image in images)
    assert positive.shape == (256, 256)
    difference = np.abs(positive - twin)
    rows, columns = np.nonzero(difference > 0.2 * difference.max())
    x, y, width, height = annotation["bbox"]
    assert len(rows) > 10
    assert difference.max() > 655  # 1 % of 16 bit
    margin_px = 12
    assert rows.min() > y - margin_px
    assert rows.max() < y + height + margin_px
    assert columns.min() > x - margin_px
    assert columns.max() < x + width + margin_px


def test_the_radiographs_show_dark_lungs_beside_a_bright_middle(dataset):
    images = json.loads((dataset / "annotations.json").read_text())["images"]
    for image in (image for image in images if image["projection"] == "pa"):
        for name in (image["file_name"], image["drr_file_name"]):
            values = read_grey(dataset / name)
            assert values.dtype == np.uint16
            band = np.median(values[100:140], axis=0)
            right, middle, left = band[60:100].min(), band[118:138].max(), band[156:196].min()
            assert middle > 1.3 * max(right, left), name


def test_the_list_of_checksums_names_every_file_with_its_hash(dataset):
    files = {path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()}
    lines = (dataset / "sha256sums.txt").read_text().splitlines()[:-1]
    sums = {name: sha256 for sha256, name in (line.split("  ") for line in lines)}
    assert set(sums) == files - {"sha256sums.txt"}
    for name, sha256 in sums.items():
        assert hashlib.sha256((dataset / name).read_bytes()).hexdigest() == sha256
    for name in ("manifest.json", "provenance.tsv", "ro-crate-metadata.json"):
        assert str(dataset.parents[2]) not in (dataset / name).read_text()


def test_the_run_is_as_recorded(folder):
    told = verify(folder / "results")
    assert told.findings == ()
    assert told.num_files > 100


def test_tables_have_a_row_for_each_image_and_nodule(dataset):
    with (dataset / "images.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2 * len(VIEWS)
    with (dataset / "nodules.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(VIEWS)


def test_nothing_is_left_to_do(folder):
    said = snakemake(folder, "--dry-run")
    assert "Nothing to be done" in said.stdout + said.stderr
