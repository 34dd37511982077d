"""The benchmark of the projector: its closed forms, its measures, its tables, and drrx against the closed forms."""

import json
from importlib.util import find_spec
from math import pi

import numpy as np
import pytest

from drrx.benchmark import measure as measuring
from drrx.benchmark.accuracy import GRAIN_SIGMA_MM, compare, find_flat, measure_grain, measure_peaks
from drrx.benchmark.measure import Measurement, measure
from drrx.benchmark.nodules import measure_nodule
from drrx.benchmark.peers import PEERS
from drrx.benchmark.peers.peer import PeerAbsent, Shot, version_of
from drrx.benchmark.phantoms import Box, Ellipsoid, make_chest, make_spheres, make_volume, path_mm
from drrx.benchmark.report import put_into_page, to_csv, to_markdown
from drrx.benchmark.run import run_benchmark
from drrx.benchmark.scene import Scene, SparseReference
from drrx.benchmark.settings import BenchmarkProjectorSettings
from drrx.benchmark.worker import run as run_peer
from drrx.cli.main import main
from drrx.errors import DrrxError
from drrx.geometry import make_standard_view
from drrx.volume import Volume

BEGIN, END = "<!-- begin: drrx benchmark-projector -->", "<!-- end: drrx benchmark-projector -->"
BALL = Ellipsoid((11.3, -4.2, 7.7), (8.0, 5.0, 6.5), 0.7)
BLOCK = Box((-9.7, -6.1, 2.2), (3.3, 4.4, 11.9), 1.3)


def view_of(size_px: int, detector_mm: float = 60.0):
    return make_standard_view(
        np.zeros(3), size_px=size_px, detector_mm=detector_mm, source_to_detector_mm=300, source_to_center_mm=250
    )


def is_inside(shape: Ellipsoid | Box, points: np.ndarray) -> np.ndarray:
    if isinstance(shape, Box):
        return ((points > shape.low_mm) & (points < shape.high_mm)).all(-1)
    return (((points - shape.center_mm) / shape.semi_axes_mm) ** 2).sum(-1) < 1


def make_smooth_scene(size_px: int = 32) -> Scene:
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 26, 30)), indexing="ij")
    density = np.clip(1 - (z - 0.1) ** 2 - (y + 0.2) ** 2 - (x - 0.3) ** 2, 0, None) * (1 + 0.3 * np.sin(5 * x + 3 * z))
    density[[0, -1]] = density[:, [0, -1]] = density[..., [0, -1]] = 0
    return Scene.make(Volume.from_spacing((1000 * density - 1000).astype(np.int16), (15.0, 9.0, 12.0)), size_px)


# --- closed forms


@pytest.mark.parametrize("shape", [BALL, BLOCK])
def test_chords_match_numeric_integration(shape):
    view = view_of(23, detector_mm=36.0)
    ends = view.pixel_world_mm(*np.indices(view.shape))
    steps = (np.arange(20000) + 0.5) / 20000
    points = view.source_world_mm + steps[:, None] * (ends.reshape(-1, 1, 3)[::5] - view.source_world_mm)
    lengths = np.linalg.norm(ends.reshape(-1, 3)[::5] - view.source_world_mm, axis=-1)
    numeric = is_inside(shape, points).mean(axis=1) * lengths
    exact = shape.chord_mm(view.source_world_mm, ends).reshape(-1)[::5]
    assert (exact > 5).sum() > 10
    assert np.abs(exact - numeric).max() < 3 * lengths.max() / 20000


@pytest.mark.parametrize("shape", [BALL, BLOCK])
def test_voxels_hold_the_volume_and_the_centroid(shape):
    volume = make_volume([shape])
    density = (volume.values + 1000.0) / 1000
    box = np.prod(np.subtract(*shape.extent_mm()))
    true = abs(box) * (pi / 6 if isinstance(shape, Ellipsoid) else 1) * shape.density
    assert density.sum() == pytest.approx(true, rel=2e-3)
    centroid = [
        np.average(np.arange(n), weights=density.sum(tuple({0, 1, 2} - {i}))) for i, n in enumerate(volume.shape)
    ]
    assert volume.to_world(np.array(centroid)) == pytest.approx(np.mean(shape.extent_mm(), axis=0), abs=0.01)


@pytest.mark.parametrize("shape", [BALL, BLOCK, make_spheres()[0]])
def test_partial_volume_is_the_share_of_points_inside(shape):
    volume = make_volume([shape])
    rng = np.random.default_rng(0)
    found = (volume.values + 1000.0) / 1000 / shape.density
    cut = np.argwhere((found > 0.05) & (found < 0.95))
    for index in cut[rng.choice(len(cut), min(len(cut), 40), replace=False)]:
        points = volume.to_world(index) + rng.uniform(-0.5, 0.5, (20000, 3))
        assert found[tuple(index)] == pytest.approx(is_inside(shape, points).mean(), abs=0.02)


def test_paths_add_up():
    view = view_of(17)
    assert path_mm([BALL, BLOCK], view) == pytest.approx(path_mm([BALL], view) + path_mm([BLOCK], view))


