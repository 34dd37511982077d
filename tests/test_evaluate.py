import dataclasses
import itertools
import json
import pickle
from operator import attrgetter

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drrx.cli.main import main
from drrx.degrader.model import load_degrader
from drrx.errors import DrrxError
from drrx.evaluate.drrs import choose_drrs, restore_drr
from drrx.evaluate.evaluate import Bench, choose_films, evaluate_restorer
from drrx.evaluate.figures import write_figures
from drrx.evaluate.ledger import Ledger
from drrx.evaluate.matrix import FilmJob
from drrx.evaluate.methods import PLAIN, Restoration, System, enlarge_half, find_main, make_methods, open_window
from drrx.evaluate.pool import map_rows
from drrx.evaluate.report import to_markdown
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.io.image import write_image
from drrx.pairs.domain import read_drrs
from drrx.pairs.films import load_film, read_films
from drrx.restorer.settings import RestoreCxrSettings
from tests.degraders import FakeDegrader
from tests.films import make_film, write_films
from tests.restorers import make_restorer

HOW = RestoreCxrSettings(grain=(1.0,) * 4, steps=2)


def make_system(name, seed=0):
    return System(name, dataclasses.replace(make_restorer(seed), sha256=f"{seed:064d}"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return choose_films(read_films(write_films(tmp_path_factory.mktemp("films"), 9)), "train", 3)


def find_box(film):
    mask = np.zeros(film.shape, bool)
    mask[60:240, 60:220] = True
    return mask


@pytest.fixture
def lungs(monkeypatch):
    """A lung field where made films, which are small and have no lungs, have room for tiles."""
    for module in ("steps", "texture", "judge", "realism", "blobs", "grain", "noise"):
        monkeypatch.setattr(f"drrx.evaluate.{module}.find_lung_field", find_box)


@pytest.fixture(scope="module")
def drrs(tmp_path_factory):
    """Three cases of two views: blurred and hazed films."""
    folder = tmp_path_factory.mktemp("drrs")
    for i, (case, view) in enumerate(itertools.product(("ct-a", "ct-b", "ct-c"), ("pa", "pa_1"))):
        path = folder / "cases" / case / "twin" / view / "drr.png"
        path.parent.mkdir(parents=True)
        write_image(path, 0.2 + 0.5 * ndimage.gaussian_filter(make_film(20 + i), 2))
    return read_drrs([str(folder)])


def make_bench(rows, folder, degraders, systems=(), drrs=(), **settings):
    settings = EvaluateRestorerSettings(**{"parts": ("matrix",), "resamples": 100, "modes": ("blend",)} | settings)
    systems = systems or (make_system("bicubic", 1), make_system("mixed", 2))
    return Bench(rows, rows, "train", drrs, (), systems, tuple(degraders), settings, HOW, folder)


def test_matrix_holds_every_method_on_every_degradation(rows, tmp_path):
    bench = make_bench(rows, tmp_path, [FakeDegrader(), load_degrader("identity")])
    part = evaluate_restorer(bench)["matrix"]
    methods = {*PLAIN, "bicubic mean", "mixed mean", "mixed blend"}
    assert {kind: set(scores) for kind, scores in part["scores"].items()} == dict.fromkeys(
        ("munit_lq", "identity"), methods
    )
    assert part["scores"]["identity"]["input"]["psnr_db"][0] > 60
    for name, scores in part["scores"]["munit_lq"].items():
        for measure, (mean, low, high) in scores.items():
            assert low <= mean <= high, (name, measure)
    gain, low, high, p_value = part["gains"]["munit_lq"]["mixed mean"]["psnr_db"]
    means = [part["scores"]["munit_lq"][name]["psnr_db"][0] for name in ("mixed mean", "bicubic mean")]
    assert gain == pytest.approx(means[0] - means[1], abs=2e-4)
    assert low <= gain <= high
    assert p_value in (0.25, 0.5, 0.75, 1.0)  # all that three patients can give
    assert (part["films"], part["patients"]) == (3, 3)


def test_a_second_run_makes_and_restores_nothing_and_one_more_system_adds_its_own_scores(rows, tmp_path, monkeypatch):
    degrader = FakeDegrader()
    first = evaluate_restorer(make_bench(rows, tmp_path, [degrader]))
    assert degrader.calls == 3
    called = []
    restore = Restoration.__call__
    monkeypatch.setattr(Restoration, "__call__", lambda self, *a: (called.append(self.name), restore(self, *a))[1])
    again = evaluate_restorer(make_bench(rows, tmp_path, [degrader]))
    assert again == first
    assert to_markdown(again) == to_markdown(json.loads((tmp_path / "report.json").read_text())) == to_markdown(first)
    assert not called
    systems = (make_system("bicubic", 1), make_system("mixed", 2), make_system("munit_lq", 3))
    more = evaluate_restorer(make_bench(rows, tmp_path, [degrader], systems))
    assert (called, degrader.calls) == (["munit_lq mean"] * 3, 3)
    for name, scores in first["matrix"]["scores"]["munit_lq"].items():
        assert more["matrix"]["scores"]["munit_lq"][name] == scores
    other = FakeDegrader(sha256="cd" * 32)  # other weights
    evaluate_restorer(make_bench(rows, tmp_path, [other]))
    assert other.calls == 3


def test_processes_share_the_films_in_order_and_a_job_travels_to_them(rows, tmp_path):
    assert list(map_rows(attrgetter("path"), rows, jobs=2, threads=2)) == [row.path for row in rows]
    settings = EvaluateRestorerSettings(modes=("mean",))
    methods = make_methods((make_system("mixed"),), settings, HOW)
    one = FilmJob(methods, (FakeDegrader(),), settings, tmp_path / "one")
    two = pickle.loads(pickle.dumps(dataclasses.replace(one, folder=tmp_path / "two")))
    assert one(rows[0]) == two(rows[0])


def test_the_ledger_gives_the_same_copy_when_made_and_when_read(tmp_path):
    film, degrader = make_film(0), FakeDegrader()
    made, read = (Ledger(tmp_path, film).degrade(degrader, 5) for _ in range(2))
    assert degrader.calls == 1
    assert np.array_equal(made, read)
    assert np.abs(made - degrader.degrade(film, 5)).max() <= 0.5 / 65535 + 1e-7
    assert not np.array_equal(made, Ledger(tmp_path, film).degrade(degrader, 6))
    assert not np.array_equal(made, Ledger(tmp_path, make_film(1)).degrade(degrader, 5))


def test_plain_methods():
    film = make_film(0)
    assert np.allclose(open_window(0.3 + 0.2 * film), open_window(film), atol=1e-5)
    wave = 0.5 + 0.4 * np.sin(np.arange(256) * 2 * np.pi / 32)[None] * np.ones((256, 1))
    fine = 0.5 + 0.4 * np.sin(np.arange(256) * 2 * np.pi / 2.5)[None] * np.ones((256, 1))
    kept, lost = (
        np.std(enlarge_half(x.astype(np.float32))[16:-16, 16:-16]) / np.std(open_window(x.astype(np.float32)))
        for x in (wave, fine)
    )
    assert kept > 0.97
    assert lost < 0.2  # beyond what half the pixels can hold


def test_the_main_system_is_delivered_then_mixed_then_the_last():
    a, b, c = (make_system(name) for name in ("mixed", "delivered", "bicubic"))
    assert [find_main(systems).name for systems in ((a, b, c), (c, a), (a, c)[1:])] == ["delivered", "mixed", "bicubic"]
    names = [method.name for method in make_methods((c, a), EvaluateRestorerSettings(), HOW)]
    assert names[len(PLAIN) :] == ["bicubic mean", "mixed mean", "mixed sample", "mixed blend"]


def test_steps_gives_one_point_per_step_and_alpha(rows, lungs, tmp_path):
    bench = make_bench(
        rows, tmp_path, [FakeDegrader()], parts=("steps",), curve_steps=(1, 2), curve_alphas=(0.0, 1.0),
        curve_degradation="munit_lq", curve_films=2,
    )  # fmt: skip
    part = evaluate_restorer(bench)["steps"]
    assert [point["steps"] for point in part["steps"]] == [1, 2]
    # All of the sample is the sample of 2 steps; none of it is the mean, which is also the sample of one step.
    one, two = ({name: point[name] for name in ("psnr_db", "ssim", "noise_db")} for point in part["steps"])
    none, all_ = ({name: point[name] for name in ("psnr_db", "ssim", "noise_db")} for point in part["alphas"])
    assert all_ == two
    assert none == pytest.approx(one, abs=2e-3)
    assert part["films"] == 2


def test_drrs_are_chosen_evenly_from_all_cases(drrs):
    chosen = choose_drrs(drrs, 4)
    assert [(row.case, row.path.parent.name) for row in chosen] == [
        ("ct-a", "pa"), ("ct-b", "pa"), ("ct-c", "pa"), ("ct-a", "pa_1")
    ]  # fmt: skip


def test_a_restored_drr_is_kept(drrs, tmp_path):
    method = Restoration(make_system("mixed"), HOW)
    first, second = (restore_drr(drrs[0], method, 0, tmp_path) for _ in range(2))
    assert np.array_equal(first[1], second[1])
    kept = list(tmp_path.glob("*/*.npy"))
    assert len(kept) == 1
    kept[0].unlink()
    assert np.array_equal(restore_drr(drrs[0], method, 0, tmp_path)[1], first[1])
    assert not np.array_equal(restore_drr(drrs[0], method, 1, tmp_path)[1], first[1])


def test_noise_is_measured_on_restored_films_and_drrs_beside_the_films(rows, drrs, lungs, tmp_path):
    bench = make_bench(rows, tmp_path, [load_degrader("identity")], drrs=drrs[:2], parts=("noise",))
    part = evaluate_restorer(bench)["noise"]
    assert {name: found["images"] for name, found in part["outputs"].items()} == {
        "identity": 3, "DRR": 2, "restored DRR": 2
    }  # fmt: skip
    assert part["films"] == 3
    assert part["left_out"] == 0
    assert part["method"] == "mixed blend"
    # A hazed DRR is opened by its window, and its blur is left: below films at the finest octave.
    finest = next(iter(part["outputs"]["DRR"]["octaves"].values()))
    assert finest["difference_db"] < -3
    assert f"| DRR | {finest['difference_db']:+.1f} |" in to_markdown({"noise": part})


def test_an_image_without_room_in_its_lungs_is_left_out(rows, drrs, lungs, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "drrx.evaluate.texture.find_lung_field",
        lambda image: find_box(image) & (image.mean() != load_film(rows[0]).mean()),
    )
    bench = make_bench(rows, tmp_path, [load_degrader("identity")], parts=("noise",))
    part = evaluate_restorer(bench)["noise"]
    assert (part["films"], part["left_out"]) == (2, 1)


def test_realism_learns_from_some_cases_and_judges_on_others(rows, drrs, lungs, tmp_path):
    settings = {"parts": ("realism",), "held_out": ("ct-c",), "realism_steps": 2}
    bench = make_bench(rows, tmp_path, [], drrs=drrs, **settings)
    bench = dataclasses.replace(
        bench, test=tuple(dataclasses.replace(rows[0], patient="new", split="test") for _ in "a")
    )
    part = evaluate_restorer(bench)["realism"]
    assert set(part["outputs"]) == {"DRR", "mixed blend"}
    for found in part["outputs"].values():
        assert (found["others_train_groups"], found["others_test_groups"]) == (2, 1)
        assert (found["films_train_groups"], found["films_test_groups"]) == (3, 1)
    auc = part["outputs"]["DRR"]["shown"]["auc"]
    assert f"| DRR | {auc:.3f} (" in to_markdown({"realism": part})
    with pytest.raises(DrrxError, match=r"the realism part: found no DRRs; needed --drrs"):
        evaluate_restorer(make_bench(rows, tmp_path, [], **settings))


def test_nodules_are_measured_on_films_and_blobs_on_drrs(rows, drrs, monkeypatch, tmp_path):
    monkeypatch.setattr("drrx.evaluate.blobs.find_lung_field", lambda image: np.ones(image.shape, bool))
    part = evaluate_restorer(make_bench(rows, tmp_path, [], drrs=drrs[:2], parts=("nodules",)))["nodules"]
    assert part["blobs"]["images"] == 2
    low, median, high = part["films"]["leakage"]
    assert f"| made on films: leakage | {median:.3f} ({low:.3f} to {high:.3f}) |" in to_markdown({"nodules": part})


def test_a_curve_on_a_degradation_that_is_not_tested_is_an_error(rows, tmp_path):
    bench = make_bench(rows, tmp_path, [FakeDegrader()], parts=("steps",))
    with pytest.raises(DrrxError, match=r"--curve-degradation: found physics, which is not tested; needed one of"):
        evaluate_restorer(bench)


def test_an_empty_split_is_an_error():
    with pytest.raises(DrrxError, match="found no film in split test"):
        choose_films((), "test", 0)


def test_report_and_figures_show_what_was_measured(rows, lungs, tmp_path):
    bench = make_bench(
        rows, tmp_path, [FakeDegrader()], parts=("matrix", "steps", "pictures"), curve_steps=(1, 2), curve_films=2,
        curve_alphas=(0.0, 1.0), curve_degradation="munit_lq",
    )  # fmt: skip
    report = evaluate_restorer(bench)
    text = to_markdown(report)
    scores = report["matrix"]["scores"]["munit_lq"]["mixed mean"]
    cell = f"{scores['psnr_db'][0]:.2f} / {scores['ssim'][0]:.3f} / {scores['ms_ssim'][0]:.3f}"
    assert f"| mixed mean | {cell} |" in text
    assert "| *paper, DDPM-HQ* | 27.50 / 0.92 |" in text
    assert "| +7.42 |" in text
    assert text.count("\n| 2 |") == 1
    assert [path.name for path in write_figures(report, tmp_path)] == ["matrix.png", "steps.png"]
    for name in ("matrix.png", "steps.png", "before_after.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 100


def test_command_measures_a_part_and_keeps_the_others(tmp_path, capsys):
    index = write_films(tmp_path / "films", 9)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text('{"future": {"kept": 1}}')
    words = ["--max-films", 1, "--degradations", "bicubic", "--steps", 1, "--modes", "mean", "--threads", 1]
    words += ["--images", index, "--output", tmp_path / "out", "--split", "train", "--parts", "matrix"]
    assert main(["evaluate-restorer", *map(str, words)]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["future"] == {"kept": 1}
    assert set(report["matrix"]["scores"]["bicubic"]) == {*PLAIN, "delivered mean"}
    assert (tmp_path / "out" / "report.md").read_text() in capsys.readouterr().out + "\n"
    assert main(["evaluate-restorer", *map(str, words), "--system", "other=no.safetensors"]) == 1
    assert "no.safetensors" in capsys.readouterr().err


def test_films_are_the_reference_as_windowed(rows):
    film = load_film(rows[0])
    assert film.min() == 0.0
    assert film.max() == 1.0


def test_grain_is_fitted_to_drrs_and_told(rows, drrs, lungs, tmp_path):
    bench = make_bench(rows, tmp_path, [], drrs=drrs[:2], parts=("grain",))
    report = evaluate_restorer(bench)
    assert len(report["grain"]["grain"]) == 4
    assert report["grain"]["images"] == 2
    assert "Gains for the setting `grain`" in to_markdown(report)
    with pytest.raises(DrrxError, match=r"found no DRR; .*Give a folder of them with --drrs"):
        evaluate_restorer(make_bench(rows, tmp_path, [], parts=("grain",)))
