"""Train the conditional DDPM that restores radiographs.

Pairs are made on the fly: crops of real films, and copies degraded to look like the projection of a chest CT. Patients
are split into train, val and test by their names; only train is used. Rows with a non-commercial licence are left out.

Example: drrx train-ddpm-hq --images index.csv --output ddpm_hq.safetensors --run-folder runs/hq --minutes 90
"""

import argparse
from pathlib import Path

from drrx.cli.options import add_settings, make_settings
from drrx.train.settings import TrainDdpmHqSettings

SUMMARY = "train the restorer (DDPM-HQ) on real radiographs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="CSV", help="table of radiographs: file, patient, ..."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights to write (.safetensors)")
    parser.add_argument("--run-folder", type=Path, required=True, metavar="DIR", help="folder of checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --run-folder")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, TrainDdpmHqSettings)


def run(args: argparse.Namespace) -> None:
    """Train, then export the averaged weights."""
    from drrx.pairs.films import read_films
    from drrx.train.ddpm_hq import describe_run, export_weights, train_ddpm_hq

    settings = make_settings(TrainDdpmHqSettings, vars(args), "train-ddpm-hq")
    rows = read_films(args.images)
    state = train_ddpm_hq(
        rows, args.run_folder, settings, device=args.device, resume=args.resume,
        progress=lambda text: print(text, flush=True),
    )  # fmt: skip
    sha256 = export_weights(args.output, state, settings, describe_run(rows, state, settings))
    print(f"{args.output}: {sha256}")
