"""Libraries of real nodules: read, cut free, turned, scaled, put into another CT."""

import csv
import dataclasses
import json
from math import cos, pi, radians

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from drrx.config import load_config, stage_settings
from drrx.errors import DrrxError
from drrx.geometry import View
from drrx.io.nodule_library import read_library
from drrx.io.nodule_library_index import sign_library
from drrx.nodule.composite import Targets, composite
from drrx.nodule.nodule_library import cut_free, make_library
from drrx.nodule.patch import insert_nodules
from drrx.nodule.sample import render_nodule, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.nodule.shape import FWHM_PER_SIGMA
from drrx.nodule.transplant import TransplantForm, draw_transplant, turn_about
from drrx.projector.project import project_volume
from drrx.records.nodule import Nodule
from drrx.records.nodule_library import LibraryPatch
from drrx.records.nodule_shape import Transplant
from drrx.records.patch import NodulePatch
from drrx.stages.registry import load_stage
from drrx.volume import Volume
from tests.chests import make_case

LUNG_HU, SIZE = -850.0, 44
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
LAS_FROM_INDEX = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI axes to the right and front: inside drrx +x and +y


def draw_ball(diameter_mm, offset=(0.0, 0.0, 0.0), sigma=0.6):
    """Share of 1 mm voxels that a ball covers, blurred; drawn at 0.2 mm."""
    fine = (np.arange(SIZE * 5) + 0.5) / 5 - 0.5 - (SIZE - 1) / 2
    z, y, x = np.meshgrid(*(fine - o for o in offset), indexing="ij", sparse=True)
    ball = (z * z + y * y + x * x < diameter_mm**2 / 4).astype(np.float32)
    return gaussian_filter(ball.reshape(SIZE, 5, SIZE, 5, SIZE, 5).mean(axis=(1, 3, 5)), sigma)


def draw_patch(diameter_mm=12.0, hu=30.0, threshold=0.5, noise_hu=0.0):
    """A solid ball in even lung, and the mask that a reader or an algorithm would draw."""
    share = draw_ball(diameter_mm)
    values = LUNG_HU + share * (hu - LUNG_HU) + np.random.default_rng(1).normal(0, noise_hu, share.shape)
    return np.rint(values).astype(np.int16), share > threshold


def to_patch(values, mask, spacing=(1.0, 1.0, 1.0), name="n1"):
    return LibraryPatch(name, Volume.from_spacing(values, spacing), mask, "0" * 64)


def write_library(folder, patches, affine=LAS_FROM_INDEX, header=("id",)):
    """Write patches (id -> values, mask) as a library with any orientation."""
    folder.mkdir(exist_ok=True)
    for name, (values, mask) in patches.items():
        for suffix, data in (("", values), ("_seg", mask.astype(np.uint8))):
            nib.save(nib.Nifti1Image(data.T, affine), folder / f"{name}{suffix}.nii.gz")
    with (folder / "index.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *([name] * len(header) for name in patches)])
    return folder


def make_form(nodule, rotation=IDENTITY, scale=1.0):
    return TransplantForm(nodule, Transplant(nodule.real_nodule_id, nodule.sha256, rotation, scale))


def add_to_lung(nodule, rendered, hu_lung=LUNG_HU):
    """HU that a rendered nodule adds to even lung."""
    lung = np.full(rendered.occupancy.shape, hu_lung, np.float32)
    return composite(lung, rendered, nodule.kind, Targets(nodule.hu_body), hu_lung) - lung


def centroid(values):
    """Centroid (z, y, x) in voxels."""
    return np.array([(values.sum(axis=tuple({0, 1, 2} - {i})) * np.arange(n)).sum() for i, n in enumerate(values.shape)]
                    ) / values.sum()  # fmt: skip


@pytest.fixture(scope="module")
def small_library():
    """Two solid balls, a ground-glass one and a calcified one."""
    drawn = {"a": (8.0, 30), "b": (11.0, 20), "glass": (10.0, -650), "stone": (9.0, 600)}
    return make_library([to_patch(*draw_patch(d, hu), name=name) for name, (d, hu) in drawn.items()])


# Reading


def test_reads_a_library_that_has_only_ids(tmp_path):
    values, mask = draw_patch()
    (patch,) = read_library(write_library(tmp_path / "lib", {"x1": (values, mask)}))
    assert (patch.real_nodule_id, patch.ct.spacing_mm) == ("x1", (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(patch.ct.values, values)
    np.testing.assert_array_equal(patch.mask, mask)


def test_any_orientation_gives_the_same_nodule(tmp_path):
    values, mask = draw_patch()
    values = values + np.arange(SIZE, dtype=np.int16)  # tells left from right
    folder = write_library(tmp_path / "a", {"x": (values, mask)})
    (one,) = read_library(folder)
    axes = nib.orientations.axcodes2ornt("AIR")
    for path in folder.glob("*.nii.gz"):
        image = nib.load(path)
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), axes)
        nib.save(image.as_reoriented(turn), path)
    (other,) = read_library(folder)
    assert one.sha256 != other.sha256
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.ct.values, other.ct.values)


