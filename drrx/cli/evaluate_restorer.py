"""Measure a restorer on real radiographs of patients kept out of training.

Degrades each film in three ways, restores it, and gives PSNR and SSIM with 95 % intervals over patients, beside simple
methods. Writes the report as JSON and, beside it, as a Markdown table.

Example: drrx evaluate-restorer --images index.csv --split test --output report.json
"""

import argparse
from pathlib import Path

from drrx.cli.options import add_settings, make_settings
from drrx.evaluate.settings import EvaluateRestorerSettings

SUMMARY = "measure the restorer on real radiographs kept out of training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="CSV", help="table of radiographs: file, patient, ..."
    )
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="patients to use (default: test)"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="other weights than the delivered (.safetensors)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="report to write (.json)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, EvaluateRestorerSettings)


def run(args: argparse.Namespace) -> None:
    """Measure, write, print the table."""
    from drrx.evaluate.restorer import evaluate_restorer, to_markdown
    from drrx.io.files import write_json, write_text
    from drrx.pairs.films import read_films
    from drrx.restorer.model import load_restorer

    settings = make_settings(EvaluateRestorerSettings, vars(args), "evaluate-restorer")
    rows, restorer = read_films(args.images), load_restorer(args.weights, args.device)
    report = evaluate_restorer(rows, args.split, restorer, settings, lambda text: print(text, flush=True))
    write_json(args.output.with_suffix(".json"), report)
    write_text(args.output.with_suffix(".md"), to_markdown(report))
    print(to_markdown(report))
