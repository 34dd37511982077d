"""The data card: its counts are right, it names sources and refusals, and other readers understand its head."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from huggingface_hub import DatasetCard
from PIL import Image

import drrx
from drrx.dataset import census
from drrx.dataset.card import make_card, write_card
from drrx.dataset.entries import CaseOutcome, Source
from drrx.records.nodule_shape import Transplant
from tests.image_entries import LICENCE, make_entries
from tests.test_annotate import IDENTITY

OUTCOMES = (
    CaseOutcome("c1", "phantoms", "accepted", rejections={"no_lung_around": 3, "large_vessel": 4}),
    CaseOutcome("c2", "phantoms", "corrected", corrections=("PADDING: 3 %",), rejections={"no_lung_around": 2}),
    CaseOutcome("c3", "site", "refused", "NO_LUNGS", "x.nii: found none", "Use a chest CT."),
    CaseOutcome("c4", "site", "refused", "NO_LUNGS", "y.nii: found none", "Use a chest CT."),
    CaseOutcome("c5", "site", "refused", "SLICE_GAP", "z.nii: found a gap", "Export all slices."),
)
RUN = {"seed": 5, "settings": {"views": ["pa", "lateral_1"], "sample_nodules": {"preset": "cxr"}, "variants": 1}}


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    return make_entries(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def card(entries):
    return make_card(OUTCOMES, entries, RUN)


def read_tables(card):
    """Every table of the card as its rows, by the first cell of its head."""
    tables, current = {}, None
    for line in card.splitlines():
        if not line.startswith("| "):
            current = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if current is None:
            current = tables.setdefault(cells[0], [])
            current.append(cells)
        elif set("".join(cells)) != {"-"}:
            current.append(cells)
    return tables


def test_images_are_counted_by_view_role_and_split(card):
    tables = read_tables(card)
    # Two cases; nodules seen: r1 in twin, v1 and s1, n1 and n2 in v1.
    assert tables["view"][1:] == [
        ["lateral", "2", "2", "2", "2", "2", "10"], ["pa", "2", "2", "2", "2", "2", "10"],
        ["all", "2", "4", "4", "4", "4", "20"],
    ]  # fmt: skip
    assert tables["split"][1:] == [["train", "2", "4", "4", "4", "4", "20"], ["all", "2", "4", "4", "4", "4", "20"]]
    assert "Cases: 2 of 5 given. Images: 16, 256 x 256 px. Nodules: 6, seen 20 times in all images." in card


def test_nodules_are_counted_once_whatever_shows_them(entries, card):
    assert len(census.list_distinct(entries)) == 6
    assert len(census.list_shown(entries)) == 20
    tables = read_tables(card)
    assert tables["diameter"] == [
        ["diameter", "solid", "part solid", "ground glass", "calcified", "all"],
        ["20 to 30 mm", "4", "0", "0", "2", "6"], ["all", "4", "0", "0", "2", "6"],
    ]  # fmt: skip
    assert ["real", "2", "0", "0", "2"] in tables["origin"]
    assert ["simulated", "4", "0", "0", "4"] in tables["origin"]
    assert tables["lobe"][1:] == [["left upper", "0", "0", "0", "0", "6", "6"], ["all", "0", "0", "0", "0", "6", "6"]]


def test_classes_of_visibility_are_those_of_the_images(entries, card):
    expected = Counter(n.visibility_class for entry in entries for n in entry.annotation.nodules)
    (row,) = [row for row in read_tables(card)["zone"] if row[0] == "free"]
    assert row[1:] == [*(str(expected[number]) for number in range(4)), "20"]


def test_refusals_repairs_and_rejected_places_are_told_with_counts(card):
    tables = read_tables(card)
    assert tables["cases refused for"][1:] == [
        ["`NO_LUNGS`", "2", "Use a chest CT."], ["`SLICE_GAP`", "1", "Export all slices."],
    ]  # fmt: skip
    assert tables["cases repaired for"][1:] == [["`PADDING`", "1"]]
    assert tables["because"][1:] == [["no lung around", "5"], ["large vessel", "4"]]


def test_sources_licences_and_library_nodules_are_named(entries):
    transplant = Transplant("lidc-77", "ef" * 32, IDENTITY, 1.1)
    changed = []
    for entry in entries:
        nodules = tuple(
            replace(n, nodule=replace(n.nodule, origin="transplanted", transplant=transplant, shape=None))
            if n.nodule.nodule_id == "n1"
            else n
            for n in entry.annotation.nodules
        )
        source = Source("p9", "CC BY 4.0", "a | b") if entry.case == "c2" else entry.source
        changed.append(replace(entry, source=source, annotation=replace(entry.annotation, nodules=nodules)))
    tables = read_tables(make_card(OUTCOMES, changed, RUN).replace("\\|", "/"))
    assert tables["source of the CTs"][1:] == [["a / b", "CC BY 4.0", "1"], ["phantom", LICENCE, "1"]]
    assert tables["library id"][1:] == [["lidc-77", "ef" * 6, "2"]]


def test_making_is_told(card):
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    for expected in (f"drrx | {drrx.__version__}", "seed | 5", "views | pa, lateral_1", "sample_nodules.preset | cxr"):
        assert f"| {expected} |" in rows
    assert f"| weights of the restorer, SHA-256 | `{'ab' * 32}` |" in rows


@pytest.mark.parametrize(
    ("diameter_mm", "expected"),
    [
        (5.9, "below 6 mm"),
        (6.0, "6 to 8 mm"),
        (29.9, "20 to 30 mm"),
        (30.0, "30 mm and more"),
        (44.0, "30 mm and more"),
    ],
)
def test_classes_of_diameter_have_no_gap(diameter_mm, expected):
    assert census.name_size(diameter_mm) == expected
    assert expected in census.list_sizes()


def test_cross_table_adds_up():
    draw = random.Random(1)
    pairs = [(draw.choice("abc"), draw.choice("xy")) for _ in range(100)]
    *rows, below = census.cross(pairs, "abcd", "xy")
    assert [row[0] for row in rows] == ["a", "b", "c"]
    for row in rows:
        assert int(row[1]) + int(row[2]) == int(row[3]) == sum(first == row[0] for first, _ in pairs)
    assert below == ["all", str(sum(y == "x" for _, y in pairs)), str(sum(y == "y" for _, y in pairs)), "100"]


def test_hugging_face_reads_the_head(card):
    data = DatasetCard(card).data
    assert data.task_categories == ["object-detection", "image-segmentation"]
    assert data.size_categories == ["n<1K"]
    assert data.license == "other"
    assert data.pretty_name.startswith("drrx: ")


def test_same_entries_same_bytes_without_dates(entries, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert write_card(folder, OUTCOMES, entries, RUN) == ["data_card.md", "data_card.png"]
    for name in ("data_card.md", "data_card.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with Image.open(tmp_path / "a/data_card.png") as figure:
        assert figure.size == (1200, 720)
        assert set(figure.info) <= {"dpi"}
    assert "(data_card.png)" in (tmp_path / "a/data_card.md").read_text()


def test_a_data_set_without_images_has_a_card(tmp_path):
    write_card(tmp_path, OUTCOMES[2:], [], {})
    text = (tmp_path / "data_card.md").read_text()
    assert "Cases: 0 of 3 given. Images: 0. Nodules: 0" in text
    assert "`NO_LUNGS` | 2" in text
