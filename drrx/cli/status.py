"""Tell how far a run is: cases done, refused and left, the rate, and the time it still takes.

Reads what the run itself wrote last, so it may be asked from anywhere, on a cluster too. It names the run that is going
on, and tells when one was killed: start it again to go on. After the run it shows its cost by stage.

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
    print(tell_owner(args.results), end="")
    shards = dict.fromkeys(read_shards(args.results / "shards.tsv").values())
    summaries = summarise_run(args.results, shards)
    if summaries:
        print(format_summary(summaries))


def tell_owner(results: Path) -> str:
    """Return a line on the run that owns the folder, or that was killed there; nothing when the last one ended."""
    from drrx.io.owner import find_owner

    found = find_owner(results) if results.is_dir() else None
    if found is None:
        return ""
    who = f"process {found.get('pid', '?')} on {found.get('host', '?')} since {found.get('since', '?')}"
    return f"run by {who}\n" if found["alive"] else f"the run was killed ({who}): start it again to go on\n"
