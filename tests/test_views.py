"""Standard and jittered views: where things appear, what a motion does, and what a seed may change."""

import json
import re

import numpy as np
import pytest

from drrx.cli.main import main
from drrx.errors import CaseRefused, DrrxError
from drrx.geometry import PROJECTIONS, Pose, View, ViewName, make_standard_view
from drrx.io.arrays import read_arrays
from drrx.io.cohort import CohortRow
from drrx.io.files import read_json
from drrx.io.nifti import write_volume
from drrx.projector.jitter import draw_pose
from drrx.projector.project import project_volume
from drrx.projector.settings import ProjectCtSettings
from drrx.projector.window import check_clearance, make_view
from drrx.records.anatomy import Label
from drrx.seeds import make_seed
from drrx.stages import project_ct
from drrx.stages.batch import CaseJob
from drrx.stages.layout import CaseFolder
from drrx.volume import Volume

CENTER = np.array([12.0, -30.0, 140.0])
MARKERS_MM = {"left": (60.0, 10.0, 5.0), "back": (-10.0, 70.0, -5.0), "head": (5.0, -15.0, 80.0)}
PITCH_MM = 1.0
SETTINGS = ProjectCtSettings(size_px=384, detector_mm=384 * PITCH_MM)
ODD_POSE = Pose(
    rotation_deg=11, tilt_deg=-7, roll_deg=5, distance_mm=40, shift_column_mm=9, shift_row_mm=-6
)  # fmt: skip


def make_box(values=None) -> Volume:
    """Return a volume of 4 mm voxels around CENTER, and each marker of MARKERS_MM on a voxel."""
    values = np.zeros((51, 51, 51), np.float32) if values is None else values
    return Volume.from_spacing(values, (4.0, 4.0, 4.0), tuple(CENTER - 4.0 * 25))


def make_marked(name: str) -> tuple[Volume, np.ndarray]:
    """Return a volume with one bright voxel, and where that really is."""
    volume = make_box()
    index = np.round(volume.to_index(CENTER + MARKERS_MM[name])).astype(int)
    volume.values[tuple(index)] = 1.0
    return volume, volume.to_world(index)


def find_centroid(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape)
    return np.array([(image * rows).sum(), (image * columns).sum()]) / image.sum()


@pytest.mark.parametrize(
    ("projection", "left", "back", "head", "source"),
    [("pa", (0, 1), (0, 0), (-1, 0), (0, 1600, 0)), ("ap", (0, 1), (0, 0), (-1, 0), (0, -1600, 0)),
     ("lateral", (0, 0), (0, 1), (-1, 0), (-1600, 0, 0))],
)  # fmt: skip
def test_every_direction_of_the_patient_has_its_place(projection, left, back, head, source):
    view = make_standard_view(CENTER, projection=projection, size_px=201)
    np.testing.assert_allclose(view.project_points(CENTER), (100, 100))
    np.testing.assert_array_equal(view.source_world_mm, CENTER + source)
    for offset_mm, expected in ((np.array([50, 0, 0]), left), ([0, 50, 0], back), ([0, 0, 50], head)):
        row_column = view.project_points(CENTER + offset_mm)
        assert tuple(np.sign(np.round(row_column - 100, 6))) == expected


@pytest.mark.parametrize(("projection", "against_detector"), [("pa", -1), ("ap", 1), ("lateral", 1)])
def test_the_side_at_the_detector_is_magnified_least(projection, against_detector):
    axis = 0 if projection == "lateral" else 1
    view = make_standard_view(CENTER, projection=projection)
    step = 100 * np.eye(3)[axis] * against_detector
    assert view.magnification(CENTER + step) == pytest.approx(1800 / 1700)
    assert view.magnification(CENTER) == pytest.approx(1800 / 1600)
    assert view.magnification(CENTER - step) == pytest.approx(1800 / 1500)


@pytest.mark.parametrize("projection", ["pa", "lateral"])
def test_a_viewer_at_the_detector_sees_no_mirror_image(projection):
    view = make_standard_view(CENTER, projection=projection)
    towards_viewer = np.cross(view.column_step_world_mm, -view.row_step_world_mm)  # right x up
    assert towards_viewer @ (view.source_world_mm - view.pixel00_world_mm) < 0


