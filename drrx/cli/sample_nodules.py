"""Draw lung nodules for a CT and put each in a safe place in the lungs.

Reads a canonical CT (from `drrx read-ct` or `drrx make-phantom`) and its label map (from `drrx segment-anatomy`).
Writes, for each variant v1, v2, ...:

  DIR/v1/nodules.json   every drawn number of each nodule: type, size, HU, margin, place (LPS mm), what was measured
  DIR/v1/nodules.npz    each nodule on its own fine grid: N_occupancy, N_hu_before, N_hu_after, N_world_from_index
  DIR/v1/nodules.nii.gz with --write-ct: the CT with the nodules of this variant in it

The same CT, settings and seed give the same nodules.

Example: drrx sample-nodules ct.nii.gz --anatomy anatomy.nii.gz --output nodules --seed 1 --num-variants 2
"""

import argparse
from pathlib import Path

SUMMARY = "draw lung nodules for a CT and place them (records and small patches)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``sample-nodules``."""
    from drrx.cli.options import add_settings
    from drrx.nodule.settings import SampleNodulesSettings

    parser.add_argument("ct", type=Path, metavar="CT", help="canonical CT, .nii.gz, HU")
    parser.add_argument("--anatomy", type=Path, required=True, metavar="LABELS.nii.gz", help="its label map")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, metavar="INTEGER", help="seed of all draws (default: 0)")
    parser.add_argument("--write-ct", action="store_true", help="also write the CT with the nodules (large)")
    add_settings(parser, SampleNodulesSettings)


def run(args: argparse.Namespace) -> None:
    """Read, sample, write."""
    from drrx.cli.options import make_settings
    from drrx.io.arrays import write_arrays
    from drrx.io.files import write_json
    from drrx.io.nifti import read_volume, write_volume
    from drrx.nodule.patch import insert_nodules
    from drrx.nodule.sample import sample_nodules
    from drrx.nodule.settings import SampleNodulesSettings
    from drrx.records.anatomy import Anatomy
    from drrx.records.nodule import patches_to_arrays
    from drrx.seeds import make_seed

    settings = make_settings(SampleNodulesSettings, vars(args), "drrx sample-nodules")
    ct, anatomy = read_volume(args.ct), Anatomy(read_volume(args.anatomy))
    for number in range(1, settings.num_variants + 1):
        variant = f"v{number}"
        sample = sample_nodules(ct, anatomy, settings, make_seed(args.seed, variant))
        folder = args.output / variant
        write_arrays(folder / "nodules.npz", patches_to_arrays(sample.patches), compress=True)
        if args.write_ct:
            write_volume(folder / "nodules.nii.gz", insert_nodules(ct, sample.patches))
        nodules = [nodule.to_json() for nodule in sample.nodules]
        write_json(folder / "nodules.json", {"nodules": nodules, "rejections": sample.rejections})
        for nodule in sample.nodules:
            print(f"{variant} {nodule.nodule_id}: {nodule.kind}, {nodule.margin}, {nodule.diameter_mm:.1f} mm, "
                  f"{nodule.lobe_approx}, after {nodule.num_attempts} tries")  # fmt: skip
