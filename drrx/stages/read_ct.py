"""Stage ``read_ct``: one row of the cohort table to a canonical CT and a case record."""

from collections.abc import Sequence
from pathlib import Path

from drrx.errors import CaseRefused
from drrx.io.ct import read_ct
from drrx.io.files import write_json
from drrx.io.mask import read_mask
from drrx.io.nifti import write_volume
from drrx.io.settings import ReadCtSettings
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import make_phantom
from drrx.records.case import CaseRecord, Fact
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.volume import Volume


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``case.json`` whatever happens, and the CT (and the user's lung mask) when the case is accepted."""
    row, folder = job.row, job.folder
    try:
        ct, record = _read(job)
        products = [folder.ct]
        if row.mask is not None:
            mask = read_mask(Path(row.mask), ct)
            write_volume(folder.lung_mask, ct.with_values(mask.astype("uint8")))
            products.append(folder.lung_mask)
        write_volume(folder.ct, ct)
    except CaseRefused as error:
        write_json(folder.case_record, CaseRecord.from_refusal(error, case=row.case, cohort=row.cohort).to_json())
        raise
    write_json(folder.case_record, record.to_json())
    return [*products, folder.case_record]


def _read(job: CaseJob) -> tuple[Volume, CaseRecord]:
    row = job.row
    if row.phantom_seed is not None:
        shape = make_settings(MakePhantomSettings, job.settings["make_phantom"], "make_phantom")
        phantom = make_phantom(row.phantom_seed, shape)
        source: dict[str, Fact] = {"format": "phantom", "seed": row.phantom_seed, "sex": phantom.sex}
        return phantom.ct, CaseRecord(row.case, row.cohort, source=source)
    settings = make_settings(ReadCtSettings, job.settings, "read_ct")
    return read_ct(row.path, settings, case=row.case, cohort=row.cohort, series_uid=row.series_uid)


def _sign_source(job: CaseJob) -> str:
    """Size and time of every source file: a CT replaced in place is read again."""
    paths = [Path(path) for path in (job.row.path, job.row.mask) if path and job.row.phantom_seed is None]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return repr((job.row.phantom_seed, job.row.series_uid, facts))


STAGE = Stage("read_ct", run, depends=_sign_source)
