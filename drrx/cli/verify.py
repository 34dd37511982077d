r"""Check every file of a finished run against its records.

Finds files that are missing, changed (one flipped bit is enough), added, or half written, in the data set and among
the files of the cases, and tells them by name; the records themselves are checked too. Diaries (logs, benchmarks) and
training results are on no record. The folder may also be a data set alone. Ends with 0 when all is as recorded, with 1
when not. While jobs are running, what they write shows as changed. docs/dataset.md tells what protects what.

Example: drrx verify results
         drrx verify results --json > verification.json
"""

import argparse
import json
from pathlib import Path

SUMMARY = "check every file of a finished run, or of a data set, against its records"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``verify``."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the run (results), or a data set")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument(
        "--threads", type=int, metavar="INTEGER", help="files read at a time (default: 4, or fewer on fewer cores)"
    )


def run(args: argparse.Namespace) -> int:
    """Verify and tell; 1 when something is not as recorded."""
    from drrx.provenance.verify import verify

    told = verify(args.folder, args.threads)
    if args.json:
        print(json.dumps({"ok": not told.findings} | told.to_json(), indent=1))
        return int(bool(told.findings))
    for finding in told.findings:
        print(f"{finding.kind:<10} {finding.file}: {finding.detail}")
    rate = told.num_bytes / 1e6 / max(told.seconds, 1e-6)
    notes = [f"{told.num_linked} share disk space with another"] if told.num_linked else []
    notes += [f"{told.num_dropped} intermediate ones were dropped"] if told.num_dropped else []
    notes += [f"{told.num_unrecorded} of refused cases are on no record"] if told.num_unrecorded else []
    size = f"{told.num_files} files, {told.num_bytes / 1e6:.0f} MB in {told.seconds:.1f} s ({rate:.0f} MB/s)"
    print(f"{args.folder}: " + "; ".join([size, *notes]))
    print(f"{len(told.findings)} problem(s)" if told.findings else "all as recorded")
    return int(bool(told.findings))
