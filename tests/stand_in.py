"""A project folder whose stages are stood in for: what Snakemake would run, without the work."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from drrx.config import STAGES

ROOT = Path(__file__).parent.parent
#: Python runs this at its start: `drrx run-stage` then only leaves the files that its rule promises.
STAND_IN = """
import os, sys
from pathlib import Path
if "run-stage" in sys.orig_argv:
    record = Path(sys.orig_argv[sys.orig_argv.index("--output") + 1])
    stage = next(word for word in sys.orig_argv if word in {stages!r})
    with open("calls.txt", "a") as calls:
        calls.write(stage + " " + record.stem + " " + " ".join(sys.orig_argv[5:]) + "\\n")
    if stage == os.environ.get("STAGE_THAT_FAILS"):
        print("the stage says why")
        os._exit(1)
    record.write_text(stage)
    if stage == "collect_dataset":
        for name in ("annotations.json", "contact_sheet.png", "images.csv", "nodules.csv", "index.html"):
            record.with_name(name).write_text(name)
        record.parent.with_name("summary.json").write_text('{summary}')
    os._exit(0)
"""
SUMMARY = '{"refused": [{"case": "b", "code": "NO_LUNGS"}]}'


def count_jobs(said: str) -> dict[str, int]:
    """Read the table of jobs in what a dry run said; without one there must be nothing to do."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", said, re.MULTILINE | re.DOTALL)
    assert table or "Nothing to be done" in said, said
    pairs = [line.split() for line in table[1].splitlines() if line] if table else []
    return {name: int(count) for name, count in pairs}


class Project:
    """A folder with a cohort table in which Snakemake is run."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write_cohort(self, *cases: str, path: str = "phantom:1") -> None:
        lines = ["case\tpath\tcohort", *(f"{case}\t{path}\tdemo" for case in cases)]
        (self.folder / "cohort.tsv").write_text("\n".join(lines) + "\n")

    def run(self, *options: str, fails: str = "", command: list[str] | None = None) -> subprocess.CompletedProcess:
        start = command or [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        stand_in = self.folder.parent / "stand_in"
        environment = os.environ | {"PYTHONPATH": str(stand_in), "STAGE_THAT_FAILS": fails}
        return subprocess.run(
            [*start, *options], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def planned(self, *options: str) -> dict[str, int]:
        """Jobs by rule that a run with ``options`` would do."""
        said = self.run("--dry-run", *options)
        assert said.returncode == 0, said.stderr
        return count_jobs(said.stdout + said.stderr)

    def files(self) -> list[str]:
        names = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if not name.startswith(".snakemake"))


def make_project(folder: Path) -> Project:
    (folder / "stand_in").mkdir(parents=True)
    text = STAND_IN.replace("{stages!r}", repr(STAGES)).replace("{summary}", SUMMARY)
    (folder / "stand_in" / "sitecustomize.py").write_text(text)
    (folder / "project").mkdir()
    project = Project(folder / "project")
    project.write_cohort("a", "b")
    return project


#: Snakemake's own command line over and over in one process, which starts and imports but once.
PLANNER = """
import contextlib, io, json, os, re, sys
import drrx.config
from snakemake.cli import main

fingerprint = drrx.config.stage_fingerprint
for line in sys.stdin:
    folder, options, changed = json.loads(line)
    drrx.config.stage_fingerprint = lambda stage: "changed" if stage == changed else fingerprint(stage)
    os.chdir(folder)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(["--snakefile", sys.argv[1], "--cores", "2", "--dry-run", *options])
            status = 0
        except SystemExit as end:
            status = end.code or 0
    print(json.dumps([status, said.getvalue()]), flush=True)
"""


class Planner:
    """Asks Snakemake, by many dry runs in one process, what it would do."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", PLANNER, str(ROOT / "Snakefile")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, project: Project, *options: str, changed: str = "") -> dict[str, int]:
        """Jobs by rule that a run with ``options`` would do, were the code of the stage ``changed`` another one."""
        self.process.stdin.write(json.dumps([str(project.folder), options, changed]) + "\n")
        self.process.stdin.flush()
        status, text = json.loads(self.process.stdout.readline())
        assert status == 0, text
        return count_jobs(text)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
