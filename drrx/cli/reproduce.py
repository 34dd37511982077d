r"""Make one image of a data set again, bit for bit, from its record.

Reads the record in the data set (records.jsonl, provenance.tsv, manifest.json), runs the stages for this case and
view alone with the settings and seeds on record, renders its nodules from their numbers, and compares the SHA-256 of
DRR and CXR. A phantom needs nothing else; a CT has to be given and must be the very file. Ends with 0 when both images
are equal bit for bit, with 1 when not. Another version of drrx or of a library is told first: bits may then differ.

Example: drrx reproduce phantom-1_v1_pa
         drrx reproduce lidc-0001_v3_pa --ct lidc/0001.nii.gz --output again
         drrx reproduce lidc-0001_removed_pa --cohort cohort.tsv
"""

import argparse
import json
from pathlib import Path
from typing import Any

SUMMARY = "make one image of a data set again, bit for bit, from its record"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``reproduce``."""
    paths: tuple[tuple[str, str, str], ...] = (
        ("--cohort", "TABLE", "cohort table with the case: tells CT, annotations and mask"),
        ("--ct", "PATH", "the CT, in place of a cohort table"),
        ("--annotations", "FILE", "its annotated real nodules; needed for the variant 'removed'"),
        ("--mask", "FILE", "its own lung mask, when there was one"),
        ("--nodule-library", "FOLDER", "library of real nodules, when one was transplanted"),
        ("--weights", "FILE", "weights of the restorer, when they are not those that come with drrx"),
    )
    parser.add_argument("image", metavar="IMAGE_ID", help="<case>_<variant>_<view>, as in images.csv")
    parser.add_argument(
        "--dataset", type=Path, default=Path("results/dataset"), metavar="FOLDER",
        help="the data set (default: results/dataset)",
    )  # fmt: skip
    for flag, metavar, text in paths:
        parser.add_argument(flag, type=Path, metavar=metavar, help=text)
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where drr.png and cxr.png go (default: reproduced/IMAGE_ID)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def run(args: argparse.Namespace) -> int:
    """Reproduce, tell whether it is the same; 1 when not."""
    from drrx.provenance.record import read_record
    from drrx.provenance.reproduce import Inputs, reproduce

    record = read_record(args.dataset, args.image)
    changes = record.list_changes()
    if changes and not args.json:
        print("not what the image was made with; its bits may differ:", *changes, sep="\n  ")
    output = args.output or Path("reproduced") / args.image
    made = reproduce(record, Inputs(_find_row(args, record.annotation), args.weights, args.nodule_library), output)
    if args.json:
        print(json.dumps(made.to_json() | {"changes": changes}, indent=1))
        return int(not made.is_same)
    for file, sha256 in made.made.items():
        same = sha256 == made.recorded[file]
        print(f"{output / file}: sha256 {sha256}, {'as on record' if same else 'on record ' + made.recorded[file]}")
    if made.differing_facts:
        print("facts that differ:", ", ".join(made.differing_facts))
    with_threads = f", with {made.threads} thread(s) for the network" if made.threads else ""
    print(f"the same, bit for bit{with_threads}" if made.is_same else "NOT the same")
    return int(not made.is_same)


def _find_row(args: argparse.Namespace, annotation: Any) -> Any:
    """Return the cohort row of the image's case: from the table, from single paths, or that of a phantom."""
    from drrx.errors import DrrxError
    from drrx.io.cohort import CohortRow, read_cohort

    source = annotation.facts["ct"]["source"]
    if args.cohort:
        row = next((row for row in read_cohort(args.cohort) if row.case == annotation.case), None)
        if row is None:
            raise DrrxError(
                where=str(args.cohort), found=f"no case {annotation.case}", needed="the case of the image",
                hint="Give the table of that run, or the CT itself: --ct.",
            )  # fmt: skip
        return row
    if source["format"] != "phantom" and args.ct is None:
        raise DrrxError(
            where=f"image {annotation.image_id}", found=f"a record made from a CT ({source['format']})",
            needed="that CT", hint="Give it with --ct PATH, or --cohort TABLE.",
        )  # fmt: skip
    given = {name: str(path) for name in ("mask", "annotations") if (path := getattr(args, name))}
    ct = str(args.ct) if args.ct else f"phantom:{source['seed']}"
    return CohortRow(case=annotation.case, cohort="reproduced", path=ct, **given)
