"""The viewer in a real browser, from disk: filters, keys, drawings at the right pixels, ten thousand images."""

import json
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image
from skimage.draw import polygon2mask

from drrx.annotate.mask import decode_mask, encode_mask
from drrx.dataset.entries import CaseOutcome
from drrx.dataset.viewer.data import make_data, to_script
from drrx.dataset.viewer.outline import make_outline
from drrx.dataset.viewer.page import make_page
from drrx.dataset.viewer.preview import SCALES, STEPS, find_scale, make_difference
from drrx.dataset.viewer.write import write_viewer
from drrx.io.image import read_image, write_image
from tests.image_entries import make_entries

CLASSES = ("hidden", "subtle", "visible", "obvious")
NASTY = "</script><img src=x onerror=alert(1)>&\u2028"
CASES = [CaseOutcome("c1", "phantoms", "accepted"), CaseOutcome("c2", "phantoms", "accepted"),
         CaseOutcome("bad", NASTY, "refused", "NO_LUNGS", NASTY, NASTY)]  # fmt: skip
NUM_MANY = 10_000
MAX_ELEMENTS = 1500


def find_browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("none of these browsers is installed: " + ", ".join(names))
    return found


@pytest.fixture(scope="module")
def browser():
    program = find_browser()
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def watch(browser):
    """Open pages from disk; in the end no error may have been told and nothing asked for but files."""
    pages, complaints, requests = [], [], []

    def open_page(folder, address="", **options):
        page = browser.new_page(**{"viewport": {"width": 1200, "height": 800}, **options})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{(folder / 'index.html').as_uri()}{address}")
        pages.append(page)
        page.requested = requests
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("file:")] == []


@pytest.fixture
def visit(browser):
    with watch(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def grid(browser, dataset):
    """One page for all tests that only change its address."""
    with watch(browser) as open_page:
        page = open_page(dataset[0])

        def go(address):
            page.goto((dataset[0] / "index.html").as_uri() + address)
            return page

        yield go


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """All roles, two views, nodules that differ in type, zone, class, size and origin."""
    folder = tmp_path_factory.mktemp("viewer")
    entries = vary(make_entries(folder / "made"))
    for entry in entries:
        for source, name in ((entry.cxr, entry.file_name), (entry.drr, entry.drr_file_name)):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / name)
    names = [name for entry in entries for name in (entry.file_name, entry.drr_file_name)]
    written = write_viewer(folder, CASES, entries, names, 64)
    return folder, entries, written


def vary(entries):
    zones, splits = ("apical", "hilar", "free"), ("train", "test")
    made = []
    for number, entry in enumerate(entries):
        nodules = []
        for index, found in enumerate(entry.annotation.nodules):
            turn = number + 2 * index
            level = turn % 4
            signal = replace(found.after, d_prime=0.3 + 0.37 * (turn * 7 % 11), visibility_class=level)
            nodule = replace(found.nodule, zone=zones[turn % 3], diameter_mm=8.0 + turn)
            nodules.append(replace(found, nodule=nodule, after=signal, visibility_class=level))
        annotation = replace(entry.annotation, nodules=tuple(nodules))
        made.append(replace(entry, annotation=annotation, split=splits[entry.case == "c2"]))
    return made


def shown_ids(page):
    return page.eval_on_selector_all("#grid .id", "spans => spans.map(span => span.textContent)")


def count_of(page):
    return int(page.text_content("#count").split()[0])


def has(entry, test):
    return any(test(nodule) for nodule in entry.annotation.nodules)


LAWS = {
    "role=sham": lambda e: e.role == "sham",
    "role=sham,twin": lambda e: e.role in ("sham", "twin"),
    "view=lateral_1": lambda e: e.view == "lateral_1",
    "split=test": lambda e: e.split == "test",
    "case=c1": lambda e: e.case == "c1",
    "kind=calcified": lambda e: has(e, lambda n: n.nodule.kind == "calcified"),
    "zone=apical": lambda e: has(e, lambda n: n.nodule.zone == "apical"),
    "class=hidden,obvious": lambda e: has(e, lambda n: n.visibility_class in (0, 3)),
    "origin=real": lambda e: has(e, lambda n: n.nodule.origin == "real"),
    "min=12&max=16": lambda e: has(e, lambda n: 12 <= n.nodule.diameter_mm <= 16),
    # Both must hold for one and the same nodule.
    "kind=calcified&zone=free": lambda e: has(e, lambda n: (n.nodule.kind, n.nodule.zone) == ("calcified", "free")),
    "zone=hilar&case=c2": lambda e: e.case == "c2" and has(e, lambda n: n.nodule.zone == "hilar"),
    "q=c2 LATERAL": lambda e: e.case == "c2" and e.view == "lateral_1",
}  # fmt: skip


