"""A small cohort to work on under faults, what it looks like undisturbed, and what must hold at any time."""

import gzip
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drrx.config import STAGES, load_config, stage_settings
from drrx.io.nifti import write_volume
from drrx.io.temporary import is_temporary, sweep
from tests.small_run import CASES, COHORT, CONFIG
from tests.thorax import make_thorax

ROOT = Path(__file__).parent.parent.parent
SEED = 7
#: Another run in the same folder: its numbers change what every stage makes of the phantom.
OTHER = CONFIG | {"make_phantom": {"in_plane_mm": 3.5, "slice_mm": 4.2}, "compose_drr": {"display_gamma": 0.9}}
SHARD = "demo-0001"


def hash_tree(results: Path) -> dict[str, str]:
    """SHA-256 by name of all files but logs, benchmarks, locks and what is not finished."""
    found = {}
    for top, folders, files in os.walk(results):
        if Path(top) == results:
            folders[:] = [name for name in folders if name not in ("logs", "benchmarks", ".snakemake", "scratch")]
        for name in files:
            path = Path(top, name)
            if not name.startswith(".drrx-"):
                found[path.relative_to(results).as_posix()] = hash_if_there(path)
    return {name: sha256 for name, sha256 in sorted(found.items()) if sha256}


def hash_if_there(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def list_temporary(results: Path) -> list[str]:
    """Names of what is not finished."""
    found = (Path(top, name) for top, folders, files in os.walk(results) for name in (*folders, *files))
    return sorted(path.relative_to(results).as_posix() for path in found if is_temporary(path.name))


def is_whole(path: Path) -> bool:
    """Read a file to its end by its own format; one without a check of its own counts as whole."""
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            json.loads(data)
        elif path.suffix == ".npz":
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                return file.testzip() is None
        elif path.suffix == ".png":
            with Image.open(io.BytesIO(data)) as image:
                image.load()
        elif path.suffix == ".gz":
            gzip.decompress(data)
        elif path.suffix in (".tsv", ".csv", ".txt", ".html"):
            return data.endswith((b"\n", b"\x3e"))
    except FileNotFoundError:
        return True
    except Exception:
        return False
    return True


@dataclass
class Workshop:
    """The working folder of one run, that is harmed, looked at and started anew.

    Attributes
    ----------
    folder
        Has ``config.yaml``, ``cohort.tsv``, the CTs and ``results``.
    expected
        Hashes that a file of some name may have: one for each of the settings that are used in the folder.
    findings
        What was not as it must be.
    counts
        How often what was done.
    save
        Called after each round.
    """

    folder: Path
    expected: dict[str, set[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    save: Callable[[], None] = lambda: None

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def build(self) -> None:
        """Make the inputs: a phantom, a CT with a known nodule, and a file that is no CT, all in one shard."""
        self.folder.mkdir(parents=True)
        thorax = make_thorax((4.0, 2.5, 2.5))
        write_volume(self.folder / "ct.nii.gz", thorax.ct)
        write_volume(self.folder / "known.nii.gz", thorax.ct.with_values(thorax.nodule.astype(np.uint8)))
        (self.folder / "torn.nii.gz").write_bytes(b"\x1f\x8b not a whole file")
        (self.folder / "cohort.tsv").write_text(COHORT)
        self.configure(CONFIG)
        self.clear()

    def configure(self, config: dict[str, Any]) -> None:
        """Set the settings of the next driver."""
        (self.folder / "config.yaml").write_text(json.dumps(config | {"seed": SEED}))

    def clear(self) -> None:
        """Begin anew; how the cases are cut into shards stays."""
        for path in self.results.glob("*") if self.results.is_dir() else ():
            if path.is_dir() and not path.is_mount():
                shutil.rmtree(path)
            else:
                path.unlink()
        for path in self.results.glob(".drrx-*"):
            path.unlink()
        self.results.mkdir(exist_ok=True)
        shutil.rmtree(self.folder / ".snakemake", ignore_errors=True)
        (self.results / "shards.tsv").write_text("shard\tcase\n" + "".join(f"{SHARD}\t{case}\n" for case in CASES))

    def go_back(self, finished: Path, stage: str) -> None:
        """Put the folder back to a finished run that has lost ``stage`` and all stages after it."""
        shutil.rmtree(self.folder)
        shutil.copytree(finished, self.folder, symlinks=True)  # with times of change
        for lost in STAGES[STAGES.index(stage) :]:
            shutil.rmtree(self.results / "records" / lost, ignore_errors=True)
            for path in self.results.glob(f"cases/*/stages/{lost}.json"):
                path.unlink()
        shutil.rmtree(self.results / "dataset", ignore_errors=True)

    def argv(self, stage: str, config: dict[str, Any]) -> list[str]:
        """Words of `drrx run-stage` as the Snakefile gives them."""
        words = ["run-stage", "--cohort", "cohort.tsv", "--results", "results", "--seed", str(SEED), "--keep", "all"]
        record = "dataset/manifest.json" if stage == "collect_dataset" else f"records/{stage}/{SHARD}.json"
        words += [stage, "--cases", *CASES, "--settings", stage_settings(load_config(config), stage)]
        return [*words, "--output", f"results/{record}"]

    def expect(self) -> dict[str, str]:
        """Take the tree as it is for right; return it."""
        tree = hash_tree(self.results)
        for name, sha256 in tree.items():
            self.expected.setdefault(name, set()).add(sha256)
        return tree

    def check(self, what: str) -> None:
        """Look at every file under a final name: it must be whole, and be what an undisturbed run makes."""
        for name, sha256 in hash_tree(self.results).items():
            self.counts["files looked at"] += 1
            if name in self.expected and sha256 in self.expected[name]:
                continue
            path = self.results / name
            if not is_whole(path):
                self.findings.append(f"{what}: {name} is half a file")
            elif not name.startswith("records/"):
                self.findings.append(f"{what}: {name} is a file that no undisturbed run makes")
        self.check_records(what)

    def check_records(self, what: str) -> None:
        """Each file must be the one that the record of its stage names."""
        for path in self.results.glob("cases/*/stages/[!.]*.json"):
            try:
                products = json.loads(path.read_bytes())["products"]
            except (FileNotFoundError, ValueError):
                continue
            case = path.parent.parent
            for name, sha256 in products.items():
                found = hash_if_there(case / name)
                if found != sha256 and hash_if_there(path):
                    self.findings.append(f"{what}: {case.name}/{name} is not what {path.stem} recorded")

    def compare(self, tree: dict[str, str], what: str) -> None:
        """The tree must be that of the undisturbed run, and nothing may be left but what a sweep takes."""
        found = hash_tree(self.results)
        for name in sorted(tree.keys() | found.keys()):
            if tree.get(name) != found.get(name):
                self.findings.append(f"{what}: {name} is not as in the undisturbed run")
        self.counts["swept"] += len(sweep(self.results))
        self.findings += [f"{what}: {name} is left" for name in list_temporary(self.results)]
        self.save()
