"""DICOM files: the PNG's pixels, the view's geometry, no word about the patient, and valid by other people's tools."""

import builtins
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

import drrx
from drrx.annotate.mask import decode_mask
from drrx.dataset.entries import Source
from drrx.dataset.formats.dicom import write_dicom
from drrx.dataset.formats.dicom_study import Study, make_uid
from drrx.dataset.manifest import read_files
from drrx.dataset.settings import CollectDatasetSettings
from drrx.errors import DrrxError
from tests.image_entries import FACTS, make_entries, make_entry, make_view
from tests.test_dataset import collect, write_run

#: dicom3tools do not know Synthetic Data (0008,001C), which is younger; they say so in three lines per file.
NOT_KNOWN_YET = re.compile(r"^(Warning|Error) - </\(0008,001c\)> - ")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dataset")
    entries = make_entries(source)
    return folder, {entry.image_id: entry for entry in entries}, write_dicom(folder, entries, segments=True)


@pytest.fixture(scope="module")
def images(run):
    return {image_id: pydicom.dcmread(run[0] / f"dicom/{image_id}.dcm") for image_id in run[1]}


def test_files_are_named_after_images(run):
    folder, entries, names = run
    with_nodules = [name for name, entry in entries.items() if entry.annotation.nodules]
    assert len(entries) == 16
    assert len(with_nodules) == 12
    assert set(names) == {f"dicom/{name}.dcm" for name in entries} | {f"dicom/{name}_seg.dcm" for name in with_nodules}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm")} == set(names)


def test_pixels_are_those_of_the_png(run, images):
    for image_id, entry in run[1].items():
        with Image.open(entry.cxr) as png:
            expected = np.asarray(png)
        assert expected.dtype == np.uint16
        np.testing.assert_array_equal(images[image_id].pixel_array, expected)
        shown = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(run[0] / f"dicom/{image_id}.dcm")))
        np.testing.assert_array_equal(shown.reshape(expected.shape), expected)


def test_window_shows_every_value_as_it_is(images):
    for image in images.values():
        values = np.arange(0, 65536, 257, dtype=np.uint16)
        shown = pydicom.pixels.apply_voi_lut(pydicom.pixels.apply_rescale(values, image), image)
        np.testing.assert_allclose(shown, values, atol=1e-6)
        assert (image.PhotometricInterpretation, image.PresentationLUTShape) == ("MONOCHROME2", "IDENTITY")
        assert image.PixelIntensityRelationshipSign == -1  # bone, where little radiation comes through, is bright


def test_geometry_is_that_of_the_view(images):
    for image_id, image in images.items():
        lateral = "lateral" in image_id
        view = make_view("lateral" if lateral else "pa")
        assert (image.Rows, image.Columns) == view.shape
        assert [float(value) for value in image.ImagerPixelSpacing] == pytest.approx(view.pixel_spacing_mm, rel=1e-12)
        assert image.DistanceSourceToDetector == view.source_to_detector_mm == 1800
        assert image.DistanceSourceToPatient == pytest.approx(view.depth_mm(np.zeros(3))) == 1600
        assert image.EstimatedRadiographicMagnificationFactor == pytest.approx(view.magnification(np.zeros(3)))
        assert image.ViewPosition == ("LL" if lateral else "PA")
        assert image.ViewCodeSequence[0].CodeMeaning == ("left lateral" if lateral else "postero-anterior")
        assert list(image.PatientOrientation) == (["P", "F"] if lateral else ["L", "F"])
        assert "PixelSpacing" not in image


def test_ap_is_told_from_pa(tmp_path):
    write_dicom(tmp_path, [make_entry(tmp_path, "c1", "twin", "ap_2", 0)])
    image = pydicom.dcmread(tmp_path / "dicom/c1_twin_ap_2.dcm")
    assert (image.ViewPosition, image.ViewCodeSequence[0].CodeMeaning) == ("AP", "antero-posterior")
    assert list(image.PatientOrientation) == ["L", "F"]


def test_cases_of_one_patient_are_studies_of_one_patient(tmp_path):
    entries = [make_entry(tmp_path, case, "twin", "pa", seed) for seed, case in enumerate(("c1", "c2", "c3"))]
    known = Source("an id that stays at home")
    write_dicom(tmp_path, [replace(entry, source=known) for entry in entries[:2]] + entries[2:])
    images = [pydicom.dcmread(tmp_path / f"dicom/{case}_twin_pa.dcm") for case in ("c1", "c2", "c3")]
    assert [image.PatientID for image in images] == ["DRRX-c1", "DRRX-c1", "DRRX-c3"]
    assert len({image.StudyInstanceUID for image in images}) == 3
    assert "stays at home" not in str(images)


