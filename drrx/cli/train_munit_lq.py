"""Train MUNIT-LQ, which makes low-quality copies of radiographs that look like DRRs.

Unpaired: real radiographs (films) and DRRs of other people. The styles of the DRRs of the first --drrs folder are
stored with the weights; give the DRRs of real CTs there. Folders share the draws by their weights, and the cases of a
folder equally. Only patients of the training split are used.

Example: drrx train-munit-lq --images index.csv --drrs results=0.7 --drrs phantoms=0.3 --output munit_lq.safetensors
--run-folder runs/munit --minutes 30
"""

import argparse
from pathlib import Path

from drrx.cli.options import add_settings, make_settings
from drrx.train.munit_settings import TrainMunitLqSettings

SUMMARY = "train MUNIT-LQ, which degrades radiographs in the style of DRRs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="CSV", help="table of radiographs: file, patient, ..."
    )
    parser.add_argument(
        "--drrs", action="append", required=True, metavar="DIR[=WEIGHT]", help="folder of DRRs; give real ones first"
    )
    parser.add_argument("--exclude", nargs="*", default=[], metavar="CASE", help="cases held out from training")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights to write (.safetensors)")
    parser.add_argument("--run-folder", type=Path, required=True, metavar="DIR", help="folder of checkpoints")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, TrainMunitLqSettings)


def run(args: argparse.Namespace) -> None:
    """Train, then export the averaged weights and the style bank."""
    from drrx.pairs.domain import read_drrs
    from drrx.pairs.films import read_films
    from drrx.train.munit_data import load_data
    from drrx.train.munit_lq import describe_run, export_weights, train_munit_lq

    settings = make_settings(TrainMunitLqSettings, vars(args), "train-munit-lq")
    films, drrs = read_films(args.images), read_drrs(args.drrs, args.exclude)
    data = load_data(films, drrs, read_drrs(args.drrs[:1], args.exclude), settings)
    state = train_munit_lq(
        data, args.run_folder, settings, device=args.device,
        progress=lambda text: print(text, flush=True),
    )  # fmt: skip
    sha256 = export_weights(args.output, state, data, settings, describe_run(films, drrs, state, settings))
    print(f"{args.output}: {sha256}")
