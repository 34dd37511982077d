"""Draw an anatomical thorax CT from a seed: body, skeleton, lungs with vessels and airways, heart, noise, table."""

import argparse
from pathlib import Path

SUMMARY = "draw a thorax CT from a seed (arms up, lying on a table) and write it as .nii.gz"
EPILOG = """\
The CT is int16 HU in the orientation drrx uses inside (written as NIfTI, any viewer shows it right). Sex, size and
shape follow from the seed: the same seed and options give the same file. It takes about 10 s and 2 GiB of memory.

examples:
  drrx make-phantom --seed 1 --output ct.nii.gz
  drrx make-phantom --seed 7 --sex female --output ct.nii.gz --anatomy-output labels.nii.gz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from drrx.cli.options import add_settings
    from drrx.phantom.settings import MakePhantomSettings

    parser.epilog = EPILOG
    parser.add_argument("--seed", metavar="INTEGER", type=int, required=True, help="which phantom to draw, 0 or more")
    parser.add_argument("--output", metavar="CT", type=Path, required=True, help="CT to write (.nii.gz)")
    parser.add_argument(
        "--anatomy-output", metavar="LABELS", type=Path,
        help="true label map to write (.nii.gz, uint8; values as in drrx segment-anatomy)",
    )  # fmt: skip
    add_settings(parser, MakePhantomSettings)


def run(args: argparse.Namespace) -> None:
    """Draw, write."""
    from drrx.cli.options import make_settings
    from drrx.io.nifti import write_volume
    from drrx.phantom.settings import MakePhantomSettings
    from drrx.phantom.thorax import make_phantom

    phantom = make_phantom(args.seed, make_settings(MakePhantomSettings, vars(args), "make-phantom"))
    write_volume(args.output, phantom.ct)
    if args.anatomy_output:
        write_volume(args.anatomy_output, phantom.anatomy.labels)
    facts = phantom.facts
    print(
        f"{args.output}: {phantom.sex}, {facts['age']:.0f} years, {float(facts['height_mm']) / 10:.0f} cm, lungs "
        f"{facts['lung_volume_right_l']} l right + {facts['lung_volume_left_l']} l left, "
        f"{'x'.join(map(str, phantom.ct.shape))} voxels [slice, row, column]"
    )