def test_every_file_says_that_it_is_synthetic(run, images):
    for image in (*images.values(), *(pydicom.dcmread(run[0] / name) for name in run[2] if "_seg" in name)):
        assert image.SyntheticData == "YES"
        assert image.PatientID.startswith("DRRX-")
        assert "SYNTHETIC" in str(image.PatientName)
        assert "SYNTHETIC" in image.SeriesDescription
        assert "synthetic" in image.Manufacturer
    image = images["c1_v1_pa"]
    assert list(image.ImageType) == ["DERIVED", "SECONDARY"]
    assert "not for diagnosis" in image.ImageComments
    assert drrx.__version__ in image.DerivationDescription
    assert FACTS["restoration"]["weights_sha256"] in image.DerivationDescription
    assert image.KVP == 120


def test_uids_tie_cases_views_and_pairs_together(images):
    def names(keyword, image_ids):
        return {images[image_id][keyword].value for image_id in image_ids}

    variants = ("twin", "v1", "s1", "removed")
    for case, other in (("c1", "c2"), ("c2", "c1")):
        mine = [image_id for image_id in images if image_id.startswith(case)]
        theirs = [image_id for image_id in images if image_id.startswith(other)]
        for keyword in ("StudyInstanceUID", "PatientID"):
            assert len(names(keyword, mine)) == 1
            assert not names(keyword, mine) & names(keyword, theirs)
        for view in ("pa", "lateral_1"):
            pair = [f"{case}_{variant}_{view}" for variant in variants]
            assert len(names("FrameOfReferenceUID", pair)) == 1
            assert len(names("SeriesInstanceUID", pair)) == len(names("SeriesNumber", pair)) == 4
    everything = list(images)
    assert len(names("FrameOfReferenceUID", everything)) == 4
    assert len(names("SeriesInstanceUID", everything)) == len(names("SOPInstanceUID", everything)) == 16


def test_uids_are_valid_and_depend_on_names_only():
    assert make_uid("a", "b") == make_uid("a", "b")
    assert len({make_uid("a", "b"), make_uid("ab"), make_uid("b", "a")}) == 3
    for number in range(200):
        uid = pydicom.uid.UID(make_uid(str(number)))
        assert uid.is_valid
        bits = f"{int(uid.split('.')[2]):0128b}"
        assert (bits[48:52], bits[64:66]) == ("1000", "10")  # RFC 9562: version 8 of the common variant


def test_another_image_has_another_uid(run, images, tmp_path):
    facts = {**FACTS, "restoration": {**FACTS["restoration"], "weights_sha256": "cd" * 32}}
    write_dicom(tmp_path, make_entries(tmp_path, cases=("c1",), facts=facts))
    other = pydicom.dcmread(tmp_path / "dicom/c1_v1_pa.dcm")
    same = images["c1_v1_pa"]
    assert other.SOPInstanceUID != same.SOPInstanceUID
    assert other.StudyInstanceUID == same.StudyInstanceUID
    (tmp_path / "b").mkdir()
    twin = make_entry(tmp_path / "b", "c1", "twin", "pa", seed=99)
    write_dicom(tmp_path, [twin])
    patient = pydicom.dcmread(tmp_path / "dicom/c1_twin_pa.dcm")
    assert patient.PatientID == same.PatientID
    assert patient.StudyInstanceUID != same.StudyInstanceUID  # another CT that bears the same name


def test_same_entries_same_bytes(run, tmp_path):
    write_dicom(tmp_path, list(run[1].values()), segments=True)
    for name in run[2]:
        assert (tmp_path / name).read_bytes() == (run[0] / name).read_bytes(), name


def test_no_date_time_host_or_free_text(run):
    """Whatever is not in this list cannot have come from a patient's CT."""
    for name in run[2]:
        for element in pydicom.dcmread(run[0] / name).iterall():
            if element.VR in ("DA", "TM", "DT", "AS"):
                assert element.value in ("19000101", "000000", ""), element
            assert element.keyword not in ("InstitutionName", "StationName", "OperatorsName", "DeviceUID"), element
            assert not element.tag.is_private, element
            assert str(run[1]["c1_v1_pa"].cxr.parent) not in str(element.value)


def test_long_names_are_cut_to_what_dicom_allows(tmp_path):
    name, other = "x" * 64, "x" * 63 + "y"
    write_dicom(tmp_path, [make_entry(tmp_path, name, "twin", "pa", 0)])
    image = pydicom.dcmread(tmp_path / f"dicom/{name}_twin_pa.dcm")
    assert len(image.PatientID) <= 64
    assert len(str(image.PatientName)) <= 64
    assert Study(name, "", "").patient_id != Study(other, "", "").patient_id


