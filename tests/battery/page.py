"""The tables of docs/reliability.md that the battery makes."""

import re
from collections import Counter
from pathlib import Path

from tests.battery.kind import NUM_VARIANTS, Kind
from tests.battery.peers import NAMES, VERDICTS, Results, count

KINDS_MARK, COUNTS_MARK, PEERS_MARK = "battery-kinds", "battery-counts", "battery-peers"
HEAD = """\
# Reliability

<!-- battery-counts: begin -->
<!-- battery-counts: end -->

<!-- battery-kinds: begin -->
<!-- battery-kinds: end -->

<!-- battery-peers: begin -->
<!-- battery-peers: end -->
"""


def make_kinds_table(kinds: list[Kind]) -> str:
    """Return the table kind -> outcome, from the kinds themselves."""
    lines = ["| row | kind | input | outcome | codes |", "| --- | --- | --- | --- | --- |"]
    for kind in kinds:
        codes = " or ".join(kind.codes) or ", ".join((*kind.corrections, *(f"flag {flag}" for flag in kind.flags)))
        lines.append(f"| {kind.row} | {kind.name} | {kind.text} | {kind.outcome} | {codes} |")
    total = Counter(kind.outcome for kind in kinds)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(total.items()))
    head = f"{len(kinds)} kinds ({counts}), {NUM_VARIANTS} inputs of each, drawn from a seed."
    return "\n".join([head, "", *lines])


def make_counts_table(results: Results) -> str:
    """Return how often each reader got which verdict."""
    names = _find_names(results)
    lines = [f"| reader | inputs | {' | '.join(VERDICTS)} |", "| --- |" + " --- |" * (len(VERDICTS) + 1)]
    for name in names:
        counts = count(results, name)
        numbers = " | ".join(str(counts[verdict]) for verdict in VERDICTS)
        lines.append(f"| {name} | {sum(counts.values())} | {numbers} |")
    return "\n".join(lines)


def make_peers_table(kinds: list[Kind], results: Results) -> str:
    """Return what each reader made of each kind."""
    names = _find_names(results)
    lines = [f"| row | kind | {' | '.join(names)} |", "| --- | --- |" + " --- |" * len(names)]
    for kind in kinds:
        cells = " | ".join(_tell(results.get(kind.name, {}).get(name, [])) for name in names)
        if kind.name in results:
            lines.append(f"| {kind.row} | {kind.name} | {cells} |")
    return "\n".join(lines)


def _find_names(results: Results) -> list[str]:
    return [name for name in NAMES if any(name in by_name for by_name in results.values())]


def _tell(verdicts: list[str]) -> str:
    counts = Counter(verdicts)
    if len(counts) == 1:
        return verdicts[0]
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]) or "-"


def get_part(page: str, mark: str) -> str:
    """Return what stands between the two marks."""
    found = re.search(rf"<!-- {mark}: begin -->\n(.*?)<!-- {mark}: end -->", page, re.DOTALL)
    if found is None:
        raise ValueError(f"no marks of {mark}")
    return found[1].strip()


def write_part(path: Path, mark: str, text: str) -> None:
    """Put a text between two marks of the page; the page is made when it is not there."""
    page = path.read_text() if path.exists() else HEAD
    get_part(page, mark)
    before, rest = page.split(f"<!-- {mark}: begin -->\n")
    after = rest.split(f"<!-- {mark}: end -->")[1]
    path.write_text(f"{before}<!-- {mark}: begin -->\n{text}\n<!-- {mark}: end -->{after}")
