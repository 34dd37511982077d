"""Images of a small data set as they stand before it is written: two cases, two views, all roles."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from drrx.annotate.annotate import Finding, annotate_image
from drrx.annotate.settings import AnnotateCxrSettings
from drrx.dataset.entries import ImageEntry, Source, ViewFacts
from drrx.geometry import Pose, View, ViewName, make_standard_view
from drrx.io.image import write_image
from drrx.records.annotation import ImageAnnotation
from tests.test_annotate import make_nodule, make_pair, make_shadow

SIZE_PX = 256
CENTERS = {"n1": (30.0, 20.0, -40.0), "n2": (45.0, -10.0, -30.0), "r1": (-60.0, 0.0, 40.0)}
VARIANTS = {"twin": ("r1",), "v1": ("n1", "n2", "r1"), "s1": ("r1",), "removed": ()}
LICENCE = "https://creativecommons.org/licenses/by/3.0/"
FACTS = {"radiograph": {"physics": {"beam": "120kvp"}}, "restoration": {"mode": "blend", "weights_sha256": "ab" * 32}}


def make_view(name: str) -> View:
    """A view of 430 mm, 1.68 mm pixels."""
    return make_standard_view(np.zeros(3), projection=ViewName.parse(name).projection, size_px=SIZE_PX, name=name)


def make_entries(folder: Path, cases=("c1", "c2"), views=("pa", "lateral_1"), facts=FACTS) -> list[ImageEntry]:
    """Write images below ``folder`` and return their entries."""
    return [
        make_entry(folder, case, variant, view, number, facts)
        for number, case in enumerate(cases)
        for view in views
        for variant in VARIANTS
    ]


def make_entry(folder: Path, case: str, variant: str, view_name: str, seed: int, facts=FACTS) -> ImageEntry:
    """One image whose nodules are balls; those that overlap give masks that do."""
    view, names = make_view(view_name), (case, variant, view_name)
    image_id = "_".join(names)
    nodules = [make_known(nodule_id) for nodule_id in VARIANTS[variant]]
    shadows = [make_shadow(nodule, view) for nodule in nodules]
    pairs = [make_pair(shadow, seed=seed) for shadow in shadows]
    findings = [Finding(*item, pair, pair) for *item, pair in zip(nodules, shadows, pairs, strict=True)]
    annotation = annotate_image(names, findings, view, {}, AnnotateCxrSettings(), facts)
    pixels = np.random.default_rng(seed).random(view.shape)
    for pair in pairs:
        pixels += pair.positive - pair.twin
    files = [folder / f"{image_id}_{kind}.png" for kind in ("cxr", "drr")]
    for file in files:
        write_image(file, pixels)
    return _make_entry(names, view, files, annotation)


def make_known(nodule_id: str):
    """A nodule by its name: ``n1`` solid, ``n2`` calcified beside it, ``r1`` the CT's own."""
    kind = "calcified" if nodule_id == "n2" else "solid"
    origin = "real" if nodule_id.startswith("r") else "simulated"
    made = replace(make_nodule(CENTERS[nodule_id], 24.0, kind), nodule_id=nodule_id, origin=origin)
    return replace(made, shape=None) if origin == "real" else made


def _make_entry(names, view: View, files: list[Path], annotation: ImageAnnotation) -> ImageEntry:
    case, variant, view_name = names
    name = ViewName.parse(view_name)
    facts = ViewFacts(
        name.projection, name.view_position, name.patient_orientation, view.pixel_spacing_mm,
        view.source_to_detector_mm, 1600.0, (Pose(tilt_deg=1.5) if name.is_jittered else Pose()).to_json(),
    )  # fmt: skip
    return ImageEntry(
        image_id="_".join(names), case=case, cohort="phantoms", variant=variant, view=view_name,
        source=Source(case, LICENCE, "phantom"), split="train", facts=facts, width=SIZE_PX, height=SIZE_PX,
        cxr=files[0], drr=files[1], paths=files[0].with_suffix(".npz"), annotation=annotation,
    )  # fmt: skip