# --- measures


def test_grain_is_the_texture_and_not_the_shift_of_an_image():
    view = view_of(200)
    exact = np.full(view.shape, 50.0)
    flat = np.ones(view.shape, bool)
    noise = np.random.default_rng(0).normal(size=view.shape)
    assert measure_grain(exact * 1.01, exact, flat, view) == pytest.approx(0, abs=1e-9)
    sigma_px = GRAIN_SIGMA_MM / view.pixel_spacing_mm[0]
    kept = np.sqrt(1 - 2 / (2 * pi * sigma_px**2) + 1 / (4 * pi * sigma_px**2))  # white noise less its Gaussian mean
    assert measure_grain(exact + noise, exact, flat, view) == pytest.approx(kept / 50, rel=0.02)


def test_flat_regions_keep_off_every_silhouette():
    view = make_standard_view(np.zeros(3), size_px=128)
    shapes = make_chest()
    flat = find_flat(shapes, view)
    ends = view.pixel_world_mm(*np.indices(view.shape))
    assert 0.1 < flat.mean() < 0.9
    for shape in shapes:
        inside = shape.chord_mm(view.source_world_mm, ends) > 0
        edge = inside[1:] ^ inside[:-1]
        assert not (edge & (flat[1:] | flat[:-1])).any()


def test_peaks_of_the_exact_image_are_whole():
    view = make_standard_view(np.zeros(3), size_px=256)
    spheres = make_spheres()
    exact = path_mm(spheres, view)
    assert measure_peaks(spheres, exact, view) == pytest.approx(dict.fromkeys(["3", "4", "5", "6", "8", "10"], 1.0))
    assert measure_peaks(spheres, 0.9 * exact, view)["3"] == pytest.approx(0.9)


def test_a_sparse_reference_sees_flips_shifts_and_scales():
    scene = make_smooth_scene()
    reference = SparseReference.make(scene)
    shot = PEERS["drrx"].prepare(scene)()
    assert reference.relative_error(shot.image) < 1e-3
    for wrong in (shot.image[::-1], shot.image[:, ::-1], shot.image.T, np.roll(shot.image, 1, 1), 1.01 * shot.image):
        assert reference.relative_error(wrong) > 5e-3


# --- drrx against closed forms


def test_the_chest_within_what_its_voxels_cost():
    shapes = make_chest()
    scene = Scene.make(make_volume(shapes, edge_mm=2.0), 256)
    found = compare("drrx", "chest", shapes, PEERS["drrx"].prepare(scene)().image, scene.view)
    assert found.relative_rmse is not None
    assert found.relative_rmse < 0.012
    assert found.grain is not None
    assert found.grain < 0.0025


def test_small_spheres_keep_what_joseph_keeps():
    shapes = make_spheres()
    scene = Scene.make(make_volume(shapes), 512)
    peaks = compare("drrx", "spheres", shapes, PEERS["drrx"].prepare(scene)().image, scene.view).peaks
    assert peaks is not None
    for diameter, least in {"3": 0.85, "5": 0.93, "10": 0.98}.items():
        assert least < peaks[diameter] < 1.01


@pytest.mark.parametrize("diameter_mm", [3.0, 4.0, 6.0, 20.0])
def test_patches_keep_the_peak_of_a_nodule(diameter_mm):
    assert measure_nodule(diameter_mm).peak == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("diameter_mm", [3.0, 8.0, 20.0])
def test_patches_keep_the_mass_of_a_nodule(diameter_mm):
    assert measure_nodule(diameter_mm).mass == pytest.approx(1, abs=0.005)


# --- rows


@pytest.mark.parametrize("name", ["drrx", "drrx, 2 bases + 3 masks", "drrx, view turned by 3 deg"])
def test_own_rows_give_the_exact_image(name):
    scene = make_smooth_scene().turned(PEERS[name].turn_deg)
    numbers, shot = run_peer(PEERS[name], scene, num_runs=2, budget_s=10)
    assert SparseReference.make(scene).relative_error(shot.image) < 1e-3
    assert numbers["runs"] == 2
    assert numbers["ms"] > 0


def test_a_scene_survives_its_file(tmp_path):
    scene = make_smooth_scene()
    scene.write(tmp_path / "scene.npz")
    again = Scene.read(tmp_path / "scene.npz")
    assert (again.volume.values == scene.volume.values).all()
    assert again.view.to_json() == scene.view.to_json()


def test_an_absent_package_is_told():
    with pytest.raises(PeerAbsent, match="package no-such-package is not installed"):
        version_of("no-such-package")()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("""print('{"skipped": "package x is not installed"}')""", "package x is not installed"),
        ("raise SystemExit('out of luck')", "out of luck"),
        ("import time; time.sleep(60)", "over 1 s"),
    ],
)
def test_a_peer_that_cannot_run_is_left_out_with_the_reason(monkeypatch, tmp_path, program, told):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nexec {measuring.sys.executable} -c {json.dumps(program)}\n".replace('\\"', '\\"'))
    fake.chmod(0o755)
    monkeypatch.setattr(measuring.sys, "executable", str(fake))
    row, image = measure("drrx", make_smooth_scene(), 1, BenchmarkProjectorSettings(runs=1, limit_s=1.0))
    assert image is None
    assert row.ms is None
    assert row.skipped == told


