"""Stage ``collect_dataset``: all cases of the cohort table as one data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drrx.dataset.collect import collect_dataset
from drrx.dataset.settings import CollectDatasetSettings
from drrx.io.cohort import CohortRow
from drrx.settings import make_settings
from drrx.stages.inside import check_inside


def collect(results: Path, rows: Sequence[CohortRow], settings: Mapping[str, Any], seed: int) -> None:
    """Write ``results/dataset`` and ``results/summary.json`` for ``rows``; ``settings`` are those of all stages."""
    check_inside([results / "dataset"])
    told = dict(settings)
    for section, key in (("restore_cxr", "weights"), ("sample_nodules", "nodule_library")):
        # Where they lay is nobody's business.
        told[section] = {**settings[section], key: Path(settings[section][key]).name}
    collect_dataset(
        results,
        rows,
        settings["views"],
        make_settings(CollectDatasetSettings, settings, "collect_dataset"),
        {"seed": seed, "settings": told},
    )