def test_the_signature_changes_with_any_file_and_with_nothing_else(tmp_path):
    folder = write_library(tmp_path / "lib", {"x": draw_patch()})
    before = sign_library(folder)
    (folder / "notes.txt").write_text("not part of it")
    assert sign_library(folder) == before
    write_library(folder, {"x": draw_patch(threshold=0.4)})
    assert sign_library(folder) != before
    (folder / "index.csv").write_text("id,diameter\nx,12\n")
    assert len({before, sign_library(folder)}) == 2


def test_the_stage_is_done_again_when_the_library_changes(tmp_path):
    from types import SimpleNamespace

    folder = write_library(tmp_path / "lib", {"x": draw_patch()})
    settings = json.loads(
        stage_settings(load_config({"sample_nodules": {"nodule_library": str(folder)}}), "sample_nodules")
    )
    stage = load_stage("sample_nodules")
    assert stage.depends(SimpleNamespace(settings=settings)) == sign_library(folder)
    assert stage.depends(SimpleNamespace(settings=settings | {"nodule_library": ""})) == ""


def break_missing(folder):
    (folder / "x_seg.nii.gz").unlink()


def break_bytes(folder):
    (folder / "x.nii.gz").write_bytes(b"no gzip at all")


def break_grid(folder):
    affine = LAS_FROM_INDEX.copy()
    affine[:3, 3] = 5
    nib.save(nib.Nifti1Image(draw_patch()[1].astype(np.uint8).T, affine), folder / "x_seg.nii.gz")


def break_spacing(folder):
    path = folder / "x.nii.gz"
    image = nib.load(path)
    image.header.set_sform(np.diag([-1.0, -1.0, 0.0, 1.0]), code=1)
    image.header["qform_code"] = 0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)


def break_askew(folder):
    c, s = cos(0.3), np.sin(0.3)
    affine = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_library(folder, {"x": draw_patch()}, affine)


def break_with_mask(change):
    def change_mask(folder):
        values, mask = draw_patch()
        change(mask)
        write_library(folder, {"x": (values, mask)})

    return change_mask


def break_numbers(folder):
    values, mask = draw_patch()
    values = values.astype(np.float32)
    values[0, 0, 0] = np.nan
    write_library(folder, {"x": (values, mask)})


def break_index(text):
    return lambda folder: (folder / "index.csv").write_text(text)


def fill_all(mask):
    mask[:] = False


def add_part(mask):
    mask[3, 3, 3] = True


