"""Inserted nodules to set beside real ones: the same diameters and types, in the user's own cases."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from drrx.errors import CaseRefused, DrrxError
from drrx.evaluate.nodule_audit.cube import cut_cube
from drrx.evaluate.nodule_audit.look import measure_cube
from drrx.evaluate.nodule_audit.results import Case
from drrx.nodule.nodule_library import cut_free
from drrx.nodule.patch import insert_nodules
from drrx.nodule.psf import find_scan_blur
from drrx.nodule.sample import NoduleSample, sample_nodules
from drrx.nodule.settings import SampleNodulesSettings
from drrx.records.nodule_library import LibraryPatch
from drrx.seeds import make_seed
from drrx.volume import Volume

Row = dict[str, Any]


def measure_real(patches: Sequence[LibraryPatch]) -> list[Row]:
    """Return the look of every real nodule, with ``name`` and ``kind``."""
    rows = []
    for patch in patches:
        cube, mask = cut_cube(patch.ct, patch.ct.with_values(patch.mask))
        look = measure_cube(cube.values, mask)
        rows.append({"name": patch.real_nodule_id, "kind": cut_free(patch).kind} | asdict(look))
    return rows


def measure_matched(
    real: Sequence[Row], cases: Sequence[Case], settings: SampleNodulesSettings, seed: int,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[list[Row], list[str]]:  # fmt: skip
    """Insert into each case one nodule per real one, of its measured diameter and its type, alone, and measure it.

    It is put into 1 mm voxels of the CT, the library's form: in radiographs, too, a nodule does not go through the CT's
    own voxels.

    Parameters
    ----------
    real
        From ``measure_real``.
    cases
        Folders with CT and label map.
    settings
        What is not fixed by the match: margins, attachments, places, blur.
    seed
        With the case's name and the real nodule's: the same nodules again.

    Returns
    -------
    rows, refused
        Looks with ``name`` (of the real nodule), ``kind``, ``case``, ``slice_mm``, ``margin``, ``attachment``; and a
        line per nodule that found no place.

    Raises
    ------
    DrrxError
        None found a place.
    """
    rows, refused = [], []
    for case in cases:
        ct, anatomy = case.read_ct(), case.read_anatomy()
        draw = partial(sample_nodules, ct, anatomy, blur=find_scan_blur(ct, anatomy.labels, settings))
        for one in real:
            try:
                sample = draw(_match(settings, one), make_seed(seed, "nodule_audit", case.name, one["name"]))
                rows.append(
                    {"name": one["name"], "case": case.name, "slice_mm": ct.spacing_mm[0]} | _measure(ct, sample)
                )
            except CaseRefused as error:
                refused.append(f"{case.name}, like {one['name']} ({one['diameter_mm']:.1f} mm): {error.code}")
        progress(f"{case.name}: {sum(row['case'] == case.name for row in rows)} nodules like the real ones")
    if not rows:
        raise DrrxError(
            where="evaluate-nodules", found=f"no place for any of {len(refused)} nodules ({refused[0]})",
            needed="cases with room in their lungs", hint="Name other cases.",
        )  # fmt: skip
    return rows, refused


def _match(settings: SampleNodulesSettings, one: Row) -> SampleNodulesSettings:
    return replace(
        settings, num_nodules=1, num_nodules_max=None, kind=one["kind"], diameter_min_mm=one["diameter_mm"],
        diameter_max_mm=one["diameter_mm"], min_diameter_slices=1.0, nodule_library="",
    )  # fmt: skip


def _measure(ct: Volume, sample: NoduleSample) -> Row:
    nodule, patch = sample.nodules[0], sample.patches[0]
    cube, mask = cut_cube(ct, patch.grid)
    look = measure_cube(insert_nodules(cube, [patch]).values, mask)
    return {"kind": nodule.kind, "margin": nodule.margin, "attachment": nodule.attachment} | asdict(look)
