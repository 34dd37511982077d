"""The audit of inserted nodules: what is right passes, what is falsified is caught, likes are alike."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import ndimage

from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.annotate.shadow import Shadow, shadows_to_arrays
from drrx.annotate.signal import Pair
from drrx.cli.main import main
from drrx.evaluate.nodule_audit.achieved import measure_insertion
from drrx.evaluate.nodule_audit.audit import choose_nodules
from drrx.evaluate.nodule_audit.cube import cut_cube, find_body
from drrx.evaluate.nodule_audit.look import MU_WATER_PER_MM, fill_background, measure_cube
from drrx.evaluate.nodule_audit.results import list_cases
from drrx.evaluate.nodule_audit.settings import EvaluateNodulesSettings
from drrx.evaluate.nodule_audit.two_sample import MEASURES, compare_samples
from drrx.geometry import make_standard_view
from drrx.io.arrays import read_arrays, write_arrays
from drrx.io.files import read_json, write_json
from drrx.io.image import write_image
from drrx.io.nifti import write_volume
from drrx.nodule.sample import sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.projector.window import find_window
from drrx.records.anatomy import Anatomy, Label
from drrx.records.nodule_shape import Transplant
from drrx.records.patch import patches_to_arrays
from drrx.volume import Volume
from tests.thorax import make_thorax

SETTINGS = SampleNodulesSettings(
    num_nodules=2, kind="solid", diameter_min_mm=9, diameter_max_mm=16, blur="fixed", juxtapleural_share=0,
    zone_weights={"free": 1.0}, strands=False,
)  # fmt: skip
DONE = {"status": "done", "code": "", "detail": "", "hint": "", "products": {}}
LUNG_HU = -850.0


def make_anatomy(thorax):
    labels = np.where(thorax.body, np.uint8(Label.BODY), np.uint8(Label.OUTSIDE))
    labels[thorax.bone] = Label.BONE
    labels[thorax.heart] = Label.MEDIASTINUM
    upper = np.arange(labels.shape[0])[:, None, None] > labels.shape[0] // 2
    labels[thorax.right] = Label.LOBE_RIGHT_LOWER
    labels[thorax.right & upper] = Label.LOBE_RIGHT_UPPER
    labels[thorax.left] = Label.LOBE_LEFT_LOWER
    labels[thorax.left & upper] = Label.LOBE_LEFT_UPPER
    labels[thorax.trachea] = Label.AIRWAY
    return Anatomy(thorax.ct.with_values(labels))


def cast(patch, view):
    """Shadow of a patch in a window of the view."""
    rows, columns = find_window(patch.grid, view)
    part = view.window(rows, columns)
    path, delta = project(
        [(Integrand(Volume(values, patch.world_from_index)), part) for values in (patch.occupancy, patch.delta_hu)]
    )
    return Shadow(path[0], delta[0] * np.float32(MU_WATER_PER_MM / 1000), rows.start, columns.start)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A results folder with one case, one variant of two nodules, one view; and a case that was refused."""
    results = tmp_path_factory.mktemp("results")
    folder = results / "cases" / "t1"
    thorax = make_thorax(spacing_mm=(3.0, 2.5, 2.5))
    anatomy = make_anatomy(thorax)
    write_volume(folder / "ct.nii.gz", thorax.ct)
    write_volume(folder / "anatomy.nii.gz", anatomy.labels)
    sample = sample_nodules(thorax.ct, anatomy, SETTINGS, 5)
    write_json(folder / "variants.json", {"variants": ["twin", "v1"]})
    record = {"nodules": [n.to_json() for n in sample.nodules], "rejections": {"in_vessel": 3, "outside_lung": 1}}
    write_json(folder / "v1" / "nodules.json", record)
    write_arrays(folder / "v1" / "nodules.npz", patches_to_arrays(sample.patches))
    write_json(folder / "stages" / "sample_nodules.json", DONE)
    view = make_standard_view(thorax.ct.center_world_mm, size_px=512)
    write_json(folder / "pa" / "projection.json", {"view": view.to_json()})
    shadows = [cast(patch, view) for patch in sample.patches]
    plain = np.random.default_rng(0).uniform(0.4, 0.5, view.shape).astype(np.float32)
    positive = plain + sum(shadow.place(shadow.delta_line_integral, view.shape) for shadow in shadows)
    pair = Pair(plain, positive.astype(np.float32))
    findings = [Finding(n, shadow, pair, pair) for n, shadow in zip(sample.nodules, shadows, strict=True)]
    annotation = annotate_image(("t1", "v1", "pa"), findings, view, {}, AnnotateCxrSettings(), {})
    write_json(folder / "v1" / "pa" / "annotation.json", annotation.to_json())
    write_arrays(folder / "v1" / "pa" / "paths.npz", shadows_to_arrays(shadows))
    for name in ("drr.png", "cxr.png"):
        write_image(folder / "v1" / "pa" / name, positive)
    refusal = {**DONE, "status": "refused", "code": "NO_PLACE", "detail": "no room"}
    write_json(results / "cases" / "t2" / "stages" / "sample_nodules.json", refusal)
    return results


