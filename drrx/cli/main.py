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
from drrx.errors import DrrxError
from drrx.io.caches import place_caches
from drrx.io.ending import Terminated, end_on_sigterm
from drrx.io.faults import describe_fault, format_frames

log = logging.getLogger(__name__)

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
    """Run one subcommand.

    Returns
    -------
    0; 1 after an error that the user can mend; 2 for a wrong option; 70 after a defect of drrx; 130 after Ctrl-C; 143
    after SIGTERM.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    place_caches()
    args = make_parser().parse_args(argv)
    try:
        with end_on_sigterm(watched=argv is None and args.command != "run"):
            return int(args.run(args) or 0)
    except DrrxError as error:
        code = getattr(error, "code", "")
        return _tell(args, f"error [{code}]: {error}" if code else f"error: {error}", 1)
    except KeyboardInterrupt:
        return _tell(args, "stopped", 130)
    except Terminated:
        return _tell(args, "stopped by SIGTERM; nothing half written is left", 143)
    except Exception as error:
        log.error("%s", format_frames(error))
        fault = describe_fault(error, getattr(args, "results", None))
        named = _name_given(error, argv)
        hint = fault.hint if fault.code != "DEFECT" else "Report it to the makers of drrx with the lines above."
        return _tell(args, f"error [{fault.code}]: {fault.found}{named}. {hint}", 70 if fault.code == "DEFECT" else 1)


def _tell(args: argparse.Namespace, text: str, status: int) -> int:
    print(f"drrx {args.command}: {text}", file=sys.stderr)
    return status


def _name_given(error: Exception, argv: Sequence[str] | None) -> str:
    """Return the file that an error is about if the user named it on the command line; no other is."""
    name = str(error.filename) if isinstance(error, OSError) and error.filename else ""
    return f": {name}" if name in (sys.argv[1:] if argv is None else argv) else ""


if __name__ == "__main__":
    sys.exit(main())