@pytest.mark.parametrize("name", ["pa", "ap", "lateral", "pa_1", "lateral_2"])
def test_names_agree_with_dicom(name):
    view_name = ViewName.parse(name)
    assert str(view_name) == name
    assert view_name.view_position == {"pa": "PA", "ap": "AP", "lateral": "LL"}[view_name.projection]
    view = make_standard_view(CENTER, projection=view_name.projection)
    axis, sign = {"L": (0, 1), "P": (1, 1), "F": (2, -1)}, np.eye(3)
    steps = (view.column_step_world_mm, view.row_step_world_mm)
    for step, letter in zip(steps, view_name.patient_orientation, strict=True):
        index, direction = axis[letter]
        np.testing.assert_allclose(step, direction * sign[index] * np.linalg.norm(step))


@pytest.mark.parametrize("text", ["side", "PA", "pa_0", "pa_01", "pa_", "pa_1_2", "pa\n", ""])
def test_other_names_are_refused_with_a_list(text):
    with pytest.raises(DrrxError, match="needed pa, ap, lateral, or one of these with a number, such as pa_1"):
        ViewName.parse(text)


@pytest.mark.parametrize("marker", MARKERS_MM)
@pytest.mark.parametrize("pose", [Pose(), ODD_POSE])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_markers_are_projected_where_points_are(projection, pose, marker):
    volume, world_mm = make_marked(marker)
    view = make_view(volume, SETTINGS, ViewName(projection), pose)
    image = project_volume(volume, view)
    np.testing.assert_allclose(find_centroid(image), view.project_points(world_mm), atol=0.05)


