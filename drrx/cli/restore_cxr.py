"""Restore a low-quality radiograph, such as the DRR of a chest CT, with the conditional DDPM delivered in the package.

Reads an 8- or 16-bit grayscale PNG of 256 to 4096 px, bone white; writes a 16-bit PNG of the same size. The same seed
gives the same image. Haze is cleared by a tone curve that keeps black and white; large structures stay where they are
(--low-band). About 1.4 s for 1024 x 1024 px on two cores, and some seconds to start.

Example: drrx restore-cxr drr.png --output cxr.png --mode blend --seed 0
"""

import argparse
from pathlib import Path

from drrx.cli.options import add_settings, make_settings
from drrx.restorer.settings import RestoreCxrSettings

SUMMARY = "restore a radiograph: clear haze, sharpen vessels and ribs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("image", type=Path, metavar="IN.png", help="radiograph to restore, bone white")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT.png", help="restored radiograph, 16 bit")
    parser.add_argument("--seed", type=int, default=0, metavar="INTEGER", help="seed of the noise (default: 0)")
    add_settings(parser, RestoreCxrSettings)


def run(args: argparse.Namespace) -> None:
    """Read, restore, write."""
    from drrx.io.image import read_image, write_image
    from drrx.restorer.model import load_restorer
    from drrx.restorer.restore import restore_cxr
    from drrx.stages.device import take_device

    settings = make_settings(RestoreCxrSettings, vars(args), "restore-cxr")
    image = read_image(args.image)
    restorer = load_restorer(Path(settings.weights) if settings.weights else None, take_device(settings.device))
    write_image(args.output, restore_cxr([image], restorer, settings, [args.seed])[0])
