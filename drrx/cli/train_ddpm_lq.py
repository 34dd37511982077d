"""Train DDPM-LQ, the diffusion model of DRRs that writes DRR-quality copies of radiographs.

It sees DRRs only, each disguised and then reduced to its structure map. The copies of a few radiographs, if given, are
shown in samples.png of the run folder beside DRRs.

Example: drrx train-ddpm-lq --drrs results=0.7 --drrs phantoms=0.3 --output ddpm_lq.safetensors --run-folder runs/lq
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drrx.cli.options import add_settings, make_settings
from drrx.train.ddpm_lq_settings import TrainDdpmLqSettings

if TYPE_CHECKING:
    from drrx.train.state import TrainState

SUMMARY = "train the maker of LQ copies (DDPM-LQ) on DRRs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--drrs", action="append", required=True, metavar="DIR[=WEIGHT]", help="folder of DRRs; give it once per folder"
    )
    parser.add_argument("--exclude", nargs="*", default=[], metavar="CASE", help="cases to leave out")
    parser.add_argument("--images", type=Path, metavar="PATH", help="radiographs for the figure only (index or folder)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights to write (.safetensors)")
    parser.add_argument("--run-folder", type=Path, required=True, metavar="DIR", help="folder of checkpoints")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, TrainDdpmLqSettings)


def run(args: argparse.Namespace) -> None:
    """Train; export the averaged weights and draw a figure at every checkpoint."""
    from drrx.pairs.domain import read_drrs
    from drrx.pairs.films import read_films
    from drrx.train.ddpm_lq import describe_run, export_weights, train_ddpm_lq
    from drrx.train.ddpm_lq_domain import load_domain
    from drrx.train.ddpm_lq_figure import load_shown, write_samples

    settings = make_settings(TrainDdpmLqSettings, vars(args), "train-ddpm-lq")
    rows = read_drrs(args.drrs, args.exclude)
    domain = load_domain(rows, settings)
    shown = load_shown(read_films(args.images) if args.images else (), domain)

    def save(state: "TrainState") -> None:
        facts = describe_run(rows, state, settings)
        print(f"{args.output}: {export_weights(args.output, state, domain, settings, facts)}", flush=True)
        write_samples(args.run_folder / "samples.png", shown, domain, state, settings)

    train_ddpm_lq(
        domain, args.run_folder, settings, device=args.device,
        progress=lambda text: print(text, flush=True), on_save=save,
    )  # fmt: skip
