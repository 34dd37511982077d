"""All faults on a small cohort: `python -m tests.faults --kills 200 --terms 100 --full 20 --output report.json`.

The exit status is 1 when something was not as it must be; the report lists it. Disks are filled and barred for real
where this user may mount (root); elsewhere those parts are left out, and said so.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.faults import disks, kills, places, terms
from tests.faults.driver import start_driver
from tests.faults.stages import Zygote, run_undisturbed
from tests.faults.workshop import CONFIG, OTHER, Workshop

PARTS = "kill_stages,kill_drivers,stop_stages,stop_drivers,full,places"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kill -9 in all, a fifth of them of drivers (200)")
    parser.add_argument("--terms", type=int, default=100, help="SIGTERM in all, a fifth of them of drivers (100)")
    parser.add_argument("--full", type=int, default=20, help="full disks, and as many operations that fail (20)")
    parser.add_argument("--seed", type=int, default=0, help="other numbers draw other times and places (0)")
    parser.add_argument("--parts", default=PARTS, help=f"some of {PARTS} (all)")
    parser.add_argument("--output", type=Path, help="write the report here, as JSON")
    args = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="drrx-faults-"))
    try:
        report = Faults(base, args).run()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    tell(report)
    return 1 if report["findings"] else 0


def tell(report: dict) -> None:
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name}:")
            print("\n".join(f"  {value[key]!s:>8}  {key}" for key in sorted(value)))
        elif not isinstance(value, list):
            print(f"{name}: {value}")
    print("\n".join(["findings:", *(f"  {finding}" for finding in report["findings"] or ["none"])]))


class Faults:
    """One run over all parts."""

    def __init__(self, base: Path, args: argparse.Namespace):
        self.base, self.args = base, args
        self.rng = random.Random(args.seed)
        self.workshop = Workshop(base / "work")
        self.report: dict = {"seed": args.seed, "kills": 0, "SIGTERM": 0, "seconds": {}, "left out": []}

    def run(self) -> dict:
        start = time.monotonic()
        self.workshop.save = self.save
        self.workshop.build()
        with Zygote(self.workshop) as zygote:
            other, _ = run_undisturbed(self.workshop, zygote, OTHER)
            self.workshop.clear()
            plain, self.pace = run_undisturbed(self.workshop, zygote, CONFIG)
            self.zygote, self.trees = zygote, {"plain": plain, "other": other}
            self.report["files of the undisturbed tree"] = len(plain)
            self.driver_s = self.time_driver()
            for part in self.args.parts.split(","):
                begun = time.monotonic()
                getattr(self, part)()
                self.report["seconds"][part] = round(time.monotonic() - begun)
                self.save()
        self.report["seconds"]["all"] = round(time.monotonic() - start)
        self.save()
        return self.report

    def time_driver(self) -> float:
        self.workshop.clear()
        begun = time.monotonic()
        status = start_driver(self.workshop).wait(timeout=900)
        if status != 8:
            raise SystemExit(
                f"undisturbed driver: status {status}\n{(self.workshop.folder / 'driver.log').read_text()}"
            )
        self.workshop.compare(self.trees["plain"], "driver and single stages")
        # What was finished is kept, so that short times reach late stages too.
        return min(time.monotonic() - begun, 20.0)

    def save(self) -> None:
        counts = self.workshop.counts
        for what in ("kills", "SIGTERM"):
            self.report[what] = sum(
                number for name, number in counts.items() if name.split(" of ")[0].split(" to ")[0] == what
            )
        self.report |= {"counts": dict(counts), "findings": self.workshop.findings}
        if self.args.output:
            self.args.output.write_text(json.dumps(self.report, indent=1, sort_keys=True) + "\n")

    def kill_stages(self) -> None:
        number = self.args.kills - self.args.kills // 5
        kills.kill_stages(self.workshop, self.zygote, self.trees, self.pace, self.rng, number)

    def kill_drivers(self) -> None:
        kills.kill_drivers(self.workshop, self.trees, self.rng, self.args.kills // 5, self.driver_s)

    def stop_stages(self) -> None:
        number = self.args.terms - self.args.terms // 5
        self.tell_ends("stages", terms.stop_stages(
            self.workshop, self.zygote, self.trees, self.pace, self.rng, number
        ))  # fmt: skip

    def stop_drivers(self) -> None:
        took = terms.stop_drivers(self.workshop, self.trees, self.rng, self.args.terms // 5, self.driver_s)
        self.tell_ends("drrx run", took)

    def tell_ends(self, what: str, took: list[float]) -> None:
        if took:
            facts = np.quantile(took, [0.5, 0.9, 1.0]).round(2).tolist()
            self.report[f"seconds to end after SIGTERM, {what}"] = dict(
                zip(("50 %", "90 %", "most"), facts, strict=True)
            )

    def full(self) -> None:
        disks.fail_operations(self.workshop, self.zygote, self.trees, self.pace, self.rng, self.args.full)
        disks.cut_files(self.workshop, self.zygote, self.trees)
        self.save()
        if not disks.may_mount(self.base):
            self.report["left out"].append("tmpfs: full and read-only disks (not root)")
            return
        disks.fill_disk(self.workshop, self.zygote, self.trees, self.rng, self.args.full)
        disks.bar_writing(self.workshop, self.zygote, self.trees)
        disks.fill_disk_under_driver(self.workshop, self.trees, self.rng)

    def places(self) -> None:
        took = places.run_twice(self.workshop, self.trees, 3)
        self.report["seconds until a second run was refused"] = {"most": round(max(took), 2), "times": len(took)}
        places.run_without_home(self.workshop, self.trees, "/nonexistent")
        if not disks.may_mount(self.base) or os.getuid() != 0:
            self.report["left out"].append("code that may only be read (not root)")
            return
        with places.closed_code(self.base) as code:
            places.run_without_home(self.workshop, self.trees, str(code), code)


if __name__ == "__main__":
    sys.exit(main())
