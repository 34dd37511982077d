"""``python -m tests.battery``: the table of kinds, and with ``--peers`` what other readers make of them."""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.battery.good import GOOD
from tests.battery.kinds import KINDS
from tests.battery.page import KINDS_MARK, PEERS_MARK, make_kinds_table, make_peers_table, write_part
from tests.battery.peers import is_for_peers, run


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="run SimpleITK, dicom2nifti and dcm2niix as well")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="Python that has these readers")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables between the marks of this page")
    parser.add_argument("--json", type=Path, help="write the verdicts, too")
    args = parser.parse_args()
    tables = {KINDS_MARK: make_kinds_table(KINDS)}
    if args.peers:
        kinds = [kind for kind in [*KINDS, *GOOD] if is_for_peers(kind)]
        start = time.perf_counter()
        results = run(kinds, args.python, Path(sys.executable))
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
        odd = {kind.name: results[kind.name] for kind in kinds if kind.row != "good"}
        good = {kind.name: results[kind.name] for kind in kinds if kind.row == "good"}
        tables[PEERS_MARK] = "\n\n".join(
            f"{title}\n\n{make_peers_table(kinds, part)}"
            for title, part in (("Odd inputs:", odd), ("Good inputs:", good))
        )
        if args.json:
            args.json.write_text(json.dumps(results, indent=1))
    for mark, table in tables.items():
        if args.write:
            write_part(args.write, mark, table)
        else:
            print(table)


if __name__ == "__main__":
    main()