@pytest.mark.parametrize("address", LAWS)
def test_filters_in_the_address_show_what_python_finds(dataset, grid, address):
    page = grid("#" + address)
    expected = [entry.image_id for entry in dataset[1] if LAWS[address](entry)]
    assert 0 < len(expected) < len(dataset[1])
    assert shown_ids(page) == expected
    assert count_of(page) == len(expected)


def test_ticks_filter_tell_their_counts_and_go_into_the_address(dataset, visit):
    page = visit(dataset[0])
    entries = dataset[1]
    assert count_of(page) == len(entries) == 16
    told = counts_beside_ticks(page)
    assert {key: told[key] for key in told if key[0] == "role"} == Counter(("role", e.role) for e in entries)
    kinds = Counter(("kind", kind) for e in entries for kind in {n.nodule.kind for n in e.annotation.nodules})
    assert {key: told[key] for key in told if key[0] == "kind"} == kinds
    page.check("input[value=calcified]")
    rest = [e for e in entries if has(e, lambda n: n.nodule.kind == "calcified")]
    assert count_of(page) == len(rest)
    told = counts_beside_ticks(page)
    # A tick tells what it would give beside those of other groups, and instead of those of its own.
    assert told["kind", "solid"] == kinds["kind", "solid"]
    calcified = [n for e in rest for n in e.annotation.nodules if n.nodule.kind == "calcified"]
    classes = Counter(("class", CLASSES[n.visibility_class]) for n in calcified)
    assert {key: told[key] for key in told if key[0] == "class" and told[key]} == classes
    assert page.url.endswith("#kind=calcified")
    page.fill("input[name=q]", "nothing like this")
    assert page.is_visible("#no-match")
    page.click("text=Clear all filters")
    assert count_of(page) == len(entries)
    assert page.url.endswith("index.html#")


def counts_beside_ticks(page):
    read = "labels => labels.map(l => [l.firstChild.name, l.firstChild.value, Number(l.lastChild.textContent)])"
    return {(key, value): count for key, value, count in page.eval_on_selector_all("#facets label", read)}


@pytest.mark.parametrize("descending", ["", "1"])
@pytest.mark.parametrize("sort", ["id", "size", "dprime"])
def test_order(dataset, grid, sort, descending):
    page = grid(f"#role=positive,twin&sort={sort}" + ("&descending=1" if descending else ""))
    values = {
        "id": lambda e: e.image_id,
        "size": lambda e: max(n.nodule.diameter_mm for n in e.annotation.nodules),
        "dprime": lambda e: max(n.after.d_prime for n in e.annotation.nodules),
    }  # fmt: skip
    entries = {entry.image_id: entry for entry in dataset[1]}
    found = [values[sort](entries[name]) for name in shown_ids(page)]
    assert len(set(found)) > 3
    assert found == sorted(found, reverse=bool(descending))


def test_images_without_nodules_come_last(grid):
    for descending in ("", "&descending=1"):
        ids = shown_ids(grid(f"#sort=dprime{descending}"))
        assert all("_s1_" in name or "_removed_" in name for name in ids[-4:])


def box_on_screen(page, selector):
    return np.array(
        page.eval_on_selector(selector, "e => (r => [r.left, r.top, r.width, r.height])(e.getBoundingClientRect())")
    )


@pytest.mark.parametrize("zoomed", [False, True])
def test_boxes_lie_at_their_pixels(dataset, visit, zoomed):
    entry = next(e for e in dataset[1] if e.image_id == "c1_v1_lateral_1")
    page = visit(dataset[0], f"#image={entry.image_id}&show=bfc")
    if zoomed:
        page.keyboard.press("z")
    page.wait_for_function("[...document.querySelectorAll('#panels img')].every(img => img.complete)")
    for panel in ("drr", "cxr", "other", "difference"):
        stage = box_on_screen(page, f"[data-panel={panel}] .stage")
        # The image fills its stage as far as its shape allows, in the middle.
        scale = min(stage[2] / entry.width, stage[3] / entry.height)
        corner = stage[:2] + (stage[2:] - np.array([entry.width, entry.height]) * scale) / 2
        for nodule in entry.annotation.nodules:
            for name in ("visual", "full", "core"):
                drawn = box_on_screen(page, f"[data-panel={panel}] rect.{name}[data-nodule={nodule.nodule.nodule_id}]")
                box = np.array(getattr(nodule, f"bbox_{name}"))
                np.testing.assert_allclose((drawn[:2] - corner) / scale, box[:2], atol=0.05)
                np.testing.assert_allclose(drawn[2:] / scale, box[2:], atol=0.05)
    if zoomed:
        frame = box_on_screen(page, "[data-panel=cxr] .frame")
        middle = frame[:2] + frame[2:] / 2
        np.testing.assert_allclose(
            (middle - corner_of(page, entry)) / scale, entry.annotation.nodules[0].center_px, atol=0.2
        )


