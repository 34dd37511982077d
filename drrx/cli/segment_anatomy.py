"""Label body, bone, mediastinum, airways, lungs, vessels and approximate lobes of a canonical chest CT."""

import argparse
from pathlib import Path

SUMMARY = "label lungs, lobes (approximate), vessels, airways, mediastinum, bone and body of a chest CT"
EPILOG = """\
No network weights are used: thresholds in HU and shapes in mm. Your own lung mask (--mask) wins over the thresholds.
Values of the label map: 0 outside, 1 body, 2 bone, 3 mediastinum, 4 airway, 5/6 vessels right/left,
11/12/13 right upper/middle/lower lobe, 14/15 left upper/lower lobe (the patient's right and left).

example:
  drrx read-ct dicom/chest_8mm --output ct.nii.gz
  drrx segment-anatomy ct.nii.gz --output anatomy.nii.gz --figure anatomy.png --qc anatomy.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from drrx.anatomy.settings import SegmentAnatomySettings
    from drrx.cli.options import add_settings

    parser.epilog = EPILOG
    parser.add_argument("ct", metavar="CT", type=Path, help="canonical CT (.nii.gz) as `drrx read-ct` writes it")
    parser.add_argument("--output", metavar="LABELS", type=Path, required=True, help="label map to write (.nii.gz)")
    parser.add_argument("--figure", metavar="PNG", type=Path, help="picture for quality control to write")
    parser.add_argument("--mask", metavar="MASK", type=Path, help="your own lung mask (.nii[.gz], .mha, .nrrd)")
    parser.add_argument("--qc", metavar="JSON", type=Path, help="numbers for quality control to write")
    add_settings(parser, SegmentAnatomySettings)


def run(args: argparse.Namespace) -> None:
    """Read, segment, write."""
    from PIL import Image

    from drrx.anatomy.figure import make_anatomy_figure
    from drrx.anatomy.segment import segment_anatomy
    from drrx.anatomy.settings import SegmentAnatomySettings
    from drrx.cli.options import make_settings
    from drrx.io.files import write_json, write_whole
    from drrx.io.mask import read_mask
    from drrx.io.nifti import read_volume, write_volume

    settings = make_settings(SegmentAnatomySettings, vars(args), "segment-anatomy")
    ct = read_volume(args.ct)
    lung_mask = read_mask(args.mask, ct) if args.mask else None
    anatomy = segment_anatomy(ct, settings, lung_mask=lung_mask)
    write_volume(args.output, anatomy.labels)
    if args.figure:
        with write_whole(args.figure) as temporary:
            Image.fromarray(make_anatomy_figure(ct, anatomy)).save(temporary, format="PNG")
    if args.qc:
        write_json(args.qc, anatomy.qc)
    print(f"right lung {anatomy.qc['right_lung_litre']} L, left lung {anatomy.qc['left_lung_litre']} L")
    print(f"flags: {anatomy.qc['flags'] or 'none'}")
