"""Write a CT with nodules in it, for readers who want the CT itself (the workflow needs only the patches).

Each CT voxel gets the exact mean of the HU that the nodules add within its box; all other voxels keep their value.

Example: drrx insert-nodules ct.nii.gz --nodules nodules/v1/nodules.npz --output ct_v1.nii.gz
"""

import argparse
from pathlib import Path

SUMMARY = "write a full CT with sampled nodules in it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``insert-nodules``."""
    parser.add_argument("ct", type=Path, metavar="CT", help="the canonical CT the nodules were sampled for, .nii.gz")
    parser.add_argument("--nodules", type=Path, required=True, metavar="nodules.npz", help="from drrx sample-nodules")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT.nii.gz", help="CT to write, int16 HU")


def run(args: argparse.Namespace) -> None:
    """Read, insert, write."""
    from drrx.io.arrays import read_arrays
    from drrx.io.nifti import read_volume, write_volume
    from drrx.nodule.patch import insert_nodules
    from drrx.records.patch import patches_from_arrays

    patches = patches_from_arrays(read_arrays(args.nodules))
    write_volume(args.output, insert_nodules(read_volume(args.ct), patches))
