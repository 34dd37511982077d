"""Read a chest CT, check and repair it, and write the canonical volume and its record."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drrx.io.settings import ReadCtSettings

SUMMARY = "read a chest CT (DICOM folder, NIfTI, MHD/MHA, NRRD) and write the canonical .nii.gz"
EPILOG = """\
The output is int16 HU on axis-aligned axes; padding has become air (-1000 HU), missing slices and gantry tilt are
repaired within limits. A CT that must not go on is refused with a code and a hint (exit code 1).

examples:
  drrx read-ct dicom/chest --output ct.nii.gz --record case.json
  drrx read-ct dicom/study --list-series
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from drrx.cli.options import add_settings
    from drrx.io.settings import ReadCtSettings

    parser.epilog = EPILOG
    parser.add_argument(
        "input",
        metavar="IN",
        type=Path,
        help="DICOM folder or file, .nii[.gz], .mha, .mhd, .nrrd, .nhdr, or a .zip or .tar of one",
    )
    parser.add_argument("--output", metavar="CT", type=Path, help="canonical CT to write (.nii.gz)")
    parser.add_argument("--record", metavar="JSON", type=Path, help="case record to write; also when refused")
    parser.add_argument(
        "--case", metavar="ID", default="", help="case id for the record (default: from the input's name)"
    )
    parser.add_argument("--series-uid", metavar="UID", help="SeriesInstanceUID to take from a folder with several")
    parser.add_argument("--list-series", action="store_true", help="only list the CT series of a DICOM folder, by UID")
    # What to do about nodules that nobody marked is for the workflow, which knows the cohort table.
    names = [name for name in ReadCtSettings.__annotations__ if name != "unannotated_nodules"]
    add_settings(parser, ReadCtSettings, only=names)


def run(args: argparse.Namespace) -> None:
    """Read, write, record; or list."""
    from drrx.cli.options import make_settings
    from drrx.errors import CaseRefused, DrrxError
    from drrx.io.ct import make_case_id, read_ct
    from drrx.io.files import write_json
    from drrx.io.nifti import write_volume
    from drrx.io.settings import ReadCtSettings
    from drrx.records.case import CaseRecord

    settings = make_settings(ReadCtSettings, vars(args), "read-ct")
    if args.list_series:
        return list_series(args.input, settings)
    if args.output is None:
        raise DrrxError(
            where="--output", found="nothing", needed="the canonical CT to write", hint="Add --output ct.nii.gz."
        )
    case = args.case or make_case_id(args.input)
    try:
        volume, record = read_ct(args.input, settings, case=case, series_uid=args.series_uid)
    except CaseRefused as error:
        if args.record:
            write_json(args.record, CaseRecord.from_refusal(error, case=case).to_json())
        raise
    write_volume(args.output, volume)
    if args.record:
        write_json(args.record, record.to_json())
    print(f"{record.case}: {record.status}, {'x'.join(map(str, volume.shape))} voxels [slice, row, column]")
    for code, text in record.corrections:
        print(f"  {code}: {text}")
    if record.flags:
        print(f"  flags: {', '.join(record.flags)}")


def list_series(path: Path, settings: "ReadCtSettings") -> None:
    """Print SeriesInstanceUID and facts of each CT series; UIDs go to the one who asks, and into no record."""
    from drrx.io.dicom import read_case_headers
    from drrx.io.dicom_series import describe_series

    headers, _ = read_case_headers(path, settings, path.name)
    for uid, text in describe_series(headers):
        print(f"{uid}\t{text}")
