"""Which files a run or a data set should have, and with which bytes, from its own records."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drrx.dataset.manifest import FILES, MANIFEST, RECORDS, read_files
from drrx.errors import DrrxError
from drrx.io.checksums import NAME as SUMS
from drrx.io.checksums import hash_files, read_sums
from drrx.stages.layout import is_intermediate


@dataclass
class Expected:
    """What should be there.

    Attributes
    ----------
    sums
        SHA-256 by name, relative to the folder that is checked.
    told_by
        The record that says so, by name.
    broken
        Records that are not as they were written, or missing, and how that is known.
    unfinished
        Cases that were refused or failed: what a stage left before it stopped is on no record.
    dropped
        How many intermediate files were taken away on purpose.
    """

    sums: dict[str, str] = field(default_factory=dict)
    told_by: dict[str, str] = field(default_factory=dict)
    broken: dict[str, tuple[str, str]] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    dropped: int = 0

    def add(self, sums: dict[str, str], told_by: str, prefix: str = "") -> None:
        """Expect files, whose names get ``prefix``."""
        for name, sha256 in sums.items():
            self.sums[prefix + name], self.told_by[prefix + name] = sha256, told_by


def expect_data_set(folder: Path, prefix: str = "") -> Expected:
    """Return what a data set should have.

    Where the list of checksums is not as it was written, the table of files stands in for it.
    """
    expected = Expected()
    try:
        expected.add(read_sums(folder / SUMS), prefix + SUMS, prefix)
    except DrrxError as error:
        expected.broken[prefix + SUMS] = _tell(error, folder / SUMS)
        try:
            files = {name: sha256 for name, (_, sha256) in read_files(folder / FILES).items()}
        except DrrxError as again:
            expected.broken[prefix + FILES] = _tell(again, folder / FILES)
            files = {}
        expected.add(files, prefix + FILES, prefix)
    for name in (SUMS, FILES, MANIFEST):
        # A list cannot hold its own hash, and without the lists nothing is known of these.
        expected.sums.setdefault(prefix + name, "")
        expected.told_by.setdefault(prefix + name, "every data set")
    return expected


def expect_run(results: Path) -> Expected:
    """Return what a run's folder should have: its records, the products of all stages, its data set.

    The list of checksums says which records are as they were written. The outcome of a stage for a case stands in two
    of them, its own and its shard's: where one is broken the other tells of the products.
    """
    expected = expect_data_set(results / "dataset", "dataset/")
    expected.sums[SUMS], expected.told_by[SUMS] = "", "every run"
    try:
        listed = read_sums(results / SUMS)
    except DrrxError as error:
        expected.broken[SUMS] = _tell(error, results / SUMS)
        # Which records there should be is not known then: those that are there are taken as they are.
        listed = {_name(path, results): "" for pattern in RECORDS for path in results.glob(pattern)}
    sums = expected.sums.pop("dataset/" + SUMS)
    expected.add(listed, SUMS)
    expected.sums.setdefault("dataset/" + SUMS, sums)
    products: dict[str, dict[str, dict[str, str]]] = {}
    for stage, case, outcome in _read_outcomes(results, expected):
        products.setdefault(case, {})[stage] = outcome.get("products", {})
        if outcome.get("status") != "done":
            expected.unfinished.add(case)
    for case, by_stage in products.items():
        _expect_products(results / "cases" / case, expected, by_stage)
    return expected


def _read_outcomes(results: Path, expected: Expected) -> list[tuple[str, str, dict[str, Any]]]:
    """Return stage, case and outcome from those records that are as they were written."""
    own = sorted(results.glob("cases/*/stages/[!.]*.json"))
    shards = sorted(results.glob("records/*/[!.]*.json"))
    found = hash_files([*own, *shards])
    good = {path for path in found if (expected.sums.get(_name(path, results)) or found[path]) == found[path]}
    outcomes = {}
    for path in shards:
        data = _parse(path) if path in good else None
        for case, outcome in (data or {}).get("cases", {}).items():
            outcomes[path.parent.name, case] = outcome
    for path in own:
        data = _parse(path) if path in good else None
        if data is None:
            continue
        key = (path.stem, path.parents[1].name)
        if key in outcomes and outcomes[key] != data:
            expected.broken[_name(path, results)] = (
                "disagrees",
                f"with the record of its shard below records/{key[0]}",
            )
        outcomes[key] = data
    return [(stage, case, outcome) for (stage, case), outcome in outcomes.items()]


def _expect_products(folder: Path, expected: Expected, by_stage: dict[str, dict[str, str]]) -> None:
    """Expect the products of a case. Its intermediate files are dropped all together; one that is gone is missing."""
    dropped = {name for products in by_stage.values() for name in products if is_intermediate(name)}
    if any((folder / name).exists() for name in dropped):
        dropped = set()
    expected.dropped += len(dropped)
    for stage, products in by_stage.items():
        kept = {name: sha256 for name, sha256 in products.items() if name not in dropped}
        expected.add(kept, f"cases/{folder.name}/stages/{stage}.json", f"cases/{folder.name}/")


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _parse(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _tell(error: DrrxError, path: Path) -> tuple[str, str]:
    return ("changed" if path.is_file() else "missing"), error.found