def run_audit(results, output, *options):
    assert main(["evaluate-nodules", "--results", str(results), "--output", str(output), *options]) == 0
    return json.loads((output / "report.json").read_text())


def find_outside(report):
    parts = (report["nodules"]["all"], report["images"]["all"])
    return {key for part in parts for key, check in part.items() if check["outside"]}


def test_honest_nodules_pass_every_check(honest, tmp_path, capsys):
    report = run_audit(honest, tmp_path)
    assert (report["num_nodules"], report["num_images"]) == (2, 2)
    assert find_outside(report) == set()
    assert len(report["nodules"]["all"]) == 10
    assert len(report["images"]["all"]) == 6
    assert report["nodules"]["kind solid"]["volume"]["n"] == 2
    assert report["nodules"]["all"]["replay"]["worst"] == 0
    assert report["rejections"] == {"in_vessel": 3, "outside_lung": 1}
    assert [(row["case"], row["code"]) for row in report["refused"]] == [("t2", "NO_PLACE")]
    text = (tmp_path / "report.md").read_text()
    assert "Outside a limit: none." in text
    assert "| in_vessel | 3 |" in text
    assert text in capsys.readouterr().out
    assert (tmp_path / "nodules.png").read_bytes()[:4] == b"\x89PNG"
    first = {name: (tmp_path / name).read_bytes() for name in ("report.json", "nodules.png")}
    run_audit(honest, tmp_path)
    assert first == {name: (tmp_path / name).read_bytes() for name in first}


def falsify_record(change: Callable[[dict], None]):
    def edit(folder):
        record = read_json(folder / "v1" / "nodules.json")
        change(record["nodules"][0])
        write_json(folder / "v1" / "nodules.json", record)

    return edit


def falsify_annotation(change: Callable[[dict], None]):
    def edit(folder):
        record = read_json(folder / "v1" / "pa" / "annotation.json")
        change(record["nodules"][0])
        write_json(folder / "v1" / "pa" / "annotation.json", record)

    return edit


def falsify_arrays(name, change: Callable[[dict], None]):
    def edit(folder):
        arrays = read_arrays(folder / "v1" / name)
        change(arrays)
        write_arrays(folder / "v1" / name, arrays)

    return edit


def scale(key, factor):
    def change(values):
        values[key] = values[key] * np.float32(factor) if isinstance(values[key], np.ndarray) else values[key] * factor

    return change


def move(key, axis, by):
    def change(values):
        values[key] = [value + by * (i == axis) for i, value in enumerate(values[key])]

    return change


def within_measures(change):
    return lambda nodule: change(nodule["measures"])


def add_hu(arrays):
    arrays["1_hu_after"] = arrays["1_hu_after"] + 30 * arrays["1_occupancy"]