def rotate_about(axis: int, angle_deg: float) -> np.ndarray:
    """Return the right-handed rotation about x, y or z, written out."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    matrices = [
        [[1, 0, 0], [0, c, -s], [0, s, c]],
        [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    ]
    return np.array(matrices[axis])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_pose_is_the_same_as_moving_the_patient(projection):
    """Closed form: turn the points about the centre, shift them, and look at them in the unmoved view."""
    points_mm = np.array(list(MARKERS_MM.values()))
    if projection == "lateral":  # up z, right y, out x
        turn = rotate_about(0, 5) @ rotate_about(1, -7) @ rotate_about(2, 11)
        shift_mm = np.array([0, 9, 6])
    else:  # up z, right x, out -y
        turn = rotate_about(1, -5) @ rotate_about(0, -7) @ rotate_about(2, 11)
        shift_mm = np.array([9, 0, 6])
    setting = {"size_px": 96, "detector_mm": 384.0}
    standard = make_standard_view(CENTER, projection=projection, **setting)
    further = make_standard_view(
        CENTER, projection=projection, source_to_detector_mm=1840, source_to_center_mm=1640, **setting
    )
    moved = ODD_POSE.move(standard, CENTER)
    expected = further.project_points(CENTER + points_mm @ turn.T + shift_mm)
    np.testing.assert_allclose(moved.project_points(CENTER + points_mm), expected, atol=1e-9)
    assert moved.source_to_detector_mm == pytest.approx(1840)
    for point, seen in zip(points_mm, points_mm @ turn.T + shift_mm, strict=True):
        assert moved.magnification(CENTER + point) == pytest.approx(further.magnification(CENTER + seen))


def test_each_part_of_a_pose_does_what_its_name_says():
    point, size = CENTER - np.array([0, 60, 0]), 101  # on the central ray, near the viewer
    above, beside = CENTER + np.array([0, 0, 50]), CENTER + np.array([40, 0, 0])

    def see(world_mm, **pose):
        row, column = Pose(**pose).move(make_standard_view(CENTER, size_px=size), CENTER).project_points(world_mm)
        return row - 50, column - 50

    pitch = 430 / size
    assert see(point) == pytest.approx((0, 0))
    assert see(point, rotation_deg=3)[1] == pytest.approx(60 * np.sin(np.deg2rad(3)) * 1.09 / pitch, rel=0.01)
    assert see(above, roll_deg=90) == pytest.approx((0, -50 * 1.125 / pitch))
    assert see(point, tilt_deg=3)[0] == pytest.approx(60 * np.sin(np.deg2rad(3)) * 1.09 / pitch, rel=0.01)
    assert see(CENTER, shift_column_mm=8, shift_row_mm=4) == pytest.approx((4 * 1.125 / pitch, 8 * 1.125 / pitch))
    assert see(beside, distance_mm=200)[1] == pytest.approx(40 * 2000 / 1800 / pitch)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_view_jittered_by_nothing_is_the_exact_one_bit_for_bit(projection):
    still = {f"jitter_{part}": 0 for part in ("rotation_deg", "tilt_deg", "roll_deg", "distance_mm", "shift_mm")}
    settings = ProjectCtSettings(size_px=40, **still)
    ct = make_box()
    exact = make_view(ct, settings, ViewName(projection)).to_json()
    jittered = make_view(ct, settings, ViewName(projection, 1), draw_pose(settings, 5)).to_json()
    assert jittered == exact | {"name": f"{projection}_1"}
    assert exact == make_standard_view(
        ct.center_world_mm, projection=projection, size_px=40,
        source_to_center_mm=1530 if projection == "lateral" else 1600,
    ).to_json()  # fmt: skip


def draw_all(settings: ProjectCtSettings, count: int) -> np.ndarray:
    names = [f"pa_{number}" for number in range(1, count + 1)]
    return np.array([list(draw_pose(settings, make_seed(0, "c", name)).to_json().values()) for name in names])


def test_draws_fill_the_range_of_their_setting_and_no_more():
    settings = ProjectCtSettings(
        jitter_rotation_deg=5, jitter_tilt_deg=2, jitter_roll_deg=1, jitter_distance_mm=30, jitter_shift_mm=12
    )
    spans = np.array([5, 2, 1, 30, 12, 12])
    draws = draw_all(settings, 400) / spans
    assert (np.abs(draws) <= 1).all()
    assert (draws.max(axis=0) > 0.97).all()
    assert (draws.min(axis=0) < -0.97).all()
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=4 / np.sqrt(3 * 400))
    correlation = np.corrcoef(draws.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.2, "each part is drawn on its own"


def test_a_wider_setting_scales_the_same_draws():
    narrow, wide = ProjectCtSettings(jitter_tilt_deg=1), ProjectCtSettings(jitter_tilt_deg=4)
    first, second = draw_pose(narrow, 3).to_json(), draw_pose(wide, 3).to_json()
    assert second == first | {"tilt_deg": pytest.approx(4 * first["tilt_deg"])}


def test_a_detector_offset_moves_the_image_by_whole_pixels():
    volume, _ = make_marked("head")
    volume.values[10:40, 20:30, 5:45] = 0.3
    for projection in PROJECTIONS:
        base = make_view(volume, SETTINGS, ViewName(projection))
        there = ProjectCtSettings(
            size_px=384, detector_mm=384 * PITCH_MM, detector_offset_mm=(3 * PITCH_MM, -5 * PITCH_MM)
        )
        image, moved = (project_volume(volume, view) for view in (base, make_view(volume, there, ViewName(projection))))
        np.testing.assert_allclose(moved[5:, :-3], image[:-5, 3:], rtol=1e-5, atol=1e-4)
        assert image[:-5, 3:].max() > 10


@pytest.mark.parametrize("name", ["pa", "lateral_3"])
def test_a_view_survives_json_and_is_made_again_from_its_pose(name):
    ct, view_name = make_box(), ViewName.parse(name)
    view = make_view(ct, SETTINGS, view_name, ODD_POSE)
    record = json.loads(json.dumps({"view": view.to_json(), "pose": ODD_POSE.to_json()}))
    assert View.from_json(record["view"]).to_json() == view.to_json()
    assert make_view(ct, SETTINGS, view_name, Pose(**record["pose"])).to_json() == record["view"]


def make_body(reach_mm: float) -> Volume:
    """Return air around a slab of water that reaches ``reach_mm`` to the patient's left and front."""
    volume = make_box(np.full((51, 51, 51), -1000, np.int16))
    steps = round(reach_mm / 4)
    volume.values[:, 25 - steps : 26, 25 : 26 + steps] = 0
    return volume


