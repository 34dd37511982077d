r"""Run one stage of the workflow over some cases: what each rule of the Snakefile calls.

Files lie below the results folder as docs/pipeline.md lists them. A case whose files already fit is not done again; a
refused case is recorded and the others go on. For single files use the stage's own command (drrx read-ct, ...).

Example: drrx run-stage read_ct --cohort cohort.tsv --results results --cases case-1 case-2 \
             --output results/records/read_ct/demo-0001.json
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

LAST_STAGE = "annotate_cxr"
SUMMARY = "run one stage of the workflow over some cases (called by Snakemake)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``run-stage``."""
    from drrx.config import STAGES

    parser.add_argument("stage", choices=list(STAGES), metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--cohort", type=Path, required=True, metavar="TABLE", help="cohort table, .tsv or .csv")
    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    parser.add_argument("--cases", nargs="*", metavar="CASE", help="cases to work on (default: all of the table)")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="the stage's section of config.yaml as JSON")
    parser.add_argument("--seed", type=int, default=0, metavar="INTEGER", help="master seed (default: 0)")
    parser.add_argument(
        "--keep", choices=("all", "dataset"), default="all",
        help="dataset: intermediate files may be gone, and after annotate_cxr they go (default: all)",
    )  # fmt: skip
    parser.add_argument("--upstream", nargs="*", metavar="RECORD", help="records of the stages before, for the order")
    parser.add_argument("--output", type=Path, required=True, metavar="RECORD", help="record to write at the end")


def run(args: argparse.Namespace) -> int:
    """Run the stage on each case, then write the shard's record; 1 when a case failed for no fault of its data."""
    from drrx.config import stage_fingerprint
    from drrx.io.cohort import read_cohort
    from drrx.io.files import remove, write_json
    from drrx.io.temporary import sweep
    from drrx.stages.batch import CaseJob, run_batch
    from drrx.stages.layout import CaseFolder
    from drrx.stages.registry import load_stage
    from drrx.stages.remake import bring_back, drop_intermediates

    rows = _pick_rows(read_cohort(args.cohort, args.cases), args.cases, args.cohort)
    settings = _read_settings(args.settings)
    sweep(args.output.parent)
    # Killed midway, the shard must not pass for done.
    remove(args.output)
    if args.stage == "collect_dataset":
        from drrx.stages.collect_dataset import collect

        collect(args.results, rows, settings, args.seed)
        return 0
    jobs = [CaseJob(row, CaseFolder(args.results, row.case), settings, args.seed) for row in rows]
    code = stage_fingerprint(args.stage)
    outcomes = run_batch(load_stage(args.stage), jobs, code, keep_all=args.keep == "all", bring_back=bring_back)
    failed = sorted(case for case, outcome in outcomes.items() if outcome["status"] == "failed")
    if failed:
        print(f"drrx run-stage {args.stage}: failed on {', '.join(failed)}; see above", file=sys.stderr)
        return 1
    write_json(args.output, {"stage": args.stage, "code": code, "cases": outcomes})
    if args.stage == LAST_STAGE and args.keep == "dataset":
        freed = sum(drop_intermediates(job.folder) for job in jobs)
        logging.getLogger(__name__).info("removed %.1f MB of intermediate files", freed / 1e6)
    return 0


def _pick_rows(rows: tuple[Any, ...], cases: list[str] | None, table: Path) -> list[Any]:
    from drrx.errors import DrrxError

    by_case = {row.case: row for row in rows}
    unknown = [case for case in cases or [] if case not in by_case]
    if unknown:
        raise DrrxError(
            where="--cases", found=unknown[0], needed=f"a case of {table.name}", hint="Check the name, or add its row."
        )
    return list(rows) if cases is None else [by_case[case] for case in cases]


def _read_settings(text: str) -> dict[str, Any]:
    from drrx.errors import DrrxError

    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise DrrxError(
            where="--settings", found=text[:60], needed="a JSON object", hint="Quote it for the shell."
        ) from error