FALSE = {
    "diameter asked": (falsify_record(scale("diameter_mm", 1.02)), {"volume", "diameter"}),
    "volume recorded": (falsify_record(within_measures(scale("volume_mm3", 1.002))), {"recorded_volume"}),
    "centre recorded": (falsify_record(within_measures(move("centroid_world_mm", 2, 0.02))), {"recorded_center_mm"}),
    "HU share recorded": (falsify_record(within_measures(scale("delta_hu_ratio", 1.02))), {"recorded_share"}),
    "HU asked": (falsify_record(scale("hu_body", 3)), {"replay", "recorded_share"}),
    "HU in the patch": (falsify_arrays("nodules.npz", add_hu), {"replay", "recorded_share"}),
    "place of the patch": (
        falsify_arrays("nodules.npz", lambda arrays: arrays["1_world_from_index"].__setitem__((0, 3), 0.0)),
        {"center_asked_voxels", "recorded_center_mm", "center_px", "centroid_px"},
    ),
    "centre annotated": (falsify_annotation(move("center_px", 0, 0.2)), {"center_px"}),
    "centroid annotated": (falsify_annotation(move("centroid_px", 1, 0.2)), {"centroid_px"}),
    "peak annotated": (falsify_annotation(scale("delta_log_peak", 1.01)), {"recorded_peak"}),
    "path map": (falsify_arrays("pa/paths.npz", scale("1_path_mm", 1.02)), {"path_mass"}),
    "box": (falsify_annotation(move("bbox_full", 0, 600)), {"box_inside_px"}),
}  # fmt: skip


#: What may come along: other tissue lies elsewhere.
ALSO = {"place of the patch": {"replay", "path_mass", "hu_share", "recorded_share"}}


@pytest.mark.parametrize("name", FALSE)
def test_what_is_false_is_caught_and_nothing_else(honest, tmp_path, name):
    edit, expected = FALSE[name]
    shutil.copytree(honest, tmp_path / "results")
    edit(tmp_path / "results" / "cases" / "t1")
    report = run_audit(tmp_path / "results", tmp_path / "audit", "--num-pictures", "0")
    found = find_outside(report)
    assert expected <= found
    assert found - expected <= ALSO.get(name, set())
    assert report["nodules"]["all"]["volume"]["n"] == 2
    text = (tmp_path / "audit" / "report.md").read_text()
    assert "Outside a limit: t1_v1_n1" in text


def test_the_choice_of_pictures_depends_on_the_seed_alone(honest):
    cases = list_cases(honest)
    chosen = [choose_nodules(cases, EvaluateNodulesSettings(seed=seed, num_pictures=1)) for seed in (1, 1, 2, 3, 4, 5)]
    assert chosen[0] == chosen[1]
    assert len({frozenset(names) for names in chosen}) == 2


def make_ball(diameter=16.0, hu=30.0, center=(24.3, 25.1, 24.8), squeeze=(1.0, 1.0, 1.0), bumps=0.0, seed=0):
    """A cube with a body; its rim is a mix of lung and nodule, as a CT would show it."""
    fine = np.indices((100, 100, 100), dtype=np.float32) / 2 - 0.25
    z, y, x = ((axis - c) / s for axis, c, s in zip(fine, center, squeeze, strict=True))
    r = np.sqrt(z**2 + y**2 + x**2)
    rng = np.random.default_rng(seed)
    radius = diameter / 2
    if bumps:
        a, b = rng.uniform(0, 2 * np.pi, 2)
        radius = radius * (1 + bumps * np.cos(3 * np.arctan2(z, x) + a) + bumps * np.cos(2 * np.arctan2(y, x) + b))
    share = (r <= radius).reshape(50, 2, 50, 2, 50, 2).mean(axis=(1, 3, 5))
    return (LUNG_HU + share * (hu - LUNG_HU)).astype(np.float32), share > 0.5


