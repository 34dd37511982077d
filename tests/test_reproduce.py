"""Any image of a finished run is made again bit for bit from its record; what is not as it was is told."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from drrx.cli.main import main
from drrx.errors import DrrxError
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json, write_json, write_text
from drrx.provenance import record as record_module
from drrx.provenance import reproduce as reproduce_module
from drrx.provenance.record import read_record
from drrx.provenance.reproduce import Inputs, reproduce
from drrx.records.nodule_shape import Transplant
from drrx.stages.layout import CaseFolder
from tests.small_run import share_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return share_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def dataset(folder):
    return folder / "results" / "dataset"


def hash_text(text):
    return hashlib.sha256(text.encode()).hexdigest()


def again(capsys, *options):
    """Return exit status and what the command said, as JSON."""
    status = main(["reproduce", *map(str, options), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("image", "given"),
    [
        ("p1_v1_pa", ()), ("p2_twin_pa", ("--ct",)), ("p2_s1_pa", ("--ct",)), ("p2_removed_pa", ("--cohort",)),
    ],
)  # fmt: skip
def test_an_image_of_each_role_comes_out_bit_for_bit(folder, dataset, tmp_path, capsys, image, given):
    paths = {"--ct": folder / "ct.nii.gz", "--cohort": folder / "cohort.tsv"}
    options = [word for option in given for word in (option, paths[option])]
    status, told = again(capsys, image, "--dataset", dataset, "--output", tmp_path, *options)
    assert (status, told["same"], told["changes"], told["differing_facts"]) == (0, True, [], [])
    for name, stored in (("drr.png", "drr"), ("cxr.png", "images")):
        assert (tmp_path / name).read_bytes() == (dataset / stored / f"{image}.png").read_bytes()


def test_nothing_is_drawn_again(folder, dataset, tmp_path, monkeypatch):
    """Also where the settings would draw other nodules now, and no place is looked for."""
    monkeypatch.setattr("drrx.nodule.site.Site.place", lambda *_: pytest.fail("a place was looked for"))
    row = CohortRow(case="p2", cohort="x", path=str(folder / "ct.nii.gz"))
    assert reproduce(read_record(dataset, "p2_v1_pa"), Inputs(row), tmp_path).is_same


def test_an_altered_ct_is_refused(folder, dataset, tmp_path):
    image = nib.load(folder / "ct.nii.gz")
    values = np.asarray(image.dataobj).copy()
    values[0, 0, 0] += 1
    nib.save(nib.Nifti1Image(values, image.affine), tmp_path / "altered.nii.gz")
    row = CohortRow(case="p2", cohort="x", path=str(tmp_path / "altered.nii.gz"))
    with pytest.raises(DrrxError, match=r"case p2: the CT: found sha256 .*\.\.\.; needed sha256 .*, as on record"):
        reproduce(read_record(dataset, "p2_v1_pa"), Inputs(row), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_phantom_or_none_of_the_annotations_is_refused(folder, dataset, tmp_path):
    row = CohortRow(case="p2", cohort="x", path=str(folder / "ct.nii.gz"))
    with pytest.raises(DrrxError, match=r"the annotations: found none; needed sha256 .* Give the very file: --annot"):
        reproduce(read_record(dataset, "p2_removed_pa"), Inputs(row), tmp_path)
    with pytest.raises(DrrxError, match=r"case p1: the CT: found sha256 .*; needed none"):
        reproduce(read_record(dataset, "p1_v1_pa"), Inputs(row.model_copy(update={"case": "p1"})), tmp_path)


def test_other_weights_are_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce_module, "load_restorer", lambda path: type("Other", (), {"sha256": "f" * 64}))
    with pytest.raises(DrrxError, match=r"weights of the restorer: found sha256 ffff.*Give the file .*--weights"):
        reproduce(
            read_record(dataset, "p1_v1_pa"), Inputs(CohortRow(case="p1", cohort="x", path="phantom:1")), tmp_path
        )


def test_a_ct_that_is_not_given_and_images_that_are_not_there_are_told(folder, dataset, tmp_path, capsys):
    assert main(["reproduce", "p2_v1_pa", "--dataset", str(dataset)]) == 1
    assert "found a record made from a CT (nifti); needed that CT. Give it with --ct PATH" in capsys.readouterr().err
    assert main(["reproduce", "p3_v1_pa", "--dataset", str(dataset)]) == 1
    assert "found no image 'p3_v1_pa'; needed the id of an image" in capsys.readouterr().err
    (tmp_path / "other.tsv").write_text("case\tpath\tcohort\nq\tphantom:1\tx\n")
    assert main(["reproduce", "p2_v1_pa", "--dataset", str(dataset), "--cohort", str(tmp_path / "other.tsv")]) == 1
    assert "found no case p2; needed the case of the image" in capsys.readouterr().err


@pytest.fixture
def copy(dataset, tmp_path):
    """The records of the data set, to be changed."""
    for name in ("manifest.json", "records.jsonl", "provenance.tsv"):
        shutil.copy(dataset / name, tmp_path)
    return tmp_path


def test_other_code_and_libraries_are_told_first(copy, monkeypatch):
    assert read_record(copy, "p1_v1_pa").list_changes() == []
    monkeypatch.setattr(record_module, "stage_fingerprint", lambda stage: "other")
    monkeypatch.setattr(record_module, "read_environment", lambda: {"numpy": "9.9"})
    changes = read_record(copy, "p1_v1_pa").list_changes()
    assert [line.partition(":")[0] for line in changes[:6]] == [
        "read_ct", "segment_anatomy", "sample_nodules", "project_ct", "compose_drr", "restore_cxr"
    ]  # fmt: skip
    assert all(line.endswith("here other") for line in changes[:6])
    assert f"numpy: {np.__version__}, here 9.9" in changes


def test_what_came_out_otherwise_is_named(folder, copy, tmp_path, capsys):
    """The manifest tells another exposure than the image was made with, and its hash was made to fit."""
    manifest = read_json(copy / "manifest.json")
    manifest["run"]["settings"]["compose_drr"]["detector_kerma_ugy"] *= 2
    write_json(copy / "manifest.json", manifest)
    text = (copy / "records.jsonl").read_text()
    with pytest.raises(DrrxError, match=r"found the record of another run .*Run drrx verify"):
        read_record(copy, "p2_twin_pa")
    told = record_module.hash_json(manifest["run"])
    (copy / "records.jsonl").write_text(text.replace(manifest["run_sha256"], told))
    options = ["--ct", folder / "ct.nii.gz", "--dataset", copy, "--output", tmp_path / "out"]
    assert main(["reproduce", "p2_twin_pa", *map(str, options)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^facts that differ: .*radiograph\.physics\.detector_kerma_ugy", said, re.MULTILINE)
    assert said.endswith("NOT the same\n")


def test_a_data_set_without_settings_is_told(copy):
    write_json(copy / "manifest.json", read_json(copy / "manifest.json") | {"run": {"seed": 0, "views": ["pa"]}})
    with pytest.raises(DrrxError, match="found no settings of the stages; needed those of the run"):
        read_record(copy, "p1_v1_pa")


def test_what_a_restoration_stood_on_is_made_too(copy):
    """The twin alone by default; the others of its batch, or all whose places the network was told."""
    path = copy / "records.jsonl"
    text = path.read_text()
    assert read_record(copy, "p2_s1_pa").variants == ("twin", "s1")
    assert read_record(copy, "p2_twin_pa").variants == ("twin",)
    path.write_text(text.replace('"batch_size": 1', '"batch_size": 2').replace('"tile_px": 1536', '"tile_px": 384'))
    record = read_record(copy, "p2_s1_pa")
    assert record.variants == ("twin", "v1", "s1")
    assert read_record(copy, "p2_removed_pa").variants == ("twin", "removed")
    told = record.stage_settings("restore_cxr")
    assert (told["batch_size"], told["tile_px"], told["overlap_px"], told["views"]) == (2, 384, 96, ["pa"])
    assert record.nodules["s1"] == record.nodules["v1"] != ()
    path.write_text(text.replace('"nodule_condition": false', '"nodule_condition": true'))
    assert read_record(copy, "p2_v1_pa").variants == ("twin", "v1", "s1", "removed")


@pytest.mark.parametrize(("threads_then", "tried"), [(2, [0, 1, 2]), (3, [0, 1, 2, 4, 8])])
def test_other_numbers_of_threads_are_tried(copy, tmp_path, monkeypatch, threads_then, tried):
    """A stand-in for the stage whose image tells the number of threads."""
    record, folder, found = read_record(copy, "p1_twin_pa"), CaseFolder(tmp_path, "p1"), []

    def restore(record, inputs, folder, stage, changed):
        found.append(changed["threads"])
        write_text(folder.image("twin", "pa", "cxr.png"), f"{changed['threads']}")

    monkeypatch.setattr(reproduce_module, "_run", restore)
    write_text(folder.image("twin", "pa", "drr.png"), "drr")
    sums = {"drr_sha256": hash_text("drr"), "cxr_sha256": hash_text(f"{threads_then}")}
    record = replace(record, provenance={**record.provenance, **sums})
    inputs = Inputs(CohortRow(case="p1", cohort="x", path="phantom:1"))
    reproduce_module._restore(record, inputs, folder)
    assert found == tried
    found.clear()
    write_text(folder.image("twin", "pa", "drr.png"), "another")
    reproduce_module._restore(record, inputs, folder)
    assert found == [0], "another DRR cannot give the same CXR"


def test_a_transplanted_nodule_asks_for_its_library(copy):
    (nodule,) = read_record(copy, "p1_v1_pa").nodules["v1"]
    form = Transplant("n7", "ab" * 32, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), 1.0)
    transplanted = replace(nodule, shape=None, transplant=form)
    with pytest.raises(DrrxError, match="found one that was transplanted from a library; needed the folder"):
        reproduce_module._read_library([nodule, transplanted], None)
    assert reproduce_module._read_library([nodule], None) == ()