def test_monoenergetic_beam_has_no_kvp(tmp_path):
    facts = {"radiograph": {"physics": {"beam": "monoenergetic"}}}
    write_dicom(tmp_path, [make_entry(tmp_path, "c1", "twin", "pa", 0, facts)])
    assert pydicom.dcmread(tmp_path / "dicom/c1_twin_pa.dcm").KVP is None


def test_highdicom_reads_the_segments_back(run, images):
    highdicom = pytest.importorskip("highdicom")
    for image_id, entry in run[1].items():
        nodules = entry.annotation.nodules
        if not nodules:
            continue
        segments = highdicom.seg.segread(run[0] / f"dicom/{image_id}_seg.dcm")
        assert list(segments.segment_numbers) == list(range(1, len(nodules) + 1))
        masks = segments.get_pixels_by_source_instance([images[image_id].SOPInstanceUID])
        for number, nodule in enumerate(nodules):
            np.testing.assert_array_equal(masks[0, :, :, number], decode_mask(nodule.mask))
            description = segments.get_segment_description(number + 1)
            assert description.segment_label.startswith(nodule.nodule.nodule_id)
            assert description.segmented_property_type.meaning == "Nodule"
        assert segments.StudyInstanceUID == images[image_id].StudyInstanceUID
        assert segments.FrameOfReferenceUID == images[image_id].FrameOfReferenceUID
    overlap = highdicom.seg.segread(run[0] / "dicom/c1_v1_pa_seg.dcm")
    assert overlap.SegmentsOverlap == "YES"


def test_a_nodule_is_tracked_over_views_and_a_real_one_over_variants(run):
    highdicom = pytest.importorskip("highdicom")

    def track(image_id):
        segments = highdicom.seg.segread(run[0] / f"dicom/{image_id}_seg.dcm")
        return {item.SegmentLabel.split()[0]: item.TrackingUID for item in segments.SegmentSequence}

    assert track("c1_v1_pa") == track("c1_v1_lateral_1")
    assert track("c1_v1_pa")["r1"] == track("c1_twin_pa")["r1"] == track("c1_s1_pa")["r1"]
    assert len({*track("c1_v1_pa").values(), *track("c2_v1_pa").values()}) == 6


def test_segments_without_highdicom_are_refused_with_the_remedy(tmp_path, monkeypatch):
    entries = make_entries(tmp_path, cases=("c1",), views=("pa",))
    monkeypatch.delitem(sys.modules, "highdicom", raising=False)
    plain_import = builtins.__import__

    def without_highdicom(name, *args, **more):
        if name.split(".")[0] == "highdicom":
            raise ImportError(name)
        return plain_import(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without_highdicom)
    monkeypatch.setattr("importlib.import_module", without_highdicom)
    with pytest.raises(DrrxError, match=r"highdicom is not installed; needed .* pip install 'drrx\[seg\]'"):
        write_dicom(tmp_path, entries, segments=True)
    assert not list(tmp_path.rglob("*.dcm"))
    assert len(write_dicom(tmp_path, entries)) == 4


def test_a_data_set_has_them_on_request_only(tmp_path):
    write_run(tmp_path)
    folder = tmp_path / "dataset"
    for setting, expected in (("dx+seg", {"image", "seg"}), ("dx", {"image"}), ("none", set())):
        collect(tmp_path, settings=CollectDatasetSettings(preview_px=64, dicom=setting))
        listed = read_files(folder / "files.tsv")
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm")}
        assert found == {name for name in listed if name.endswith(".dcm")}
        assert {"seg" if name.endswith("_seg.dcm") else "image" for name in found} == expected
        distribution = json.loads((folder / "croissant.json").read_text())["distribution"]
        assert ("dicom-files" in {item["@id"] for item in distribution}) == bool(expected)
    assert {"data_card.md", "data_card.png", "croissant.json"} <= set(listed)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian dicom3tools) is not installed")
def test_dciodvfy_complains_of_synthetic_data_only(run):
    for name in run[2]:
        lines, kind = verify(run[0] / name)
        complaints = [line for line in lines if not NOT_KNOWN_YET.match(line)]
        assert complaints == ["Segmentation" if "_seg" in name else "DXImageForPresentation"], name
        assert len(lines) > len(complaints), kind


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian dicom3tools) is not installed")
def test_dciodvfy_would_complain_of_a_defect(run, tmp_path):
    image = pydicom.dcmread(run[0] / "dicom/c1_v1_pa.dcm")
    del image.ImagerPixelSpacing
    image.save_as(tmp_path / "broken.dcm")
    assert any("ImagerPixelSpacing" in line for line in verify(tmp_path / "broken.dcm")[0])


def verify(path: Path):
    """Lines that dciodvfy prints, and its exit status."""
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, timeout=30, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()], done.returncode
