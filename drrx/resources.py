"""What a job of the workflow needs of memory and time: estimated from its cases, before anything is read."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from drrx.config import Config
from drrx.io.cohort import CohortRow

#: Voxels, in millions, of a CT that cannot be told from its path: 512 x 512 x 400.
TYPICAL_MVOXELS = 105.0
#: Small files that name another one with the voxels.
HEADERS = {".mhd", ".nhdr"}
MEMORY_MARGIN, TIME_MARGIN = 1.5, 4.0
MIN_MINUTES = 10


@dataclass(frozen=True)
class StageCost:
    """Measured peak memory and time of a stage on one core of a Xeon, 2.1 GHz (``docs/pipeline.md``).

    ``_mvoxel`` counts for every million voxels of the CT, ``_mpixel`` of one image; memory for the largest case of a
    shard, time for each case, each view and each image.
    """

    base_mb: float
    mb_per_mvoxel: float = 0.0
    mb_per_mpixel: float = 0.0
    start_s: float = 10.0
    s_per_case: float = 1.0
    s_per_mvoxel: float = 0.0
    s_per_view: float = 0.0
    s_per_image: float = 0.0


COSTS = {
    "read_ct": StageCost(300, mb_per_mvoxel=15, s_per_mvoxel=0.3),
    "segment_anatomy": StageCost(300, mb_per_mvoxel=11, s_per_mvoxel=0.4),
    "sample_nodules": StageCost(300, mb_per_mvoxel=15, s_per_mvoxel=0.1, s_per_image=2.0),
    "project_ct": StageCost(250, mb_per_mvoxel=7, mb_per_mpixel=60, s_per_mvoxel=0.1, s_per_view=3.0),
    "compose_drr": StageCost(200, mb_per_mpixel=120, s_per_image=0.3),
    # In the network's memory an image counts with 0.42 mm a pixel, however fine it is: see batch_size below.
    "restore_cxr": StageCost(400, mb_per_mpixel=40, s_per_image=1.5),
    "annotate_cxr": StageCost(150, mb_per_mpixel=60, s_per_image=0.2),
    "collect_dataset": StageCost(300, start_s=60, s_per_image=0.3),
}
#: Of the restorer, for one image in a batch; of the data set, for one image in it; of Snakemake itself, which on a
#: cluster runs twice inside each job.
NETWORK_MB, ENTRY_MB, SNAKEMAKE_MB = 350.0, 0.1, 400


@dataclass(frozen=True)
class JobResources:
    """Memory in MB and time in minutes, as Snakemake's ``mem_mb`` and ``runtime`` count them, and the time expected."""

    mem_mb: int
    runtime: int
    seconds: float


def estimate_job(stage: str, rows: Sequence[CohortRow], config: Config, attempt: int = 1) -> JobResources:
    """Return what one stage over the cases ``rows`` needs; twice as much at each further attempt.

    Sizes of CTs come from the sizes of their files, and from the settings of phantoms. Nothing is opened, no folder is
    listed: a DICOM folder counts as ``TYPICAL_MVOXELS``.
    """
    cost, mpixels = COSTS[stage], config.project_ct.size_px**2 / 1e6
    mvoxels = [guess_mvoxels(row, config) for row in rows]
    images = sum(count_images(row, config) for row in rows)
    mb = cost.base_mb + cost.mb_per_mvoxel * max(mvoxels, default=0.0) + cost.mb_per_mpixel * mpixels
    if stage == "restore_cxr":
        mb += NETWORK_MB * config.restore_cxr.batch_size
    if stage == "collect_dataset":
        mb += ENTRY_MB * images
    seconds = cost.start_s + cost.s_per_case * len(rows) + cost.s_per_mvoxel * sum(mvoxels)
    seconds += cost.s_per_view * len(config.views) * len(rows) + cost.s_per_image * images * max(1.0, mpixels)
    more = 2 ** (attempt - 1)
    minutes = max(MIN_MINUTES, ceil(TIME_MARGIN * seconds / 60))
    mem_mb = SNAKEMAKE_MB + ceil(MEMORY_MARGIN * mb / 100) * 100
    return JobResources(mem_mb * more, minutes * more, seconds)


def count_images(row: CohortRow, config: Config) -> int:
    """Return how many images a case gives at most: the twin, variants, shams, and one without its real nodules."""
    return len(config.views) * (1 + config.variants + config.shams + (row.annotations is not None))


def guess_mvoxels(row: CohortRow, config: Config) -> float:
    """Return about how many million voxels the CT of a case has."""
    if row.phantom_seed is not None:
        shape = config.make_phantom
        volume_mm3 = shape.width_mm * shape.depth_mm * shape.height_mm
        return volume_mm3 / (shape.in_plane_mm**2 * shape.slice_mm) / 1e6
    return min(_guess_from_file(row.path), config.read_ct.max_num_voxels / 1e6)


@functools.lru_cache(maxsize=1 << 17)
def _guess_from_file(name: str) -> float:
    path = Path(name)
    if path.suffix in HEADERS or not path.is_file():
        return TYPICAL_MVOXELS
    # int16, which gzip brings to about half.
    bytes_per_voxel = 1 if path.suffix == ".gz" else 2
    return path.stat().st_size / bytes_per_voxel / 1e6