def test_a_ball_looks_like_a_ball():
    diameter, hu = 16.0, 30.0
    look = measure_cube(*make_ball(diameter, hu))
    # Mean chord of a ball within half its radius: 8/3 R (1 - (3/4)^1.5).
    chord = 8 / 3 * diameter / 2 * (1 - 0.75**1.5) * 2
    assert look.diameter_mm == pytest.approx(diameter, rel=0.02)
    assert look.contrast == pytest.approx(chord * MU_WATER_PER_MM * (hu - LUNG_HU) / 1000, rel=0.02)
    assert look.contrast_plain == pytest.approx(look.contrast, rel=0.03)
    # The chord falls to half of that mean at R sqrt(1 - (chord / 2 D)^2).
    assert look.size_mm == pytest.approx(diameter * np.sqrt(1 - (chord / 2 / diameter) ** 2), rel=0.03)
    assert look.unevenness < 0.02
    assert look.contact == 0


def test_the_mask_only_finds_the_nodule():
    hu, mask = make_ball(11.0)
    tight, wide = measure_cube(hu, mask), measure_cube(hu, ndimage.binary_dilation(mask, iterations=2))
    for key, value in asdict(tight).items():
        assert asdict(wide)[key] == pytest.approx(value, rel=0.03, abs=0.01), key


def test_wall_beside_a_nodule_is_left_out():
    hu, mask = make_ball(12.0)
    walled = hu.copy()
    walled[:, :, 31:] = 40.0
    free, attached = measure_cube(hu, mask), measure_cube(walled, mask)
    assert attached.contact > 0.1
    assert attached.contrast == pytest.approx(free.contrast, rel=0.05)
    assert attached.diameter_mm == pytest.approx(free.diameter_mm, rel=0.05)


def test_background_is_filled_in_by_the_harmonic_of_its_rim():
    rows, columns = np.indices((40, 40), dtype=float)
    plane = 3 * rows - 2 * columns + 0.1 * (rows**2 - columns**2)  # harmonic, on the 5-point grid too
    hole = (rows - 20) ** 2 + (columns - 18) ** 2 < 100
    np.testing.assert_allclose(fill_background(np.where(hole, 99, plane), hole), plane, atol=1e-9)


def test_a_patch_of_1_mm_comes_out_as_it_is():
    hu, mask = make_ball(9.0)
    volume = Volume.from_spacing(hu, (1.0, 1.0, 1.0), (-7.0, 3.0, 90.0))
    cube, mask_again = cut_cube(volume, volume.with_values(mask))
    shift = np.rint(np.array(ndimage.center_of_mass(mask))).astype(int) - 25
    inner = tuple(slice(5, 45) for _ in range(3))
    moved = tuple(slice(5 + s, 45 + s) for s in shift)
    np.testing.assert_array_equal(cube.values[inner], hu[moved])
    np.testing.assert_array_equal(mask_again[inner], mask[moved])


def test_a_body_is_outlined_half_way():
    hu, mask = make_ball(13.0, hu=-100.0)
    body = find_body(hu, ndimage.binary_dilation(mask))
    np.testing.assert_array_equal(body.mask, mask)
    assert (body.hu_lung, body.hu_core) == (LUNG_HU, -100.0)


def draw_rows(rng, count, contrast=1.0, size=(5.0, 20.0)):
    diameters = rng.uniform(*size, count)
    return [
        {"diameter_mm": d, "contrast": contrast * d * rng.normal(1, 0.15), "grain": rng.normal(0.05, 0.01)}
        for d in diameters
    ]


def test_two_samples_of_one_population_are_alike():
    rng = np.random.default_rng(1)
    found = [compare_samples(draw_rows(rng, 40), draw_rows(rng, 160), ("contrast", "grain")) for _ in range(40)]
    assert sum(any(value.different for value in one.values()) for one in found) <= 6  # 5 % of 40, and chance
    assert np.mean([one["contrast"].auc for one in found]) == pytest.approx(0.5, abs=0.05)


