"""Measure the projector beside other projectors, the machine's floors and closed forms, in one run.

Each projector that is installed runs in a process of its own on the same CT and view; its image is compared with the
exact trilinear integral. Ratios are to RTK Joseph. Writes projector.json, projector.csv, projector.md and, where
matplotlib is installed, projector_cost.png into a folder. docs/projector.md says how to install the others. With all
of them it takes an hour or two on two cores; --peers and --sizes-px choose.

Example: drrx benchmark-projector --output benchmark --peers drrx 'RTK Joseph' --sizes-px 512 1024
"""

import argparse
from pathlib import Path

SUMMARY = "measure the projector's time and error beside other projectors"
FIGURE = "projector_cost.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from drrx.benchmark.settings import BenchmarkProjectorSettings
    from drrx.cli.options import add_settings

    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for tables and figure")
    parser.add_argument("--ct", type=Path, metavar="CT", help="CT file or DICOM folder (default: a drawn phantom)")
    parser.add_argument(
        "--page", type=Path, metavar="PAGE.md",
        help="also put the tables into this page, between its two marks, and the figure into images/ beside it",
    )  # fmt: skip
    add_settings(parser, BenchmarkProjectorSettings)


def run(args: argparse.Namespace) -> None:
    """Measure, write, print the tables."""
    from drrx.benchmark.figure import write_figure
    from drrx.benchmark.report import put_into_page, to_csv, to_markdown
    from drrx.benchmark.run import run_benchmark
    from drrx.benchmark.settings import BenchmarkProjectorSettings
    from drrx.cli.options import make_settings
    from drrx.io.canonical import orient
    from drrx.io.ct import read_volume_file
    from drrx.io.files import write_json, write_text
    from drrx.io.settings import ReadCtSettings

    settings = make_settings(BenchmarkProjectorSettings, vars(args), "benchmark-projector")
    ct = orient(read_volume_file(args.ct, ReadCtSettings()).volume) if args.ct else None
    report = run_benchmark(ct, settings, lambda text: print(text, flush=True))
    tables = to_markdown(report)
    write_json(args.output / "projector.json", report)
    write_text(args.output / "projector.csv", to_csv(report["times"]))
    write_text(args.output / "projector.md", tables)
    write_figure(report, args.output / FIGURE)
    if args.page:
        has_figure = write_figure(report, args.page.parent / "images" / FIGURE)
        link = f"\n![Time against pixels and voxels](images/{FIGURE})\n" if has_figure else ""
        put_into_page(args.page, tables + link)
    print(f"\n{tables}")
