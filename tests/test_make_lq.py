import argparse

import numpy as np
import pytest

from drrx.cli import make_lq as command
from drrx.degrader.model import DEGRADERS, load_degrader
from drrx.degrader.pairs import make_lq
from drrx.degrader.settings import MakeLqSettings
from drrx.errors import DrrxError
from drrx.io.image import read_image
from drrx.pairs.domain import read_drrs
from drrx.pairs.films import read_films
from drrx.pairs.pool import load_pool
from drrx.pairs.store import pair_files, read_table
from tests.films import make_film, write_films


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films") / "x")


def test_identity_changes_nothing_and_bicubic_little():
    film = make_film(3)
    assert np.abs(load_degrader("identity").degrade(film, 1) - film).max() < 0.03
    soft = load_degrader("bicubic").degrade(film, 1)
    assert 0.001 < np.abs(soft - film).mean() < 0.05


@pytest.mark.parametrize("name", [name for name in DEGRADERS if not name.endswith("_lq")])
def test_a_copy_depends_on_film_and_seed_alone(name):
    film, degrader = make_film(4), load_degrader(name)
    first = degrader.degrade(film, 5)
    assert first.shape == film.shape
    assert first.dtype == np.float32
    assert np.array_equal(first, degrader.degrade(film, 5))


def test_command_writes_pairs_that_training_reads_and_goes_on_where_it_stopped(index, tmp_path):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = f"--model physics --images {index} --output {tmp_path} --splits train --copies 2 --nodules 40"
    command.run(parser.parse_args(words.split()))
    rows = read_table(tmp_path)
    before = {path: path.read_bytes() for row in rows for path in pair_files(tmp_path, row.pair)}
    lost = pair_files(tmp_path, rows[3].pair)[1]
    lost.unlink()
    command.run(parser.parse_args(words.split()))
    assert {path: path.read_bytes() for path in before} == before
    assert {row.split for row in rows} == {"train"}
    assert len({row.film for row in rows}) * 2 == len(rows)
    film, lq, mask = (read_image(path) for path in pair_files(tmp_path, rows[0].pair))
    assert film.shape == lq.shape == mask.shape
    assert 0 < mask.mean() < 0.5


def test_nodules_go_in_before_the_copy_is_made(index, tmp_path):
    rows, degrader = read_films(index), load_degrader("identity")
    for folder, number in (("with", 40), ("without", 0)):
        make_lq(rows, degrader, tmp_path / folder, MakeLqSettings(splits=("train",), nodules=number), print)
    row = read_table(tmp_path / "with")[0]
    (film, lq, mask), (bare, _, _) = (
        [read_image(path) for path in pair_files(tmp_path / folder, row.pair)] for folder in ("with", "without")
    )
    inside = (mask > 0.5) & (film < 0.97) & (film - bare > 0.01)
    assert inside.sum() > 50
    assert np.abs(lq - film)[inside].max() < 0.03
    assert np.abs(film - bare)[mask == 0].max() < 0.05


def test_a_folder_keeps_to_one_model_and_seed(index, tmp_path):
    rows = read_films(index)
    make_lq(rows, load_degrader("identity"), tmp_path, MakeLqSettings(splits=("val", "train")), print)
    with pytest.raises(
        DrrxError, match=r"made_by.json: found .*'seed': 0.*; needed .*'seed': 1.*Give another --output"
    ):
        make_lq(rows, load_degrader("identity"), tmp_path, MakeLqSettings(seed=1), print)
    with pytest.raises(DrrxError, match="found no film in the splits none"):
        make_lq(rows, load_degrader("identity"), tmp_path / "b", MakeLqSettings(splits=("none",)), print)


def test_a_pool_draws_each_kind_by_its_share_and_pairs_of_its_split(index, tmp_path):
    rows = read_films(index)
    make_lq(rows, load_degrader("bicubic"), tmp_path, MakeLqSettings(splits=("train", "test")), print)
    table = (tmp_path / "pairs.csv").read_text()
    (tmp_path / "pairs.csv").write_text(table.replace(",bicubic,", ",munit_lq,"))
    pool = load_pool(rows, [tmp_path], {"munit_lq": 1.0, "identity": 3.0}, "train", nodule_share=0.0)
    assert len(pool.pairs["munit_lq"]) == sum(row.split == "train" for row in read_table(tmp_path))
    rng = np.random.default_rng(0)
    same = [float((crop := pool.draw(rng, 64)).clean.sub(crop.degraded).abs().std()) < 0.02 for _ in range(60)]
    assert 30 < sum(same) < 60
    crop = pool.draw(rng, 64, "munit_lq")
    assert crop.clean.shape == crop.degraded.shape == crop.mask.shape == (64, 64)


def test_a_kind_without_pairs_is_an_error_that_says_how_to_make_them(index, tmp_path):
    rows = read_films(index)
    with pytest.raises(DrrxError, match=r"found no pairs of munit_lq; .*Make them with drrx make-lq"):
        load_pool(rows, [], {"munit_lq": 1.0}, "train", nodule_share=0.5)
    with pytest.raises(DrrxError, match="found every share is 0"):
        load_pool(rows, [], {"physics": 0.0}, "train", nodule_share=0.5)
    with pytest.raises(DrrxError, match="none in split train"):
        load_pool((), [], {"physics": 1.0}, "train", nodule_share=0.5)
    with pytest.raises(DrrxError, match=r"pairs.csv: found .*; .*Make the pairs with drrx make-lq"):
        load_pool(rows, [tmp_path / "none"], {"munit_lq": 1.0}, "train", nodule_share=0.5)


def test_drrs_share_draws_by_folder_then_by_case(tmp_path):
    from drrx.io.image import write_image

    for name in ("a/cases/x/twin/pa/drr.png", "a/cases/x/twin/pa_1/drr.png", "a/cases/y/twin/pa/drr.png", "b/z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name, make_film(1))
    write_image(tmp_path / "a/cases/x/twin/pa/other.png", make_film(1))
    rows = read_drrs([f"{tmp_path / 'a'}=3", f"{tmp_path / 'b'}=1"])
    assert [(row.case, row.weight) for row in rows] == [("x", 0.1875), ("x", 0.1875), ("y", 0.375), ("z", 0.25)]
    assert {row.case for row in read_drrs([str(tmp_path / "a")], exclude=["x"])} == {"y"}
    with pytest.raises(DrrxError, match="found weight 'none'; needed DIR or DIR=WEIGHT"):
        read_drrs([f"{tmp_path / 'a'}=none"])
    with pytest.raises(DrrxError, match="found no DRR to use"):
        read_drrs([f"{tmp_path / 'b'}=1"], exclude=["z"])
