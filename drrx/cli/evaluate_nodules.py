"""Check inserted nodules, and set them beside real ones.

Reads what the workflow wrote. Of every inserted nodule it finds volume, diameter, HU and centre anew, from the CT with
the nodule minus the CT, and compares them with what was asked for and with the record; in every radiograph the centre
and the path map with a projection of its own. With a library of real nodules, nodules of the same sizes and types are
inserted into the cases and both are projected and measured in the same way, with two-sample tests.

Writes report.json, report.md, nodules.png (nodules at random: CT, DRR, CXR, mask) and comparison.png.

Example: drrx evaluate-nodules --results results --nodule-library nodule_patches --output audit
"""

import argparse
from pathlib import Path

#: Settings of sample_nodules that matter for the comparison; type and diameter are those of the real nodules.
SAMPLING = (
    "margin", "solid_hu_mean", "texture", "strands", "juxtavascular_share", "juxtapleural_share", "lobe_weights",
    "blur", "psf_fwhm_mm",
)  # fmt: skip
SUMMARY = "check inserted nodules: asked against achieved, and beside real ones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from drrx.cli.options import add_settings
    from drrx.evaluate.nodule_audit.settings import EvaluateNodulesSettings
    from drrx.nodule.settings import SampleNodulesSettings

    parser.add_argument(
        "--results", action="append", type=Path, default=[], metavar="FOLDER",
        help="results folder of the workflow; repeat for more",
    )  # fmt: skip
    parser.add_argument(
        "--nodule-library", type=Path, metavar="FOLDER", help="real nodules: index.csv, <id>.nii.gz and <id>_seg.nii.gz"
    )
    parser.add_argument(
        "--cases", nargs="+", type=Path, metavar="FOLDER",
        help="folders with ct.nii.gz and anatomy.nii.gz to insert nodules into for the comparison with the library "
        "(default: the cases of --results)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for report and figures")
    add_settings(parser, EvaluateNodulesSettings)
    add_settings(parser, SampleNodulesSettings, only=SAMPLING)


def run(args: argparse.Namespace) -> None:
    """Check, compare, write, print the tables."""
    from drrx.cli.options import make_settings
    from drrx.errors import DrrxError
    from drrx.evaluate.nodule_audit.audit import Audit, audit_nodules
    from drrx.evaluate.nodule_audit.report import to_markdown
    from drrx.evaluate.nodule_audit.results import list_cases, list_hosts
    from drrx.evaluate.nodule_audit.settings import EvaluateNodulesSettings
    from drrx.io.nodule_library import read_library
    from drrx.nodule.settings import SampleNodulesSettings

    cases = tuple(case for folder in args.results for case in list_cases(folder))
    library = read_library(args.nodule_library) if args.nodule_library else ()
    if not cases and not (library and args.cases):
        raise DrrxError(
            where="evaluate-nodules", found="nothing to look at", needed="--results, or --nodule-library with --cases",
            hint="Give the folder that `drrx run` wrote.",
        )  # fmt: skip
    hosts = list_hosts(args.cases or [case.folder for case in cases], required=args.cases is not None)
    drawing = {key: value for key, value in vars(args).items() if key in SAMPLING}
    audit = Audit(
        cases=cases, nodule_library=library, hosts=hosts if library else (), folder=args.output,
        settings=make_settings(EvaluateNodulesSettings, vars(args), "evaluate-nodules"),
        sampling=make_settings(SampleNodulesSettings, drawing, "evaluate-nodules"),
        progress=lambda text: print(text, flush=True),
    )  # fmt: skip
    print(to_markdown(audit_nodules(audit)))
