"""Canonical volumes: the same bytes for the same data, the same world in other readers, no half files."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from drrx.errors import CaseRefused, DrrxError
from drrx.io.nifti import read_volume, write_volume
from drrx.volume import Volume


@pytest.fixture
def volume():
    values = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    return Volume.from_spacing(values, (2.5, 0.75, 0.5), (-10.0, -20.0, -300.0))


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii"])
def test_round_trip_is_exact(tmp_path, volume, dtype, name):
    volume = Volume(volume.values.astype(dtype), volume.world_from_index)
    write_volume(tmp_path / name, volume)
    back = read_volume(tmp_path / name)
    assert back.values.dtype == dtype
    assert back.values.flags.writeable
    np.testing.assert_array_equal(back.values, volume.values)
    np.testing.assert_allclose(back.world_from_index, volume.world_from_index, rtol=1e-7)


def test_same_data_gives_same_bytes(tmp_path, volume):
    write_volume(tmp_path / "a.nii.gz", volume)
    write_volume(tmp_path / "b.nii.gz", volume.with_values(np.asfortranarray(volume.values)))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == bytes(4)  # no time stamp


def test_other_readers_see_the_same_world(tmp_path, volume):
    path = tmp_path / "ct.nii.gz"
    write_volume(path, volume)
    index = np.array([1, 2, 3])
    world = volume.to_world(index)
    itk = sitk.ReadImage(str(path))
    assert itk.TransformIndexToPhysicalPoint((3, 2, 1)) == pytest.approx(tuple(world), abs=1e-4)
    assert itk.GetPixel(3, 2, 1) == volume.values[1, 2, 3]
    image = nib.load(path)
    np.testing.assert_allclose(image.affine @ [3, 2, 1, 1], [-world[0], -world[1], world[2], 1], atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii"])
@pytest.mark.parametrize("keep", [0, 100, 350, -1])
def test_cut_file_is_refused(tmp_path, volume, name, keep):
    path = tmp_path / name
    write_volume(path, volume)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CaseRefused, match=name) as caught:
        read_volume(path)
    assert caught.value.code == "CORRUPT_FILE"


def test_flipped_bit_and_longer_file_are_refused(tmp_path, volume):
    path = tmp_path / "ct.nii.gz"
    write_volume(path, volume)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CaseRefused):
        read_volume(path)
    write_volume(tmp_path / "long.nii", volume)
    with (tmp_path / "long.nii").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(CaseRefused, match="more data than its header declares"):
        read_volume(tmp_path / "long.nii")


def test_only_canonical_volumes_pass(tmp_path, volume):
    flipped = volume.world_from_index.copy()
    flipped[1, 1] *= -1
    with pytest.raises(DrrxError, match="axis-aligned LPS"):
        write_volume(tmp_path / "ct.nii.gz", Volume(volume.values, flipped))
    with pytest.raises(DrrxError, match="float64"):
        write_volume(tmp_path / "ct.nii.gz", Volume(volume.values.astype(float), volume.world_from_index))
    with pytest.raises(DrrxError, match="suffix"):
        write_volume(tmp_path / "ct.mha", volume)
    assert list(tmp_path.iterdir()) == []
    nib.save(nib.Nifti1Image(volume.values, np.eye(4)), tmp_path / "ras.nii")
    with pytest.raises(DrrxError, match="axes RAS"):
        read_volume(tmp_path / "ras.nii")
    with pytest.raises(DrrxError, match="no such file"):
        read_volume(tmp_path / "none.nii.gz")
    (tmp_path / "junk.nii").write_bytes(gzip.compress(b"junk" * 200))
    with pytest.raises(DrrxError):
        read_volume(tmp_path / "junk.nii")
