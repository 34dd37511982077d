"""Stage ``segment_anatomy``: the label map of a CT, its quality numbers and figure."""

from collections.abc import Sequence
from pathlib import Path

from drrx.anatomy.figure import make_anatomy_figure
from drrx.anatomy.segment import segment_anatomy
from drrx.anatomy.settings import SegmentAnatomySettings
from drrx.io.files import write_json
from drrx.io.image import write_picture
from drrx.io.nifti import read_volume, write_volume
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage


def run(job: CaseJob) -> Sequence[Path]:
    """Write label map, numbers and figure; the user's own lung mask wins over ours."""
    folder = job.folder
    ct = read_volume(folder.ct)
    mask = read_volume(folder.lung_mask).values > 0 if job.row.mask is not None else None
    settings = make_settings(SegmentAnatomySettings, job.settings, "segment_anatomy")
    anatomy = segment_anatomy(ct, settings, lung_mask=mask)
    write_volume(folder.anatomy, anatomy.labels)
    write_json(folder.anatomy_qc, anatomy.qc)
    write_picture(folder.anatomy_figure, make_anatomy_figure(ct, anatomy))
    return [folder.anatomy, folder.anatomy_qc, folder.anatomy_figure]


STAGE = Stage("segment_anatomy", run, upstream=("read_ct",), reads=("ct.nii.gz", "lung_mask.nii.gz"))
