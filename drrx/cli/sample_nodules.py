"""Draw lung nodules for a CT and put each in a safe place in the lungs.

Reads a canonical CT (from `drrx read-ct` or `drrx make-phantom`) and its label map (from `drrx segment-anatomy`).
Writes, for each variant v1, v2, ... (and each sham s1, s2, ..., which is that insertion with lung for nodule):

  DIR/v1/nodules.json   every drawn number of each nodule: type, size, HU, margin, place (LPS mm), what was measured
  DIR/v1/nodules.npz    each nodule on its own fine grid: N_occupancy, N_hu_before, N_hu_after, N_world_from_index
  DIR/v1/nodules.nii.gz with --write-ct: the CT with the nodules of this variant in it

With --annotations the real nodules that somebody marked in the CT are kept clear of; DIR/removed holds them in the
same form, and with --write-ct the CT without them.

The same CT, settings and seed give the same nodules.

Example: drrx sample-nodules ct.nii.gz --anatomy anatomy.nii.gz --output nodules --seed 1 --num-variants 2
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drrx.records.nodule import Nodule
    from drrx.records.patch import NodulePatch

SUMMARY = "draw lung nodules for a CT and place them (records and small patches)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``sample-nodules``."""
    from drrx.cli.options import add_settings
    from drrx.nodule.settings import SampleNodulesSettings

    parser.add_argument("ct", type=Path, metavar="CT", help="canonical CT, .nii.gz, HU")
    parser.add_argument("--anatomy", type=Path, required=True, metavar="LABELS.nii.gz", help="its label map")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--annotations", type=Path, metavar="FILE",
                        help="real nodules of the CT: label mask, or .csv of LUNA16 (docs/pipeline.md)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="INTEGER", help="seed of all draws (default: 0)")
    parser.add_argument("--write-ct", action="store_true", help="also write the CT with the nodules (large)")
    add_settings(parser, SampleNodulesSettings)


def run(args: argparse.Namespace) -> None:
    """Read, sample, write."""
    from drrx.cli.options import make_settings
    from drrx.io.annotations import read_annotations
    from drrx.io.arrays import write_arrays
    from drrx.io.files import write_json
    from drrx.io.nifti import read_volume, write_volume
    from drrx.io.nodule_library import read_library
    from drrx.io.settings import ReadCtSettings
    from drrx.nodule.known import KnownNodule, find_known_nodules
    from drrx.nodule.nodule_library import make_library
    from drrx.nodule.patch import insert_nodules
    from drrx.nodule.psf import find_scan_blur
    from drrx.nodule.sample import sample_nodules
    from drrx.nodule.settings import SampleNodulesSettings
    from drrx.nodule.sham import make_sham
    from drrx.records.anatomy import Anatomy
    from drrx.records.patch import patches_to_arrays
    from drrx.records.variant import REMOVED, check_num_shams
    from drrx.seeds import make_seed

    settings = make_settings(SampleNodulesSettings, vars(args), "drrx sample-nodules")
    ct, anatomy = read_volume(args.ct), Anatomy(read_volume(args.anatomy))
    library = make_library(read_library(settings.nodule_library)) if settings.nodule_library else ()
    blur = find_scan_blur(ct, anatomy.labels, settings)
    check_num_shams(settings.num_shams, settings.num_variants, "drrx sample-nodules --num-shams")

    def write(variant: str, nodules: "Sequence[Nodule]", patches: "Sequence[NodulePatch]", **facts: object) -> None:
        folder = args.output / variant
        write_arrays(folder / "nodules.npz", patches_to_arrays(tuple(patches)), compress=True)
        if args.write_ct:
            undone = [replace(patch, hu_before=patch.hu_after, hu_after=patch.hu_before) for patch in patches]
            write_volume(folder / "nodules.nii.gz", insert_nodules(ct, undone if variant == REMOVED else patches))
        write_json(folder / "nodules.json", {"nodules": [nodule.to_json() for nodule in nodules], **facts})

    known: tuple[KnownNodule, ...] = ()
    if args.annotations:
        labels = read_annotations(args.annotations, ct, ReadCtSettings())
        known = find_known_nodules(ct, ct.with_values(labels), anatomy)
        write(REMOVED, [each.nodule for each in known], [each.patch for each in known])
    taken = [(each.nodule.center_world_mm, each.nodule.diameter_mm) for each in known]
    for number in range(1, settings.num_variants + 1):
        variant = f"v{number}"
        seed = make_seed(args.seed, variant)
        sample = sample_nodules(ct, anatomy, settings, seed, taken, library=library, blur=blur)
        write(variant, sample.nodules, sample.patches, rejections=sample.rejections, blur=blur.to_json())
        if number <= settings.num_shams:
            write(f"s{number}", *zip(*map(make_sham, sample.nodules, sample.patches), strict=True), sham_of=variant)
        for nodule in sample.nodules:
            print(f"{variant} {nodule.nodule_id}: {nodule.kind}, {nodule.margin}, {nodule.diameter_mm:.1f} mm, "
                  f"{nodule.lobe_approx}, after {nodule.num_attempts} tries")  # fmt: skip