def reach_border(mask):
    mask[SIZE // 2, SIZE // 2, : SIZE // 2] = True


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (break_missing, r"x_seg\.nii\.gz: found no such file; needed the files x\.nii\.gz and x_seg\.nii\.gz"),
        (break_bytes, r"x\.nii\.gz: found .*Mend the file, or take its line out"),
        (break_grid, r"x_seg\.nii\.gz: found another grid .*same size, spacing and place"),
        (break_spacing, r"x\.nii\.gz: found .*spacing above zero"),
        (break_askew, r"x\.nii\.gz: found axes that lie askew"),
        (break_numbers, r"x\.nii\.gz: found voxels that are not a number"),
        (break_with_mask(fill_all), r"x_seg\.nii\.gz: found an empty mask; needed one nodule in one piece"),
        (break_with_mask(add_part), r"x_seg\.nii\.gz: found 2 separate parts"),
        (break_with_mask(reach_border), r"x_seg\.nii\.gz: found a mask that touches the border"),
        (lambda folder: (folder / "index.csv").unlink(), r"index\.csv: found no such file.*Name the folder"),
        (break_index("name\nx\n"), r"index\.csv: found row 2 without an id; needed an id in every row"),
        (break_index("id\n"), r"index\.csv: found no rows"),
        (break_index("id\nx\nx\n"), r"index\.csv: found id 'x'; needed ids that come once"),
        (break_index("id\n../x\n"), r"index\.csv: found id '\.\./x'.*plain file names"),
    ],
)
def test_a_library_that_is_not_whole_is_refused_with_its_reason(tmp_path, damage, text):
    folder = write_library(tmp_path / "lib", {"x": draw_patch()})
    damage(folder)
    with pytest.raises(DrrxError, match=text):
        read_library(folder)


# Cutting free


@pytest.mark.parametrize("diameter_mm", [6.0, 12.0, 20.0])
@pytest.mark.parametrize("threshold", [0.5, 0.05])
def test_tight_and_generous_masks_give_the_same_nodule(diameter_mm, threshold):
    nodule = cut_free(to_patch(*draw_patch(diameter_mm, threshold=threshold, noise_hu=15)))
    assert nodule.diameter_mm == pytest.approx(diameter_mm, rel=0.03)
    mass = (nodule.share * (nodule.tissue_hu - nodule.hu_lung)).sum()
    assert mass == pytest.approx(pi / 6 * diameter_mm**3 * (30 - LUNG_HU), rel=0.06)
    assert nodule.hu_lung == pytest.approx(LUNG_HU, abs=3)
    assert nodule.kind == "solid"


def test_pleura_and_vessels_around_stay_behind():
    """A chest wall that the mask nearly touches and a vessel that runs into the nodule change its mass by little."""
    values, mask = draw_patch(12.0)
    clean = cut_free(to_patch(values, mask))
    values = values.astype(float)
    values[:, :, 30:] = 40
    values[20:23, 20:23, :16] = np.maximum(values[20:23, 20:23, :16], 0)
    near = cut_free(to_patch(values.astype(np.int16), mask))
    assert near.hu_lung == pytest.approx(clean.hu_lung, abs=3)
    assert near.diameter_mm == pytest.approx(clean.diameter_mm, rel=0.02)
    assert near.free_share < clean.free_share == 1.0


def test_a_mask_that_reaches_through_lung_to_the_pleura_gives_the_nodule_alone():
    values, mask = draw_patch(9.0)
    clean = cut_free(to_patch(values, mask))
    values, mask = values.copy(), draw_ball(11.0) > 0.5
    values[:, :, 30:] = 40  # 4 mm of lung lie between
    mask[19:25, 19:25, 22:32] = True
    assert (values[mask] == 40).sum() > 50
    assert cut_free(to_patch(values, mask)).diameter_mm == pytest.approx(clean.diameter_mm, rel=0.05)


def test_the_air_of_a_cavity_belongs_to_the_nodule_and_stays_air():
    whole, hollow = draw_ball(16.0), draw_ball(8.0)
    values = np.rint(LUNG_HU + whole * 880 - hollow * 900).astype(np.int16)
    nodule = cut_free(to_patch(values, whole > 0.5))
    assert nodule.diameter_mm == pytest.approx(16.0, rel=0.02)
    rendered = make_form(nodule).render(0.35, (0.0, 0.0, 0.0))
    middle = tuple(rendered.center_index)
    assert rendered.occupancy[middle] == pytest.approx(1.0, abs=0.02)
    assert add_to_lung(nodule, rendered)[middle] == pytest.approx(0.0, abs=20)