def corner_of(page, entry):
    stage = box_on_screen(page, "[data-panel=cxr] .stage")
    scale = min(stage[2] / entry.width, stage[3] / entry.height)
    return stage[:2] + (stage[2:] - np.array([entry.width, entry.height]) * scale) / 2


def test_panels_zoom_about_the_pointer_and_move_together(dataset, visit):
    page = visit(dataset[0], "#image=c1_v1_pa")
    boxes = [f"[data-panel={panel}] rect.visual[data-nodule=n1]" for panel in ("cxr", "drr")]
    before = box_on_screen(page, boxes[0])
    pointer = np.floor(before[:2])
    page.mouse.dblclick(*pointer)
    zoomed = box_on_screen(page, boxes[0])
    factor = zoomed[2] / before[2]
    assert factor > 4
    np.testing.assert_allclose(zoomed[:2] - pointer, (before[:2] - pointer) * factor, atol=0.2)
    other = box_on_screen(page, boxes[1])
    page.mouse.move(*pointer)
    page.mouse.down()
    page.mouse.move(pointer[0] - 20, pointer[1] - 15, steps=4)
    page.mouse.up()
    for box, was in zip(boxes, (zoomed, other), strict=True):
        np.testing.assert_allclose((box_on_screen(page, box) - was)[:2], [-20, -15], atol=1)


def test_masks_hold_exactly_their_pixels(dataset, visit):
    entry = next(e for e in dataset[1] if e.image_id == "c1_v1_pa")
    page = visit(dataset[0], "#image=c1_v1_pa&show=m")
    for nodule in entry.annotation.nodules:
        x, y, width, height = (int(value) for value in nodule.bbox_full)
        ys, xs = np.mgrid[y - 3 : y + height + 3, x - 3 : x + width + 3]
        inside = page.eval_on_selector(
            f"[data-panel=cxr] path.mask[data-nodule={nodule.nodule.nodule_id}]",
            """(path, points) => points.map(([x, y]) => {
                const image = path.ownerSVGElement.getScreenCTM();
                const point = new DOMPoint(x, y).matrixTransform(path.getScreenCTM().inverse().multiply(image));
                return path.isPointInFill(point);
            })""",
            np.stack([xs.ravel() + 0.5, ys.ravel() + 0.5], 1).tolist(),
        )
        np.testing.assert_array_equal(np.reshape(inside, xs.shape), decode_mask(nodule.mask)[ys, xs])


def test_toggles_by_key_and_by_button(dataset, visit):
    page = visit(dataset[0], "#image=c1_v1_pa")
    parts = {"b": ("rect.visual", "visual box"), "f": ("rect.full", "full box"), "c": ("rect.core", "core box"),
             "m": ("path.mask", "mask"), "d": (".layer-difference", "difference on CXR")}  # fmt: skip
    for key, (part, label) in parts.items():
        selector = f"[data-panel=cxr] {part} >> nth=0"
        before = page.is_visible(selector)
        assert before == (key == "b")
        page.keyboard.press(key)
        assert page.is_visible(selector) != before
        assert page.get_attribute(f"#layer-{key}", "aria-pressed") == str(not before).lower()
        page.click(f"#toggles >> text={label}")
        assert page.is_visible(selector) == before
    page.keyboard.down("t")
    assert page.is_visible(".layer-other")
    page.keyboard.up("t")
    assert not page.is_visible(".layer-other")


def wait_for_focus(page, image_id):
    test = "name => document.activeElement.querySelector('.id')?.textContent === name"
    page.wait_for_function(test, arg=image_id, timeout=5000)


