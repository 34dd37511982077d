"""Measure the workflow: Snakemake's own time for many cases, its overhead, and images per hour by stage.

graph: dry run, and resume with nothing to do, of cohorts of empty CT files. overhead: small CTs through Snakemake and
through a plain loop over the same stages, on one core. rate: drawn CTs to annotated CXRs. Writes workflow.json and
workflow.md. Needs an idle machine, about three quarters of an hour on two cores, and some GB of disk below --work.

Example: drrx benchmark-workflow --output benchmark --parts graph --graph-cases 10000
"""

import argparse
from pathlib import Path

SUMMARY = "measure the workflow with many cases: graph, overhead, images per hour"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from drrx.cli.options import add_settings
    from drrx.scale.settings import BenchmarkWorkflowSettings

    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the tables")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="folder to run in, kept (default: a temporary one, removed)"
    )
    parser.add_argument(
        "--page", type=Path, metavar="PAGE.md", help="also put the tables into this page, between its two marks"
    )
    add_settings(parser, BenchmarkWorkflowSettings)


def run(args: argparse.Namespace) -> None:
    """Measure, write, print the tables."""
    import tempfile

    from drrx.benchmark.report import put_into_page
    from drrx.cli.options import make_settings
    from drrx.cli.run import find_workflow
    from drrx.io.files import write_json, write_text
    from drrx.scale.report import COMMAND, to_markdown
    from drrx.scale.run import run_benchmark
    from drrx.scale.settings import BenchmarkWorkflowSettings

    settings = make_settings(BenchmarkWorkflowSettings, vars(args), COMMAND)
    with tempfile.TemporaryDirectory() as scratch:
        work = (args.work or Path(scratch)).resolve()
        report = run_benchmark(work, find_workflow() / "Snakefile", settings, lambda text: print(text, flush=True))
    tables = to_markdown(report)
    write_json(args.output / "workflow.json", report)
    write_text(args.output / "workflow.md", tables)
    if args.page:
        put_into_page(args.page, tables, COMMAND)
    print(f"\n{tables}")