def test_a_patch_without_lung_is_refused():
    values, mask = draw_patch()
    with pytest.raises(DrrxError, match=r"library nodule n1: found 0 voxels below -500 HU .*leave this nodule out"):
        cut_free(to_patch(np.maximum(values, -100), mask))


@pytest.mark.parametrize(("hu", "kind"), [(-620, "ground_glass"), (20, "solid"), (500, "calcified")])
def test_types_follow_from_hu(hu, kind):
    assert cut_free(to_patch(*draw_patch(12.0, hu))).kind == kind


def test_glass_with_a_core_is_part_solid_and_its_core_is_measured():
    core, glass = draw_ball(8.0), draw_ball(14.0)
    values = LUNG_HU + glass * (-600 - LUNG_HU) + core * 600
    nodule = cut_free(to_patch(np.rint(values).astype(np.int16), glass > 0.5))
    assert nodule.kind == "part_solid"
    rendered = make_form(nodule).render(0.35, (0.0, 0.0, 0.0))
    volume = float(rendered.inclusion.sum()) * 0.35**3
    assert (6 * volume / pi) ** (1 / 3) == pytest.approx(8.0, rel=0.05)


def test_margins_follow_from_the_shape():
    assert cut_free(to_patch(*draw_patch(12.0))).margin == "smooth"
    two = np.maximum(draw_ball(9.0, (0, 0, -4)), draw_ball(9.0, (0, 0, 4)))
    star = draw_ball(7.0)
    for axis in range(3):
        arm = [slice(20, 24)] * 3
        arm[axis] = slice(12, 32)
        star[tuple(arm)] = 1
    found = [cut_free(to_patch(np.rint(LUNG_HU + s * 880).astype(np.int16), s > 0.5)).margin for s in (two, star)]
    assert found == ["lobulated", "spiculated"]


# Transplanting


def to_nodule_patch(rendered, delta, center_mm):
    lung = np.full(delta.shape, LUNG_HU, np.float32)
    return NodulePatch(rendered.occupancy, lung, lung + delta, rendered.place(center_mm))


@pytest.mark.parametrize("name", ["solid", "glass", "uneven"])
def test_back_in_its_place_it_gives_its_own_hu_back(name):
    """Same scale, not turned, not blurred: the CT inside the mask is that of the patch, and so is the mass."""
    values, mask = draw_patch(14.0, {"solid": 30.0, "glass": -600.0, "uneven": 0.0}[name])
    if name == "uneven":
        values = np.rint(values + 120 * draw_ball(5.0, (2.0, -1.0, 1.0))).astype(np.int16)
    patch = to_patch(values, mask)
    nodule = cut_free(patch)
    rendered = make_form(nodule).render(0.25, (0.0, 0.0, 0.0))
    lung = patch.ct.with_values(np.full(values.shape, LUNG_HU, np.int16))
    middle = patch.ct.center_world_mm
    delta = add_to_lung(nodule, rendered)
    again = insert_nodules(lung, [to_nodule_patch(rendered, delta, middle)])
    added, own = (v.astype(float)[mask] - LUNG_HU for v in (again.values, values))
    assert added.sum() == pytest.approx(own.sum(), rel=0.03)
    assert np.abs(added - own).mean() < 0.05 * own.max()
    assert delta.sum() * 0.25**3 == pytest.approx((values - LUNG_HU).sum(), rel=0.05)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
def test_the_volume_grows_with_the_cube_of_the_scale(scale, small_library):
    for nodule in small_library:
        rendered = make_form(nodule, scale=scale).render(0.25, (0.0, 0.0, 0.0))
        assert rendered.volume_mm3 == pytest.approx(pi / 6 * (scale * nodule.diameter_mm) ** 3, rel=0.02)


