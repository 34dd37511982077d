"""Put the data set together from the finished cases of a run (the workflow does this as its last step).

Reads results/cases/CASE/... as the stages wrote them and writes results/dataset: images and DRRs (16-bit PNG),
images.csv, nodules.csv, records.jsonl, the chosen formats (COCO, NODE21, VinDr-CXR, NIH, YOLO, Hugging Face, masks),
index.html, manifest.json; and results/summary.json, which names the cases that were refused, and why. Use it to
collect a part of a run again, or in other formats. docs/dataset.md tells of each file.

Example: drrx collect-dataset --results results --cohort cohort.tsv --views pa
"""

import argparse
from pathlib import Path

SUMMARY = "put the data set together: images, COCO annotations, tables, index page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``collect-dataset``."""
    from drrx.cli.options import add_settings
    from drrx.dataset.settings import CollectDatasetSettings
    from drrx.geometry import VIEW_NAMES

    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    parser.add_argument("--cohort", type=Path, required=True, metavar="TABLE", help="cohort table, .tsv or .csv")
    parser.add_argument("--views", nargs="+", default=["pa"], metavar="NAME", help=f"{VIEW_NAMES} (default: pa)")
    parser.add_argument("--seed", type=int, default=0, metavar="INTEGER", help="master seed of the run (default: 0)")
    add_settings(parser, CollectDatasetSettings)


def run(args: argparse.Namespace) -> None:
    """Read, collect, say what came out."""
    from drrx.cli.options import make_settings
    from drrx.dataset.collect import collect_dataset
    from drrx.dataset.settings import CollectDatasetSettings
    from drrx.geometry import ViewName
    from drrx.io.cohort import read_cohort

    settings = make_settings(CollectDatasetSettings, vars(args), "drrx collect-dataset")
    views = [str(ViewName.parse(name)) for name in args.views]
    facts = {"seed": args.seed, "views": views}
    summary = collect_dataset(args.results, read_cohort(args.cohort), views, settings, facts)
    counts = summary["counts"]
    print(f"{args.results / 'dataset' / 'index.html'}: {counts['images']} images, {counts['nodules']} nodules")
    for case in summary["refused"]:
        print(f"refused {case['case']} [{case['code']}]: {case['detail']} {case['hint']}")
