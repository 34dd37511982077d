"""The ground floor: volumes, views, seeds, settings, whole files, images."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from drrx.cli.main import find_commands, main
from drrx.errors import DrrxError
from drrx.geometry import View, make_standard_view
from drrx.io.arrays import read_arrays, write_arrays
from drrx.io.files import read_json, write_json, write_text, write_whole
from drrx.io.image import read_image, write_image
from drrx.projector.settings import ProjectCtSettings
from drrx.seeds import make_rng, make_seed
from drrx.settings import make_settings
from drrx.volume import Volume


def test_index_and_world_are_inverse():
    affine = np.array([[0.1, 0.0, 0.7, 5], [0.0, 0.8, 0.05, -3], [2.5, 0.1, 0.0, 7], [0, 0, 0, 1]])
    volume = Volume(np.zeros((4, 5, 6), np.int16), affine)
    index = np.random.default_rng(0).random((10, 3)) * 5
    np.testing.assert_allclose(volume.to_index(volume.to_world(index)), index, atol=1e-12)


def test_spacing_is_slice_row_column():
    volume = Volume.from_spacing(np.zeros((4, 5, 6)), (2.5, 0.8, 0.7), (1.0, 2.0, 3.0))
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.8, 0.7))
    np.testing.assert_allclose(volume.to_world(np.array([1, 2, 3])), (1 + 3 * 0.7, 2 + 2 * 0.8, 3 + 2.5))
    assert volume.voxel_volume_mm3 == pytest.approx(2.5 * 0.8 * 0.7)


@pytest.mark.parametrize(("shape", "text"), [((4, 5), "three axes"), ((0, 4, 5), "none empty")])
def test_volume_refuses_a_wrong_shape(shape, text):
    with pytest.raises(DrrxError, match=text):
        Volume(np.zeros(shape), np.eye(4))


def test_volume_refuses_a_singular_affine():
    with pytest.raises(DrrxError, match="invertible"):
        Volume(np.zeros((2, 2, 2)), np.zeros((4, 4)))


@pytest.mark.parametrize("projection", ["pa", "ap"])
def test_pixels_project_onto_themselves(projection):
    view = make_standard_view(np.array([3.0, -5.0, 100.0]), projection=projection, size_px=64)
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    pixels = view.pixel_world_mm(rows, columns)
    halfway = view.source_world_mm + 0.6 * (pixels - view.source_world_mm)
    np.testing.assert_allclose(view.project_points(halfway), np.stack([rows, columns], -1), atol=1e-9)
    assert view.source_to_detector_mm == pytest.approx(1800)
    assert view.magnification(np.array([3.0, -5.0, 100.0])) == pytest.approx(1800 / 1600)


def test_pa_and_ap_look_at_the_patient_alike():
    left_high = np.array([50.0, 0.0, 80.0])  # patient's left, towards the head
    for projection in ("pa", "ap"):
        row, column = make_standard_view(np.zeros(3), projection=projection, size_px=100).project_points(left_high)
        assert row < 49.5 < column
    assert make_standard_view(np.zeros(3), projection="pa").source_world_mm[1] > 0  # behind the patient


def test_view_survives_json():
    view = make_standard_view(np.array([1.0, 2.0, 3.0]), size_px=17)
    again = View.from_json(json.loads(json.dumps(view.to_json())))
    assert again.to_json() == view.to_json()


def test_seeds_depend_on_names_only():
    assert make_seed(0, "a", "b") == make_seed(0, "a", "b")
    assert len({make_seed(0, "a", "b"), make_seed(1, "a", "b"), make_seed(0, "ab"), make_seed(0, "b", "a")}) == 4
    assert make_rng(5).random() == make_rng(5).random()


def test_settings_name_the_bad_value():
    with pytest.raises(DrrxError, match=r"config\.yaml size_px: found -3; needed Input should be greater"):
        make_settings(ProjectCtSettings, {"size_px": -3}, "config.yaml")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way():
        with write_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_json_refuses_nan_and_broken_files(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DrrxError, match=r"b\.json.*Delete it and run again"):
        read_json(tmp_path / "b.json")


def test_arrays_survive_and_damage_is_seen(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.arange(1000.0)})
    first = path.read_bytes()
    write_arrays(path, {"x": np.arange(1000.0)})
    assert path.read_bytes() == first
    np.testing.assert_array_equal(read_arrays(path)["x"], np.arange(1000.0))
    path.write_bytes(first[:-200])
    with pytest.raises(DrrxError, match=r"whole \.npz"):
        read_arrays(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_images_survive(tmp_path, bits):
    values = np.linspace(0, 1, 300).reshape(15, 20).astype(np.float32)
    write_image(tmp_path / "a.png", values, bits=bits)
    again = read_image(tmp_path / "a.png")
    assert again.dtype == np.float32
    np.testing.assert_allclose(again, values, atol=0.5 / (2**bits - 1) + 1e-7)


def test_color_and_broken_images_are_refused(tmp_path):
    color = np.zeros((8, 8, 3), np.uint8)
    color[..., 0] = 200
    Image.fromarray(color).save(tmp_path / "color.png")
    with pytest.raises(DrrxError, match=r"color\.png.*one gray channel"):
        read_image(tmp_path / "color.png")
    (tmp_path / "junk.png").write_bytes(b"junk")
    with pytest.raises(DrrxError, match="grayscale"):
        read_image(tmp_path / "junk.png")


def test_command_line_turns_errors_into_one_line(tmp_path, capsys):
    assert main(["project-ct", str(tmp_path / "no.nii.gz"), "--output", str(tmp_path / "o.npz")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no such file" in error
    assert not (tmp_path / "o.npz").exists()


@pytest.mark.parametrize("name", find_commands())
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name.replace("_", "-"), "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out.lower()
    assert f"drrx {name.replace('_', '-')} " in re.split("examples?:", text, maxsplit=1)[1]
