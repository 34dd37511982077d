"""Train the conditional DDPM that restores radiographs.

Pairs of a film and its LQ copy: ready ones by MUNIT-LQ and DDPM-LQ, which make-lq writes, and others made on the fly.
Patients are split into train, val and test by their names; only train is used, val for scores on the way. Rows with a
non-commercial licence are left out. The same command goes on where the last run stopped. On several GPUs:
accelerate launch -m drrx train-ddpm-hq --device cuda ...

Example: drrx train-ddpm-hq --images index.csv --pairs pairs/munit_lq --pairs pairs/ddpm_lq
  --output ddpm_hq.safetensors --run-folder runs/hq --minutes 90
"""

import argparse
from pathlib import Path

from drrx.cli.options import add_settings, make_settings
from drrx.train.settings import TrainDdpmHqSettings

SUMMARY = "train the restorer (DDPM-HQ) on real radiographs and their LQ copies"
VALIDATION_FILMS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="CSV|DIR",
        help="radiographs: table of file, patient, ..., or folder",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder written by make-lq; may be repeated",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights to write (.safetensors)")
    parser.add_argument("--run-folder", type=Path, required=True, metavar="DIR", help="folder of checkpoints and log")
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="first weights: those of an earlier run")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, TrainDdpmHqSettings)


def run(args: argparse.Namespace) -> None:
    """Train, then export the averaged weights."""
    train(args, make_settings(TrainDdpmHqSettings, vars(args), "train-ddpm-hq"), "ddpm_hq")


def train(args: argparse.Namespace, settings: TrainDdpmHqSettings, system: str) -> None:
    """Train one system on its mix of pairs."""
    from drrx.pairs.films import read_films
    from drrx.pairs.pool import load_pool
    from drrx.pairs.store import read_table
    from drrx.train.ddpm_hq import train_ddpm_hq
    from drrx.train.export import describe_run, export_weights, start_from

    rows, shares = read_films(args.images), settings.shares()
    start, first = start_from(args.start_from) if args.start_from else (None, "")
    pool = load_pool(
        rows, args.pairs, shares, "train", nodule_share=settings.nodule_share, quiet_share=settings.quiet_share,
        max_films=settings.max_films,
    )  # fmt: skip
    validation = None
    if settings.figure_steps:
        validation = load_pool(rows, args.pairs, shares, "val", nodule_share=0.0, max_films=VALIDATION_FILMS)
    state = train_ddpm_hq(
        pool, args.run_folder, settings, device=args.device, validation=validation, start=start,
        progress=lambda text: print(text, flush=True),
    )  # fmt: skip
    pairs = [row for folder in args.pairs for row in read_table(folder)]
    sha256 = export_weights(args.output, state, settings, describe_run(system, rows, pairs, state, settings, first))
    print(f"{args.output}: {sha256}")
