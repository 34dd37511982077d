"""Croissant: valid for mlcroissant without a word of complaint, and its records are the tables' rows."""

import csv
import hashlib
import logging

import numpy as np
import pytest
from PIL import Image

from drrx.dataset.formats.coco import write_coco
from drrx.dataset.formats.croissant import find_type, write_croissant
from drrx.dataset.formats.masks import write_masks
from drrx.dataset.tables import IMAGE_COLUMNS, NODULE_COLUMNS, write_tables
from tests.image_entries import LICENCE, make_entries

mlcroissant = pytest.importorskip("mlcroissant")


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    return make_entries(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("dataset")
    names = [*write_tables(folder, entries), *write_coco(folder, entries), *write_masks(folder, entries)]
    assert write_croissant(folder, entries, names, "2026-11-23") == ["croissant.json"]
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return mlcroissant.Dataset(jsonld=folder / "croissant.json")


def read_rows(folder, table):
    return list(csv.DictReader((folder / f"{table}.csv").open()))


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


def test_mlcroissant_finds_no_error_and_no_warning(folder, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert not caplog.records
    assert "WARNING" not in capfd.readouterr().err
    assert str(dataset.metadata.ctx.conforms_to.value) == "http://mlcommons.org/croissant/1.0"
    assert dataset.metadata.license == [LICENCE]
    assert dataset.metadata.data_limitations
    assert dataset.metadata.personal_sensitive_information


def test_a_data_set_without_a_date_has_that_warning_only(folder, entries, tmp_path):
    for path in folder.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_croissant(tmp_path, entries, ["images.csv", "nodules.csv"])
    (warning,) = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json").metadata.ctx.issues.warnings
    assert "datePublished" in warning


@pytest.mark.parametrize("table", ["images", "nodules"])
def test_records_are_the_rows_of_the_tables(folder, dataset, table):
    rows = read_rows(folder, table)
    records = list(dataset.records(table))
    assert len(records) == len(rows) > 10
    for row, record in zip(rows, records, strict=True):
        assert set(record) == {f"{table}/{column}" for column in row}
        for column, text in row.items():
            value = as_text(record[f"{table}/{column}"])
            if text == "":
                assert value is None, column
            elif find_type(table, column) == "sc:Text":
                assert value == text
            else:
                assert float(value) == float(text), column


@pytest.mark.parametrize(("table", "columns"), [("images", IMAGE_COLUMNS), ("nodules", NODULE_COLUMNS)])
def test_types_of_columns_are_those_of_their_cells(folder, table, columns):
    """A column that is added as text must be named as such."""
    for row in read_rows(folder, table):
        assert set(row) == set(columns)
        for column, text in row.items():
            kind = find_type(table, column)
            if text and kind == "sc:Integer":
                assert int(text) == float(text)
            elif text and kind == "sc:Boolean":
                assert text in ("0", "1")
            elif text and kind == "sc:Float":
                float(text)


def test_masks_are_read_as_images(folder, dataset):
    records = {as_text(r["masks/file_name"]): r["masks/content"] for r in dataset.records("masks")}
    assert set(records) == {f"masks/{path.name}" for path in (folder / "masks").iterdir()}
    for name, content in records.items():
        np.testing.assert_array_equal(np.asarray(content)[..., 0], np.asarray(Image.open(folder / name)))


def test_sums_and_sizes_are_those_of_the_files(folder, dataset):
    assert {file.id for file in dataset.metadata.file_objects} == {
        "images.csv", "nodules.csv", "annotations.json", "records.jsonl",
    }  # fmt: skip
    for file in dataset.metadata.file_objects:
        content = (folder / file.content_url).read_bytes()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.content_size == f"{len(content)} B"


def test_same_data_set_same_bytes(folder, entries, tmp_path):
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")]
    for path in folder.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_croissant(tmp_path, entries, [*names, "croissant.json"], "2026-11-23")
    assert (tmp_path / "croissant.json").read_bytes() == (folder / "croissant.json").read_bytes()
    assert str(folder) not in (folder / "croissant.json").read_text()
