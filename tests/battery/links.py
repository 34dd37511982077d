"""Links in the folder of a case (row 48)."""

import os
from dataclasses import replace
from pathlib import Path

from numpy.random import Generator

from tests.battery.body import make_body
from tests.battery.kind import SMALL, Built, Group
from tests.battery.writing import build_series, stack, write_series

GROUP = Group("link")


def _build_linked(folder: Path, rng: Generator, outside: bool) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    target = folder / "elsewhere" if outside else built.path / ".store"  # hidden, as git-annex has it
    target.mkdir()
    for file in rng.choice(sorted(built.path.glob("*.dcm")), int(rng.integers(1, 5)), replace=False):
        moved = target / file.name
        file.rename(moved)
        file.symlink_to(moved if outside else os.path.relpath(moved, file.parent))
    return built


GROUP.add("link-outside", 48, "slices that are links to files outside the case's folder",
          lambda folder, rng: _build_linked(folder, rng, True), codes="LINK_ESCAPE")  # fmt: skip


GROUP.add("link-outside-allowed", 48, "links to files outside, allowed by the user",
          lambda folder, rng: _build_linked(folder, rng, True),
          settings=replace(SMALL, follow_links="any"))  # fmt: skip
GROUP.add("link-inside", 48, "links to files within the case's folder",
          lambda folder, rng: _build_linked(folder, rng, False))  # fmt: skip


@GROUP.kind("link-folder-outside", 48, "a link to a folder outside, with more slices", codes="LINK_ESCAPE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    slices = stack(body.volume)
    cut = int(rng.integers(6, 15))
    path = write_series(folder, slices[:cut])
    (path / "more").symlink_to(write_series(folder, slices[cut:], name="elsewhere"))
    return Built(path, body.volume, body.markers_mm)


@GROUP.kind("link-loop", 48, "links in a circle", codes="LINK_ESCAPE")
def _(folder: Path, rng: Generator) -> Built:
    body = make_body(rng)
    built = build_series(folder, body, stack(body.volume), rng)
    case = int(rng.integers(3))
    if case == 0:
        (built.path / "again").symlink_to(built.path)
    elif case == 1:
        (built.path / "loop.dcm").symlink_to("loop.dcm")
    else:
        (built.path / "a").mkdir()
        (built.path / "a" / "up").symlink_to("..")
    return built
