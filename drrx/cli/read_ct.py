"""Read a chest CT, check and repair it, and write the canonical volume and its record."""

import argparse
from pathlib import Path

SUMMARY = "read a chest CT (DICOM folder, NIfTI, MHD/MHA, NRRD) and write the canonical .nii.gz"
EPILOG = """\
The output is int16 HU on axis-aligned axes; padding has become air (-1000 HU), missing slices and gantry tilt are
repaired within limits. A CT that must not go on is refused with a code and a hint (exit code 1).

example:
  drrx read-ct dicom/chest_8mm --output ct.nii.gz --record case.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from drrx.cli.options import add_settings
    from drrx.io.settings import ReadCtSettings

    parser.epilog = EPILOG
    parser.add_argument(
        "input", metavar="IN", type=Path, help="DICOM folder or file, .nii[.gz], .mha, .mhd, .nrrd, .nhdr"
    )
    parser.add_argument("--output", metavar="CT", type=Path, required=True, help="canonical CT to write (.nii.gz)")
    parser.add_argument("--record", metavar="JSON", type=Path, help="case record to write; also when refused")
    parser.add_argument(
        "--case", metavar="ID", default="", help="case id for the record (default: from the input's name)"
    )
    parser.add_argument("--series-uid", metavar="UID", help="SeriesInstanceUID to take from a folder with several")
    # What to do about nodules that nobody marked is for the workflow, which knows the cohort table.
    names = [name for name in ReadCtSettings.__annotations__ if name != "unannotated_nodules"]
    add_settings(parser, ReadCtSettings, only=names)


def run(args: argparse.Namespace) -> None:
    """Read, write, record."""
    from drrx.cli.options import make_settings
    from drrx.errors import CaseRefused
    from drrx.io.ct import make_case_id, read_ct
    from drrx.io.files import write_json
    from drrx.io.nifti import write_volume
    from drrx.io.settings import ReadCtSettings
    from drrx.records.case import CaseRecord

    settings = make_settings(ReadCtSettings, vars(args), "read-ct")
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
