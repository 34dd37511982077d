"""``python -m tests.battery``: the table of kinds, and with ``--peers`` what other readers make of them."""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.battery.good import GOOD
from tests.battery.kinds import KINDS
from tests.battery.page import (
    COUNTS_MARK,
    KINDS_MARK,
    PEERS_MARK,
    make_counts_table,
    make_kinds_table,
    make_peers_table,
    write_part,
)
from tests.battery.peers import Results, find_versions, is_for_peers, run


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="run SimpleITK, dicom2nifti and dcm2niix as well")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="Python that has these readers")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables between the marks of this page")
    parser.add_argument("--verdicts", type=Path, metavar="JSON", help="keep the verdicts here; read them if there")
    args = parser.parse_args()
    tables = {KINDS_MARK: make_kinds_table(KINDS)}
    if args.peers:
        results = _judge_all(args.python, args.verdicts)
        tables[COUNTS_MARK] = _make_counts_part(results, args.python)
        tables[PEERS_MARK] = make_peers_table([*KINDS, *GOOD], results)
    for mark, table in tables.items():
        if args.write:
            write_part(args.write, mark, table)
        else:
            print(table)


def _judge_all(python: Path, verdicts: Path | None) -> Results:
    if verdicts and verdicts.exists():
        return json.loads(verdicts.read_text())
    start = time.perf_counter()
    results = run([kind for kind in [*KINDS, *GOOD] if is_for_peers(kind)], python, Path(sys.executable))
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if verdicts:
        verdicts.write_text(json.dumps(results, indent=1))
    return results


def _make_counts_part(results: Results, python: Path) -> str:
    parts = [f"With {find_versions(python)}."]
    for title, kinds in (("Odd inputs", KINDS), ("Inputs that are not odd", GOOD)):
        part = {kind.name: results[kind.name] for kind in kinds if kind.name in results}
        parts.append(f"{title}:\n\n{make_counts_table(part)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
