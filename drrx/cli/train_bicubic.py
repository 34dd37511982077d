"""Train the baseline: the network, budget and seed of DDPM-HQ, on pairs by bicubic shrinking alone.

This is how super-resolution models are trained. It takes the options of train-ddpm-hq; the shares of other pairs are 0.

Example: drrx train-bicubic --images index.csv --output bicubic.safetensors --run-folder runs/bicubic --minutes 90
"""

import argparse

from drrx.cli.options import make_settings
from drrx.cli.train_ddpm_hq import add_arguments, train
from drrx.train.settings import TrainDdpmHqSettings

SUMMARY = "train the bicubic baseline of the restorer"

__all__ = ["SUMMARY", "add_arguments", "run"]


def run(args: argparse.Namespace) -> None:
    """Train on bicubic pairs, then export the averaged weights."""
    only = {f"share_{kind}": float(kind == "bicubic") for kind in TrainDdpmHqSettings().shares()}
    train(args, make_settings(TrainDdpmHqSettings, vars(args) | only, "train-bicubic"), "bicubic")