def test_another_mix_of_sizes_does_not_decide():
    rng = np.random.default_rng(2)
    found = compare_samples(draw_rows(rng, 60), draw_rows(rng, 60, size=(12.0, 24.0)), ("contrast",))["contrast"]
    assert found.ks_p < 1e-3
    assert not found.different


def test_a_shift_is_found_with_its_size():
    rng = np.random.default_rng(3)
    found = compare_samples(draw_rows(rng, 40), draw_rows(rng, 160, contrast=1.3), ("contrast", "grain"))
    assert found["contrast"].different
    assert not found["grain"].different
    assert found["contrast"].auc > 0.8
    assert found["contrast"].shift == pytest.approx(0.3 * 12.5, rel=0.4)


def test_spheres_are_told_from_irregular_ones():
    rng = np.random.default_rng(4)
    diameters = rng.uniform(9, 20, 8)
    spheres = [asdict(measure_cube(*make_ball(d))) for d in diameters]
    others = [
        asdict(measure_cube(*make_ball(d, squeeze=(1.1, 1.0, 0.9), bumps=0.12, seed=i)))
        for i, d in enumerate(diameters)
    ]
    found = compare_samples(spheres, others, MEASURES)
    assert found["unevenness"].different
    assert found["unevenness"].auc == 1
    assert not found["hu_core"].different


def test_few_nodules_are_not_tested():
    rng = np.random.default_rng(5)
    assert compare_samples(draw_rows(rng, 4), draw_rows(rng, 100), ("contrast",)) == {}


def write_library(folder, diameters):
    folder.mkdir()
    for i, diameter in enumerate(diameters):
        hu, mask = make_ball(diameter, seed=i)
        volume = Volume.from_spacing(np.rint(hu).astype(np.int16), (1.0, 1.0, 1.0))
        write_volume(folder / f"b{i}.nii.gz", volume)
        write_volume(folder / f"b{i}_seg.nii.gz", volume.with_values(mask.astype(np.uint8)))
    (folder / "index.csv").write_text("id\n" + "".join(f"b{i}\n" for i in range(len(diameters))))


def test_nodules_like_the_real_ones_are_inserted_and_compared(honest, tmp_path):
    write_library(tmp_path / "library", (9.0, 10.0, 11.0, 12.0, 13.0))
    options = ["--nodule-library", str(tmp_path / "library"), "--num-pictures", "1", "--margin", "smooth"]
    report = run_audit(honest, tmp_path / "audit", *options)["comparison"]
    assert len(report["inserted"]) + len(report["refused"]) == 5
    sizes = {row["name"]: row["diameter_mm"] for row in report["real"]}
    for row in report["inserted"]:
        assert row["diameter_mm"] == pytest.approx(sizes[row["name"]], rel=0.1)
        assert (row["case"], row["kind"], row["margin"]) == ("t1", "solid", "smooth")
    assert report["groups"]["solid, 7 mm and more"]["real"] == 5
    assert (tmp_path / "audit" / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert "## Real against inserted" in (tmp_path / "audit" / "report.md").read_text()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "nothing to look at"),
        (["--results", "{tmp}"], "no folder cases/<case>"),
        (["--cases", "{tmp}", "--results", "{honest}"], "no ct.nii.gz"),
    ],
)
def test_clear_errors(honest, tmp_path, capsys, options, text):
    given = [option.format(tmp=tmp_path, honest=honest) for option in options]
    assert main(["evaluate-nodules", "--output", str(tmp_path / "out"), *given]) == 1
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_transplant_without_its_library_is_not_rendered_again(honest):
    case = list_cases(honest)[0]
    (one, *_) = case.read_inserted()
    turned = Transplant("b1", "0" * 64, one.nodule.shape.rotation, 1.0)
    nodule = replace(one.nodule, origin="transplanted", shape=None, transplant=turned)
    found = measure_insertion(nodule, one.patch, case.read_ct(), case.read_anatomy())
    assert found["replay"] is None
    assert found["hu_share"] is None
    assert abs(found["volume"]) < 0.02
