"""Run the whole way from the cohort table to the data set, through Snakemake.

Adds the workflow's Snakefile and profile, prints the command and runs it: it does what plain snakemake would do. Every
other option is Snakemake's own (snakemake --help lists them), after -- too. On one machine the limits --resources
mem_mb and gpu are those of the machine, unless you give them. Reads config.yaml of the working folder when there is
one, else the one that came with drrx; writes to the folder 'results' there.

  drrx run                                            the example: two phantoms, no data needed
  drrx run --dry-run                                  what would be done
  drrx run --cores 8 --config cohort=my.tsv results=out
  drrx run --until compose_drr                        only the stages up to the DRRs
  drrx run --profile slurm                            a SLURM cluster; docs/cluster.md tells account and partitions

One run at a time owns a folder of results, from wherever it was started; a second one is refused. Ctrl-C, SIGTERM and
kill -9 lose nothing: the same command goes on. Exit status: 0, 8 when the data set is made but cases were refused (0
with --allow-refused), 143 after SIGTERM, else Snakemake's.
"""

import argparse
import importlib.util
import json
import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

import drrx
from drrx.errors import DrrxError
from drrx.io.strict_yaml import check_config_options

#: Exit status of a run that made the data set without the cases that were refused.
SOME_REFUSED = 8
SUMMARY = "run the whole way, from the cohort table to the data set (through Snakemake)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add drrx's own options, and the rest, which is Snakemake's."""
    parser.add_argument(
        "--profile", metavar="NAME", default="default",
        help="default (this machine, all cores), slurm (a cluster), or the folder of a profile of your own "
        "(default: default)",
    )  # fmt: skip
    parser.add_argument("--allow-refused", action="store_true", help="exit with 0 although cases were refused, not 8")
    parser.add_argument(
        "--break-lock", action="store_true",
        help="take the folder of results from a run that seems alive and is not; it could write nothing more",
    )  # fmt: skip
    take_known = parser.parse_known_args

    def take_all(args: Any = None, namespace: Any = None) -> Any:
        found, others = take_known(args, namespace)
        # What stands after `--` is Snakemake's as well; the dashes have done their work.
        mark = others.index("--") if "--" in others else len(others)
        found.snakemake = others[:mark] + others[mark + 1 :]
        return found, []

    # What this parser does not know is Snakemake's, wherever it stands; argparse has no setting for that.
    parser.parse_known_args = take_all  # type: ignore[method-assign]


def find_workflow(package: Path | None = None) -> Path:
    """Return the folder with Snakefile, config.yaml and workflow/: inside the installed package, else beside it.

    Raises
    ------
    DrrxError
        There is none.
    """
    package = package or Path(drrx.__file__).parent
    for folder in (package / "_workflow", package.parent):
        if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir():
            return folder
    raise DrrxError(
        where=str(package), found="no Snakefile in it or beside it", needed="the workflow that comes with drrx",
        hint="Install drrx again: pip install --force-reinstall --no-deps .",
    )  # fmt: skip


def make_command(profile: str, options: list[str]) -> list[str]:
    """Return the command line of Snakemake for a profile's name or folder and Snakemake's own options."""
    workflow = find_workflow()
    folder = workflow / "workflow" / "profiles" / profile
    if not folder.is_dir():
        folder = Path(profile)
    if not folder.is_dir():  # Snakemake would go on without it and say nothing.
        names = ", ".join(sorted(path.name for path in (workflow / "workflow" / "profiles").iterdir()))
        raise DrrxError(
            where="--profile", found=repr(profile), needed=f"one of {names}, or the folder of a profile",
            hint="Copy one of workflow/profiles and change it.",
        )  # fmt: skip
    executor = _read_executor(folder)
    if executor == "slurm" and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        raise DrrxError(
            where=f"--profile {profile}", found="no SLURM executor in this environment",
            needed="the package snakemake-executor-plugin-slurm", hint="pip install snakemake-executor-plugin-slurm",
        )  # fmt: skip
    given = any(option.split("=")[0] in ("--resources", "--res") for option in options)
    limits = find_limits() if executor in (None, "local") and not given else []
    # The profile's folder ends the list of limits: without it a target among the options would be taken for one.
    # Our own lock is on the results (drrx/io/owner.py). Snakemake's is on the working folder, and stays after a crash.
    places = ["--snakefile", str(workflow / "Snakefile"), "--nolock", *limits, "--workflow-profile", str(folder)]
    return [sys.executable, "-P", "-m", "snakemake", *places, *options]


def _read_executor(profile: Path) -> str | None:
    """Return the executor that a profile names."""
    file = profile / "profile.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return settings.get("executor") if isinstance(settings, dict) else None


def find_limits() -> list[str]:
    """Return the option that tells Snakemake how much memory and how many GPUs this machine has.

    Then it starts no more jobs side by side than fit, and none that would wait for a GPU with cores in its hands.
    """
    from drrx.stages.device import count_devices

    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    gpus = count_devices()
    return ["--resources", f"mem_mb={memory_mb}", *([f"gpu={gpus}"] if gpus else [])]


def run(args: argparse.Namespace) -> int:
    """Run Snakemake in the working folder; return its exit status, or 8 when all is done but cases were refused."""
    from drrx.io.child import run_child

    check_config_options(args.snakemake)
    command = make_command(args.profile, args.snakemake)
    print(f"drrx run: {shlex.join(command)}", file=sys.stderr, flush=True)
    ended = run_child(command, {"DRRX_BREAK_LOCK": "yes" if args.break_lock else ""})
    refused = count_refused(ended.told) if ended.status == 0 else {}
    if not refused:
        return ended.status
    status = 0 if args.allow_refused else SOME_REFUSED
    told = ", ".join(f"{code} {number}" for code, number in sorted(refused.items()))
    said = "" if args.allow_refused else f"; exit status {status} (--allow-refused: 0)"
    print(f"drrx run: {sum(refused.values())} cases refused: {told}{said}", file=sys.stderr)
    return status


def count_refused(told: bytes) -> dict[str, int]:
    """Return how many cases were refused by code; ``told`` is the folder of a whole run, or nothing (``data_set``)."""
    from drrx.io.files import read_json

    if not told:
        return {}
    summary = Path(json.loads(told.splitlines()[0])["results"], "summary.json")
    return dict(Counter(str(case["code"]) for case in read_json(summary).get("refused", [])))