def test_keys_open_move_and_close(dataset, visit):
    page = visit(dataset[0], "#role=positive")
    ids = [entry.image_id for entry in dataset[1] if entry.role == "positive"]
    page.focus("#grid button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.text_content("#detail-title") == ids[1]
    assert page.text_content("#position") == f"2 of {len(ids)}"
    page.keyboard.press("ArrowRight")
    assert page.text_content("#detail-title") == ids[2]
    assert f"image={ids[2]}" in page.url
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert page.text_content("#detail-title") == ids[0]
    page.keyboard.press("2")
    assert page.locator("#panels figure:visible").count() == 1
    page.keyboard.press("2")
    assert page.locator("#panels figure:visible").count() == 4
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert page.is_visible("#detail")
    page.keyboard.press("Escape")
    assert not page.is_visible("#detail")
    wait_for_focus(page, ids[0])
    assert "image=" not in page.url


def test_the_address_brings_everything_back(dataset, visit):
    page = visit(dataset[0])
    page.check("input[value=calcified]")
    page.select_option("#sort", "size")
    page.click("#descending")
    page.click("#grid button >> nth=1")
    page.keyboard.press("m")
    kept = (page.url, page.text_content("#detail-title"), shown_ids(page))
    again = visit(dataset[0], page.url[page.url.index("#") :])
    assert (again.url, again.text_content("#detail-title"), shown_ids(again)) == kept
    assert again.is_visible("[data-panel=cxr] path.mask >> nth=0")
    assert again.input_value("#sort") == "size"
    again.keyboard.press("Escape")
    assert count_of(again) == count_of(page) < len(dataset[1])
    page.go_back()
    assert not page.is_visible("#detail")
    assert page.is_checked("input[value=calcified]")


def test_difference_is_that_of_the_full_images(dataset, visit):
    folder, entries, _ = dataset
    by_id = {entry.image_id: entry for entry in entries}
    page = visit(folder, "#image=c1_v1_pa")
    source = page.get_attribute("[data-panel=difference] img", "src")
    assert (
        page.eval_on_selector("[data-panel=difference] img", "img => img.decode().then(() => img.naturalWidth)") == 256
    )
    difference = read_image(by_id["c1_v1_pa"].cxr) - read_image(by_id["c1_twin_pa"].cxr)
    ends = page.text_content("[data-panel=difference] .scale")
    scale = find_scale(difference)
    assert ends == f"\N{MINUS SIGN}{scale:g}+{scale:g}"
    with Image.open(folder / source) as image:
        colours = np.asarray(image.convert("RGBA")).astype(int)
    sign = np.where(colours[..., 0] > colours[..., 2], 1, -1)
    np.testing.assert_allclose(sign * colours[..., 3] / 255 * scale, difference, atol=scale / STEPS)
    assert np.abs(difference).max() > 0.3 * scale
    # The twin is compared with the image without the CT's own nodules.
    page = visit(folder, "#image=c1_twin_pa")
    assert page.locator("#panels figure").count() == 4
    assert "removed" in page.text_content("[data-panel=other]")


def test_colours_of_a_difference():
    image = make_difference(np.array([[-1.0, 0.0, 0.5, 9.0]], dtype=np.float32), 1.0)
    assert np.asarray(image.convert("RGBA"))[0, :, 3].tolist() == [255, 0, pytest.approx(128, abs=1), 255]
    assert [find_scale(np.array([value], dtype=np.float32)) for value in (0, -0.04, 2)] == [SCALES[0], 0.05, SCALES[-1]]


def test_outlines_are_small_and_lose_nothing():
    ys, xs = np.mgrid[:200, :300]
    radius, angle = np.hypot(xs - 150, ys - 80), np.arctan2(ys - 80, xs - 150)
    mask = (radius < 30 + 5 * np.sin(5 * angle)) & (radius > 8)
    mask[10, 20] = mask[0, :5] = mask[-1, -1] = True
    box = (*np.argwhere(mask.T).min(0), *(np.ptp(np.argwhere(mask.T), 0) + 1))
    outline = make_outline(encode_mask(mask), box)
    polygons = [[int(n) for n in re.findall(r"-?\d+", part)] for part in outline.split("z")[:-1]]
    assert len(polygons) == 5
    assert len(outline) < 700
    drawn = np.zeros_like(mask)
    for steps in polygons:
        points = np.cumsum(np.reshape(steps, (-1, 2)), axis=0) / 2 + box[:2]
        drawn ^= polygon2mask(mask.shape, points[:, ::-1] - 0.5)
    np.testing.assert_array_equal(drawn, mask)


def test_texts_of_others_stay_texts(dataset, visit):
    folder = dataset[0]
    page = visit(folder, "#tab=cases")
    assert NASTY in page.text_content("[data-part=cases]")
    assert page.locator("[data-part=cases] img").count() == 0
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert "<img" not in html.split("<script")[0]
    assert json.loads(to_script({"a": NASTY})) == {"a": NASTY}
    assert not re.search("[<>&\u2028]", to_script([NASTY]))


def test_nasty_facts_in_the_detail(dataset, visit, tmp_path):
    entry = replace(dataset[1][0], cohort=NASTY, source=replace(dataset[1][0].source, source=NASTY, licence=NASTY))
    (tmp_path / "index.html").write_text(make_page(CASES, make_data([entry], {}), []), encoding="utf-8")
    write_image(tmp_path / entry.file_name, np.zeros((8, 8)))
    write_image(tmp_path / entry.drr_file_name, np.zeros((8, 8)))
    (tmp_path / "previews").mkdir()
    shutil.copyfile(tmp_path / entry.file_name, tmp_path / f"previews/{entry.image_id}.jpg")
    page = visit(tmp_path, f"#image={entry.image_id}")
    assert page.text_content("#facts").count(NASTY) == 3
    assert page.locator("#facts img").count() == 0


def test_a_thumbnail_and_a_difference_per_image_and_one_page(dataset, visit):
    folder, entries, written = dataset
    assert len(set(written)) == len(written) == 2 * len(entries) + 1
    assert all((folder / name).is_file() for name in written)
    page = visit(folder, "#tab=files")
    links = page.eval_on_selector_all("[data-part=files] a", "links => links.map(a => a.getAttribute('href'))")
    assert set(links) == {"drr/", "images/", "index.html", "previews/"}
    assert page.locator("img:not([alt])").count() == 0


def test_narrow_screens_need_no_sideways_scrolling(dataset, visit):
    for address in ("", "#image=c1_v1_pa", "#tab=cases"):
        page = visit(dataset[0], address, viewport={"width": 360, "height": 700}, color_scheme="dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert not page.is_visible("#filter-form")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 24)"


@pytest.fixture(scope="module")
def many(dataset, tmp_path_factory):
    """Ten thousand images; their thumbnails are one file under as many names."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "previews").mkdir()
    some, entries = dataset[1], []
    for number in range(NUM_MANY):
        entry = some[number % len(some)]
        case = f"case-{number // (len(some) // 2):04d}"
        image_id = f"{case}_{entry.variant}_{entry.view}"
        entries.append(replace(entry, case=case, image_id=image_id))
        (folder / f"previews/{image_id}.jpg").hardlink_to(dataset[0] / f"previews/{entry.image_id}.jpg")
    compared = {entry.image_id: (entry, 0.1) for entry in entries}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drrx.dataset.viewer.data.make_outline", cache(make_outline))
        page = make_page([], make_data(entries, compared), [])
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder, entries


def test_ten_thousand_images_make_a_small_page(many):
    assert (many[0] / "index.html").stat().st_size < 1500 * NUM_MANY


def test_ten_thousand_images_draw_only_those_in_sight(many, visit):
    folder, entries = many
    page = visit(folder)
    assert count_of(page) == NUM_MANY
    assert page.locator(":not(option)").count() < MAX_ELEMENTS
    thumbs = [url for url in page.requested if url.endswith(".jpg")]
    assert 10 < len(thumbs) < 80
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_selector(f"text={entries[-1].image_id}")
    assert shown_ids(page)[-1] == entries[-1].image_id
    assert page.locator(":not(option)").count() < MAX_ELEMENTS
    thumbs = [url for url in page.requested if url.endswith(".jpg")]
    assert len(thumbs) < 160
    page.fill("input[name=q]", "case-0007")
    assert shown_ids(page) == [entry.image_id for entry in entries if entry.case == "case-0007"]
    page.fill("input[name=q]", "")
    page.focus("#grid button")
    page.keyboard.press("End")
    wait_for_focus(page, entries[-1].image_id)


def test_a_data_set_without_images_says_so(visit, tmp_path):
    (tmp_path / "index.html").write_text(make_page(CASES[2:], make_data([], {}), []), encoding="utf-8")
    page = visit(tmp_path)
    assert page.text_content("#no-match") == "The data set has no image."
    page.click("text=Cases")
    assert "NO_LUNGS" in page.text_content("[data-part=cases]")
