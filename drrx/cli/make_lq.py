"""Turn good radiographs into low-quality twins, as a folder of pairs that train-ddpm-hq reads.

For each film it writes the film with made nodules (16-bit PNG), its LQ copy, and the nodules' mask, and at the end the
table pairs.csv. Nodules are put in before the copy is made, so that they are degraded like everything else. The same
command goes on where it stopped; the same seed gives the same pairs.

Example: drrx make-lq --model munit_lq --images index.csv --output pairs/munit_lq --copies 2
"""

import argparse
from pathlib import Path

from drrx.cli.options import add_settings, make_settings
from drrx.degrader.settings import MakeLqSettings

SUMMARY = "make low-quality twins of radiographs (MUNIT-LQ, DDPM-LQ, or by formula)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    names = ("munit_lq", "ddpm_lq", "physics", "bicubic", "identity")
    parser.add_argument("--model", required=True, choices=names, help="what makes the copies")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="CSV|DIR",
        help="radiographs: table of file, patient, ..., or folder",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the pairs")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="other weights than the delivered (.safetensors)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, MakeLqSettings)


def run(args: argparse.Namespace) -> None:
    """Make the pairs that are not there yet, then the table."""
    from drrx.degrader.model import load_degrader
    from drrx.degrader.pairs import make_lq
    from drrx.pairs.films import read_films

    settings = make_settings(MakeLqSettings, vars(args), "make-lq")
    rows, degrader = read_films(args.images), load_degrader(args.model, args.weights, args.device)
    made = make_lq(rows, degrader, args.output, settings, lambda text: print(text, flush=True))
    print(f"{args.output}: {len(made)} pairs")
