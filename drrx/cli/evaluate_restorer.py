"""Measure restorers on real radiographs of patients kept out of training.

Degrades each film in several ways, restores it with every system, and gives PSNR, SSIM and MS-SSIM with 95 % intervals
over patients (the cross-degradation matrix), beside simple methods; quality against steps; seconds and TFLOP per image
beside a network of the paper's size; noise, realism and nodules. Writes report.json, report.md and figures into a
folder. Parts can be measured one at a time; what was scored already is taken from the folder's cache (delete it after a
change of the code).

Example: drrx evaluate-restorer --images index.csv --output evaluation --system mixed --system bicubic=b.safetensors
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drrx.cli.options import add_settings, make_settings
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.restorer.settings import RestoreCxrSettings

if TYPE_CHECKING:
    from drrx.evaluate.methods import System

RESTORING = ("mode", "alpha", "grain", "solver", "steps", "quality", "low_band", "lock_sigma_px", "precision")
SUMMARY = "measure restorers on real radiographs kept out of training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="CSV", help="table or folder of radiographs: file, patient, ..."
    )
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="patients to use (default: test)"
    )
    parser.add_argument(
        "--system", action="append", metavar="NAME=FILE",
        help="name in the tables, such as mixed, munit_lq, ddpm_lq or bicubic, and weights (.safetensors); a mere NAME "
        "stands for the delivered weights; repeat for more (default: delivered)",
    )  # fmt: skip
    parser.add_argument(
        "--degrader", action="append", default=[], metavar="NAME=FILE",
        help="other weights than the delivered ones for munit_lq or ddpm_lq; repeat for both",
    )  # fmt: skip
    parser.add_argument(
        "--drrs",
        action="append",
        default=[],
        metavar="DIR",
        help="folder of DRRs without nodules to restore too; repeat for more",
    )
    parser.add_argument(
        "--twins", type=Path, metavar="RESULTS", help="results folder of the workflow, to see what becomes of nodules"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for report and figures")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, EvaluateRestorerSettings)
    add_settings(parser, RestoreCxrSettings, only=RESTORING)


def run(args: argparse.Namespace) -> None:
    """Measure, write, print the tables."""
    from drrx.degrader.model import load_degrader
    from drrx.evaluate.drrs import choose_drrs
    from drrx.evaluate.evaluate import Bench, choose_films, evaluate_restorer
    from drrx.evaluate.figures import write_figures
    from drrx.evaluate.report import to_markdown
    from drrx.evaluate.twins import read_twins
    from drrx.io.files import write_text
    from drrx.pairs.domain import read_drrs
    from drrx.pairs.films import read_films

    settings = make_settings(EvaluateRestorerSettings, vars(args), "evaluate-restorer")
    how = make_settings(RestoreCxrSettings, vars(args) | {"device": args.device}, "evaluate-restorer")
    weights = {name: Path(file) for name, file in map(_split, args.degrader)}
    films = read_films(args.images)
    bench = Bench(
        films=films, test=choose_films(films, args.split, settings.max_films), split=args.split,
        drrs=choose_drrs(read_drrs(args.drrs), settings.max_drrs) if args.drrs else (),
        twins=read_twins(args.twins) if args.twins else (), systems=_load_systems(args.system, args.device),
        degraders=tuple(load_degrader(name, weights.get(name), args.device) for name in settings.degradations),
        settings=settings, how=how, folder=args.output, progress=lambda text: print(text, flush=True),
    )  # fmt: skip
    report = evaluate_restorer(bench)
    write_text(args.output / "report.md", to_markdown(report))
    write_figures(report, args.output)
    print(to_markdown(report))


def _load_systems(texts: list[str] | None, device: str) -> "tuple[System, ...]":
    from drrx.evaluate.methods import DELIVERED, System
    from drrx.restorer.model import load_restorer

    pairs = [_split(text) for text in texts or [DELIVERED]]
    return tuple(System(name, load_restorer(Path(file) if file else None, device)) for name, file in pairs)


def _split(text: str) -> tuple[str, str]:
    name, _, file = text.partition("=")
    return name, file