def test_a_quarter_turn_moves_what_lies_to_the_left_to_the_back():
    """LPS, about the head axis: +x (left) becomes +y (back), +y becomes -x."""
    body, spot = draw_ball(14.0), draw_ball(4.0, (1.0, 2.0, 4.0))  # z, y, x
    nodule = cut_free(to_patch(np.rint(LUNG_HU + body * 850 + spot * 500).astype(np.int16), body > 0.5))
    turned = turn_about(np.array([0.0, 0.0, 1.0]), pi / 2)
    found = []
    for rotation in (np.eye(3), turned):
        rendered = make_form(nodule, tuple(map(tuple, rotation))).render(0.25, (0.0, 0.0, 0.0))
        bright = np.maximum(rendered.deviation_hu - 100, 0) * rendered.occupancy
        found.append((centroid(bright) - rendered.center_index)[::-1] * 0.25)  # x, y, z
    (x, y, z), after = found
    assert (x, y, z) == pytest.approx((4.0, 2.0, 1.0), abs=0.5)
    np.testing.assert_allclose(after, (-y, x, z), atol=0.05)


def test_the_path_map_sums_up_to_the_volume(small_library):
    rendered = make_form(small_library[1], scale=1.1).render(0.35, (2.0, 1.4, 1.4))
    far, step = 1e6, 0.5  # so far away that rays are parallel
    view = View(np.array([0, far, 0]), np.array([-20.0, -30.0, 20.0]), np.array([step, 0, 0]), np.array([0, 0, -step]),
                (81, 81), "pa")  # fmt: skip
    path = project_volume(Volume(rendered.occupancy, rendered.place(np.zeros(3))), view)
    assert float(path.sum(dtype=np.float64)) * step**2 == pytest.approx(rendered.volume_mm3, rel=0.01)


def test_a_broader_scan_blurs_further_and_a_sharper_one_does_not(small_library):
    """The variance along z grows by what the scan has more than the patch; the mass stays."""
    nodule = small_library[1]
    plain, sharp, broad = (make_form(nodule).render(0.25, (fwhm, 0.5, 0.5)) for fwhm in (0.0, 1.2, 4.0))
    np.testing.assert_array_equal(plain.occupancy, sharp.occupancy)

    def variance(rendered):
        weight = rendered.occupancy.sum(axis=(1, 2), dtype=np.float64)
        z = np.arange(len(weight)) * 0.25
        return float((weight * z**2).sum() / weight.sum() - ((weight * z).sum() / weight.sum()) ** 2)

    more = (4.0**2 - 1.6**2) / FWHM_PER_SIGMA**2
    assert variance(broad) - variance(plain) == pytest.approx(more, rel=0.1)
    mass = [float(add_to_lung(nodule, r).sum()) for r in (plain, broad)]
    assert mass[1] == pytest.approx(mass[0], rel=0.02)


def test_nothing_gets_darker(small_library):
    """Vessels and bone under a transplanted nodule stay as bright as they were, whatever its type."""
    before = np.random.default_rng(2).choice([-950, -850, 50, 900], (60, 60, 60)).astype(np.float32)
    for nodule in small_library:
        rendered = make_form(nodule).render(0.35, (0.0, 0.0, 0.0))
        part = before[tuple(slice(0, n) for n in rendered.occupancy.shape)]
        assert (composite(part, rendered, nodule.kind, Targets(nodule.hu_body), LUNG_HU) >= part).all()


# Drawing


def test_scale_tilt_and_diameter_stay_within_their_limits(small_library):
    settings = SampleNodulesSettings(transplant_tilt_deg=10.0, transplant_scale_min=0.9, transplant_scale_max=1.1)
    by_name = {nodule.real_nodule_id: nodule for nodule in small_library}
    turns = []
    for seed in range(60):
        draft = draw_transplant(np.random.default_rng(seed), small_library, settings, 7.5, 12.0)
        record = draft.form.transplant
        assert 7.5 <= draft.diameter_mm <= 12.0
        assert 0.9 <= record.scale <= 1.1
        assert draft.diameter_mm == pytest.approx(record.scale * by_name[record.real_nodule_id].diameter_mm)
        rotation = np.array(record.rotation)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        assert rotation[2, 2] >= cos(radians(10.0)) - 1e-12
        turns.append(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))
    assert np.ptp(turns) > 270  # any angle about the head axis


