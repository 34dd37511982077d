"""Run the whole way from the cohort table to the data set, through Snakemake.

Adds the workflow's Snakefile and profile and hands every other option to Snakemake (snakemake --help lists them).
Reads config.yaml of the working folder when there is one, else the one that came with drrx; writes to the folder
'results' there.

  drrx run                                            the example: two phantoms, no data needed
  drrx run --dry-run                                  what would be done
  drrx run --cores 8 --config cohort=my.tsv results=out
  drrx run --profile slurm                            a SLURM cluster; docs/pipeline.md tells account and partitions
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import drrx
from drrx.errors import DrrxError

SUMMARY = "run the whole way, from the cohort table to the data set (through Snakemake)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--profile`` and the rest, which is Snakemake's."""
    parser.add_argument(
        "--profile", metavar="NAME", default="default",
        help="default (this machine, all cores), slurm (a cluster), or the folder of a profile of your own "
        "(default: default)",
    )  # fmt: skip
    take_known = parser.parse_known_args

    def take_all(args: Any = None, namespace: Any = None) -> Any:
        found, others = take_known(args, namespace)
        found.snakemake = others
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
    settings = (folder / "profile.yaml").read_text(encoding="utf-8") if (folder / "profile.yaml").is_file() else ""
    if "executor: slurm" in settings and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        raise DrrxError(
            where=f"--profile {profile}", found="no SLURM executor in this environment",
            needed="the package snakemake-executor-plugin-slurm", hint="pip install snakemake-executor-plugin-slurm",
        )  # fmt: skip
    python = [sys.executable, "-m", "snakemake"]
    return [*python, "--snakefile", str(workflow / "Snakefile"), "--workflow-profile", str(folder), *options]


def run(args: argparse.Namespace) -> None:
    """Become Snakemake in the working folder, so that Ctrl-C and the exit status are its own."""
    command = make_command(args.profile, args.snakemake)
    os.execv(command[0], command)
