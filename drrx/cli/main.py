"""The ``drrx`` command: finds its subcommands by name and turns a ``DrrxError`` into one clear line."""

import argparse
import importlib
import logging
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import drrx
import drrx.cli
from drrx.errors import CaseRefused, DrrxError

_WORKFLOW_ORDER = (
    "run", "make_phantom", "read_ct", "segment_anatomy", "sample_nodules", "insert_nodules", "project_ct",
    "restore_cxr", "collect_dataset", "verify", "reproduce", "run_stage", "train_ddpm_hq", "evaluate_restorer",
)  # fmt: skip
_NO_COMMANDS = {"main", "options"}


def find_commands() -> list[str]:
    """Return the names of all command modules, in the order of the workflow."""
    names = {module.name for module in pkgutil.iter_modules(drrx.cli.__path__)} - _NO_COMMANDS
    return [name for name in _WORKFLOW_ORDER if name in names] + sorted(names - set(_WORKFLOW_ORDER))


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"drrx.cli.{name}")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``drrx`` with all subcommands; command modules are named as their subcommand."""
    parser = argparse.ArgumentParser(
        prog="drrx",
        description="Annotated, enhanced synthetic chest radiographs with lung nodules, from chest CTs.",
        epilog="Start with: drrx run --cores 2 (the whole way), or drrx COMMAND --help (one step).",
    )
    parser.add_argument("--version", action="version", version=f"drrx {drrx.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in find_commands():
        module = _load(name)
        command = commands.add_parser(
            name.replace("_", "-"), help=module.SUMMARY, description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return 0, or 1 after an error that the user can mend (2 is a wrong option)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = make_parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except DrrxError as error:
        code = f" [{error.code}]" if isinstance(error, CaseRefused) else ""
        print(f"drrx {args.command}: error{code}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"drrx {args.command}: error: {error}. Check path, permissions and free disk space.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
