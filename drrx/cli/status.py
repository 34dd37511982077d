"""Tell how far a run is: cases done, refused and left, the rate, and the time it still takes.

Reads what the run itself wrote last, so it may be asked from anywhere, on a cluster too. A line that grows old although
jobs should end means that Snakemake is gone; start the run again to go on. After the run it shows its cost by stage.

Example: drrx status results
"""

import argparse
from pathlib import Path

SUMMARY = "tell how far a run is, and what its stages cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder."""
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), metavar="FOLDER",
        help="folder of the run (default: results)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Print the line, and the table of costs where there is anything to count."""
    import time

    from drrx.costs import format_summary, summarise_run
    from drrx.progress import tell_status
    from drrx.shards import read_shards

    print(tell_status(args.results, time.time()))
    shards = dict.fromkeys(read_shards(args.results / "shards.tsv").values())
    summaries = summarise_run(args.results, shards)
    if summaries:
        print(format_summary(summaries))