def test_a_program_may_time_itself():
    peer = PEERS["drrx"].__class__(
        "x", "-", lambda _: lambda: Shot(np.zeros((1, 1), np.float32), 0.5, 7.0), lambda: "1"
    )
    numbers, _ = run_peer(peer, make_smooth_scene(), num_runs=1, budget_s=10)
    assert (numbers["ms"], numbers["peak_mib"]) == (500, 7)


# --- tables


def row_of(peer: str, size_px: int, **numbers) -> dict:
    return vars(Measurement(peer, size_px, 1, 1000, **numbers))


def make_report() -> dict:
    done = {"version": "1.0", "start_s": 0.5, "runs": 1, "peak_mib": 12.0}
    return {
        "machine": {"processor": "some processor", "cores": 2, "python": "3.11"},
        "ct": {"shape": [4, 5, 6], "spacing_mm": [2.5, 0.7, 0.8]},
        "settings": {"threads": [1], "accuracy_px": 0},
        "times": [
            row_of("drrx", 512, ms=20.0, relative_error=2e-5, **done),
            row_of("RTK Joseph", 512, ms=200.0, relative_error=1e-4, **done),
            row_of("floor: read the volume", 512, ms=4.0, **done),
            row_of("nanodrr", 512, skipped="package nanodrr is not installed"),
        ],
        "accuracy": [], "nodules": [], "voxels": [],
    }  # fmt: skip


def test_tables_give_ratios_errors_floors_and_reasons():
    text = to_markdown(make_report())
    assert "CT of 6 x 5 x 4 voxels of 0.80 x 0.70 x 2.50 mm" in text
    assert "| drrx | 1.0 | 20 (10 x) | 0.002 | 12 | 0.5 |" in text
    assert "drrx at 512 px takes 5.0 times one read of the int16 volume." in text
    assert "Left out: nanodrr at 512 px (package nanodrr is not installed)." in text
    assert "| nanodrr" not in text


def test_a_nodule_variant_is_told_as_a_share_of_projecting_the_ct():
    done = {"version": "1.0", "start_s": 0.5, "runs": 1, "peak_mib": 12.0}
    report = make_report()
    assert "One more nodule" not in to_markdown(report)
    names = {
        "drrx, 2 bases + 3 masks": 40.0,
        "drrx, one more nodule of 14 mm": 1.0,
        "drrx, one more nodule of 30 mm": 3,
    }
    report["times"] += [row_of(name, 512, ms=ms, **done) for name, ms in names.items()]
    told = "One more nodule variant at 512 px, three maps of 14 or 30 mm, takes 2.5 or 7.5 % of projecting the CT"
    assert told in to_markdown(report)


def test_the_csv_has_one_line_per_row():
    lines = to_csv(make_report()["times"]).splitlines()
    assert lines[0].startswith("peer,size_px,threads,num_voxels,version,")
    assert len(lines) == 5


def test_tables_go_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put_into_page(page, "new\n")
    assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text("nothing")
    with pytest.raises(DrrxError, match="found no place for the tables; needed the lines <!-- begin"):
        put_into_page(page, "new")


def test_an_unknown_peer_is_refused():
    with pytest.raises(DrrxError, match="benchmark-projector --peers: found nobody; needed some of: drrx; "):
        run_benchmark(make_smooth_scene().volume, BenchmarkProjectorSettings(peers=("nobody",)), print)


def test_the_command_measures_drrx_and_a_floor(tmp_path, capsys, monkeypatch):
    from drrx.io.nifti import write_volume

    monkeypatch.setattr("drrx.benchmark.run.STRIDES", ((2, 2, 2), (1, 1, 1)))
    write_volume(tmp_path / "ct.nii.gz", make_smooth_scene().volume)
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    arguments = ["--ct", str(tmp_path / "ct.nii.gz"), "--output", str(tmp_path / "out"), "--page", str(page)]
    quick = ["--sizes-px", "32", "--threads", "1", "--runs", "1", "--accuracy-px", "0"]
    chosen = ["drrx", "drrx, one more nodule of 14 mm", "floor: read the volume"]
    peers = ["--peers", *chosen]
    assert main(["benchmark-projector", *arguments, *quick, *peers]) == 0
    report = json.loads((tmp_path / "out" / "projector.json").read_text())
    assert [row["peer"] for row in report["times"]] == chosen
    assert report["times"][0]["relative_error"] < 1e-3
    assert {row["num_voxels"] for row in report["voxels"]} == {1950, 15600}
    tables = (tmp_path / "out" / "projector.md").read_text()
    assert tables in page.read_text()
    assert tables in capsys.readouterr().out
    has_figure = find_spec("matplotlib") is not None
    assert (tmp_path / "out" / "projector_cost.png").exists() == has_figure
    assert (tmp_path / "images" / "projector_cost.png").exists() == has_figure