@pytest.mark.parametrize(("projection", "towards_detector_deg"), [("pa", -20), ("lateral", 20)])
def test_a_detector_inside_the_body_is_refused(projection, towards_detector_deg):
    near = {"source_to_detector_mm": 1600 + 60, "source_to_center_mm": 1600, "source_to_center_lateral_mm": 1600}
    settings = ProjectCtSettings(size_px=32, **near)
    for reach_mm, pose in ((60, Pose()), (40, ODD_POSE)):
        check_clearance(make_body(reach_mm), make_view(make_box(), settings, ViewName(projection), pose))
    view = make_view(make_box(), settings, ViewName(projection))
    text = f"view {projection}: found tissue up to 20 mm beyond the detector"
    with pytest.raises(CaseRefused, match=text) as refused:
        check_clearance(make_body(80), view)
    assert refused.value.code == "DETECTOR_IN_BODY"
    assert re.search(r"smaller by 20 mm", refused.value.hint)
    corner_ahead = make_view(make_box(), settings, ViewName(projection), Pose(rotation_deg=towards_detector_deg))
    reach_mm = 60 * (np.cos(np.deg2rad(20)) + np.sin(np.deg2rad(20))) - 60
    with pytest.raises(CaseRefused, match=f"up to {reach_mm:.0f} mm beyond"):
        check_clearance(make_body(60), corner_ahead)


def project_chest(folder, views: list[str], case="c", seed=0) -> dict[str, tuple[dict, bytes]]:
    """Run the stage on a box with one lung; return the record and the file of arrays of each view."""
    files = CaseFolder(folder / f"{case} {seed} {' '.join(views)}", case)
    labels = np.zeros((20, 25, 25), np.uint8)
    labels[:, 5:20, 3:22] = Label.BODY
    labels[4:16, 8:16, 6:11] = Label.LOBE_RIGHT_LOWER
    hu = np.select([labels == Label.BODY, labels == Label.OUTSIDE], [30, -1000], -800).astype(np.int16)
    write_volume(files.ct, Volume.from_spacing(hu, (8.0, 8.0, 8.0)))
    write_volume(files.anatomy, Volume.from_spacing(labels, (8.0, 8.0, 8.0)))
    row = CohortRow(case=case, path="x", cohort="x")
    project_ct.run(CaseJob(row, files, {"views": views, "size_px": 40}, seed))
    return {name: (read_json(files.projection_record(name)), files.projection(name).read_bytes()) for name in views}


def test_another_view_case_or_seed_moves_no_view_but_its_own(tmp_path):
    first = project_chest(tmp_path, ["pa", "pa_1"])
    more = project_chest(tmp_path, ["lateral", "pa_2", "pa_1", "pa"])
    assert {name: more[name] for name in first} == first
    case, seed = project_chest(tmp_path, ["pa", "pa_1"], case="d"), project_chest(tmp_path, ["pa", "pa_1"], seed=1)
    assert case["pa"] == seed["pa"] == first["pa"]
    jittered = [first["pa_1"], more["pa_2"], case["pa_1"], seed["pa_1"]]
    assert len({json.dumps(record["pose"]) for record, _ in jittered}) == 4
    assert first["pa"][0]["pose"] == more["lateral"][0]["pose"] == Pose().to_json()
    record = more["lateral"][0]
    assert (record["projection"], record["view_position"], record["patient_orientation"]) == (
        "lateral",
        "LL",
        ["P", "F"],
    )


def test_the_command_makes_the_views_of_the_workflow(tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_volume(path, make_body(60))
    command = ["project-ct", str(path), "--size-px", "32", "--output", str(tmp_path / "out.npz"), "--view"]
    arrays = {}
    for name in ("pa", "lateral", "lateral_1"):
        assert main([*command, name, "--seed", "3"]) == 0
        arrays[name] = read_arrays(tmp_path / "out.npz")
    settings = ProjectCtSettings(size_px=32)
    pose = draw_pose(settings, make_seed(3, "lateral_1"))
    for name, moved in (("pa", Pose()), ("lateral", Pose()), ("lateral_1", pose)):
        expected = make_view(make_body(60), settings, ViewName.parse(name), moved).to_arrays()
        for key, vector in expected.items():
            np.testing.assert_allclose(arrays[name][key], vector, atol=1e-4)
    assert main([*command, "side"]) == 1