def test_types_come_as_the_preset_asks_and_a_chosen_type_alone(small_library):
    def kinds(settings, count):
        draws = (
            draw_transplant(np.random.default_rng(seed), small_library, settings, 8.0, 10.0) for seed in range(count)
        )
        return [draft.kind for draft in draws]

    solid = kinds(SampleNodulesSettings(transplant_scale_min=0.6, transplant_scale_max=1.6), 400).count("solid")
    assert solid / 400 == pytest.approx(0.70 / 0.88, abs=0.07)  # the library has no part-solid one
    assert set(kinds(SampleNodulesSettings(kind="calcified"), 5)) == {"calcified"}


def test_a_library_without_a_fitting_nodule_is_told(small_library):
    with pytest.raises(DrrxError, match=r"found 4 nodules, 2 of type solid and margin mix, 2 of them free .*20\.0 to"):
        draw_transplant(np.random.default_rng(0), small_library, SampleNodulesSettings(kind="solid"), 20.0, 25.0)
    stuck = [dataclasses.replace(nodule, free_share=0.5) for nodule in small_library]
    with pytest.raises(DrrxError, match="0 of them free of the pleura"):
        draw_transplant(np.random.default_rng(0), stuck, SampleNodulesSettings(), 8.0, 12.0)


# In a CT


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture(scope="module")
def transplanted(case, small_library):
    settings = SampleNodulesSettings(transplant_share=1.0, diameter_min_mm=7.0, diameter_max_mm=12.0, num_nodules=2)
    return sample_nodules(*case, settings, 4, library=small_library)


def test_record_and_patch_of_a_transplanted_nodule(transplanted):
    for nodule, patch in zip(transplanted.nodules, transplanted.patches, strict=True):
        assert (nodule.origin, nodule.shape) == ("transplanted", None)
        assert patch.volume_mm3 == pytest.approx(pi / 6 * nodule.diameter_mm**3, rel=0.02)
        assert nodule.measures.centroid_world_mm == pytest.approx(nodule.center_world_mm, abs=0.5)
        assert (patch.delta_hu >= 0).all()


def test_it_is_rendered_again_bit_by_bit_from_its_record_and_the_library(case, small_library, transplanted):
    for nodule, patch in zip(transplanted.nodules, transplanted.patches, strict=True):
        again = Nodule.from_json(json.loads(json.dumps(nodule.to_json())))
        assert again == nodule
        rendered = render_nodule(again, *case, small_library)
        np.testing.assert_array_equal(rendered.hu_after, patch.hu_after)
        np.testing.assert_array_equal(rendered.occupancy, patch.occupancy)


def test_a_transplanted_nodule_is_cut_at_the_pleura_and_rendered_again(case, small_library):
    settings = SampleNodulesSettings(
        transplant_share=1.0, juxtapleural_share=1.0, diameter_min_mm=8.0, diameter_max_mm=12.0
    )  # fmt: skip
    sample = sample_nodules(*case, settings, 2, library=small_library)
    nodule, patch = sample.nodules[0], sample.patches[0]
    assert nodule.attachment == "juxtapleural"
    assert patch.volume_mm3 == pytest.approx(pi / 6 * nodule.diameter_mm**3, rel=0.02)
    np.testing.assert_array_equal(render_nodule(nodule, *case, small_library).hu_after, patch.hu_after)


def test_another_library_is_refused(case, small_library, transplanted):
    nodule = transplanted.nodules[0]
    with pytest.raises(
        DrrxError, match=r"nodule n1: found a library of 0 nodules without it; needed nodule \w+ with sha"
    ):
        render_nodule(nodule, *case)
    changed = [dataclasses.replace(entry, sha256="f" * 64) for entry in small_library]
    with pytest.raises(DrrxError, match=r"found other files of that name.*library that this nodule was taken from"):
        render_nodule(nodule, *case, changed)


def test_without_a_share_the_library_changes_nothing(case, small_library):
    quick = {"preset": "screening", "diameter_max_mm": 10.0}
    with_it = sample_nodules(*case, SampleNodulesSettings(transplant_share=0.0, **quick), 3, library=small_library)
    without = sample_nodules(*case, SampleNodulesSettings(**quick), 3)
    assert [n.to_json() for n in with_it.nodules] == [n.to_json() for n in without.nodules]
