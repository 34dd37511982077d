"""Stage ``read_ct``: one row of the cohort table to a canonical CT, what is known of its nodules, and a case record."""

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from drrx.errors import CaseRefused
from drrx.io.annotations import read_annotations
from drrx.io.cohort import CohortRow
from drrx.io.ct import measure_geometry, read_ct
from drrx.io.files import sha256_file, write_json
from drrx.io.mask import read_mask
from drrx.io.nifti import write_volume
from drrx.io.settings import ReadCtSettings
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import make_phantom
from drrx.records.case import CaseRecord, Fact
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.volume import Volume

UNANNOTATED = "UNANNOTATED_NODULES"


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``case.json`` whatever happens; of an accepted case the CT, the user's lung mask and the known nodules."""
    row, folder = job.row, job.folder
    settings = make_settings(ReadCtSettings, job.settings, "read_ct")
    try:
        check_annotated(row, settings)
        ct, record = _read(job, settings)
        products = [folder.ct]
        if row.mask is not None:
            mask = read_mask(Path(row.mask), ct)
            write_volume(folder.lung_mask, ct.with_values(mask.astype("uint8")))
            products.append(folder.lung_mask)
            record = replace(record, source={**record.source, "lung_mask_sha256": sha256_file(Path(row.mask))})
        known, record = read_known(row, ct, record, settings)
        if known is not None:
            write_volume(folder.known_nodules, known)
            products.append(folder.known_nodules)
        write_volume(folder.ct, ct)
    except CaseRefused as error:
        # Names of files often hold names of patients: records and logs name the case.
        told = error.within(f"case {row.case}")
        write_json(folder.case_record, CaseRecord.from_refusal(told, case=row.case, cohort=row.cohort).to_json())
        raise told from None
    write_json(folder.case_record, record.to_json())
    return [*products, folder.case_record]


def _read(job: CaseJob, settings: ReadCtSettings) -> tuple[Volume, CaseRecord]:
    row = job.row
    if row.phantom_seed is not None:
        shape = make_settings(MakePhantomSettings, job.settings["make_phantom"], "make_phantom")
        phantom = make_phantom(row.phantom_seed, shape)
        source: dict[str, Fact] = {"format": "phantom", "seed": row.phantom_seed, "sex": phantom.sex}
        return phantom.ct, CaseRecord(row.case, row.cohort, geometry=measure_geometry(phantom.ct), source=source)
    return read_ct(row.path, settings, case=row.case, cohort=row.cohort, series_uid=row.series_uid)


def check_annotated(row: CohortRow, settings: ReadCtSettings) -> None:
    """Refuse (``UNANNOTATED_NODULES``) a CT whose nodules nobody marked, where the settings want that."""
    if row.has_nodules == "yes" and row.annotations is None and settings.unannotated_nodules == "refuse":
        raise CaseRefused(
            UNANNOTATED, where=f"case {row.case}", found="a CT with nodules (has_nodules = yes) and no annotations",
            needed="its nodules marked: one that nobody marked is a false label in every image",
            hint="Name a mask or table in the column annotations, or set read_ct.unannotated_nodules to keep.",
        )  # fmt: skip


def read_known(
    row: CohortRow, ct: Volume, record: CaseRecord, settings: ReadCtSettings
) -> tuple[Volume | None, CaseRecord]:
    """Return the known nodules (uint8 labels on the CT's grid, ``None`` for none) and the record that tells of them.

    The record's source says ``has_nodules`` (``yes``, ``no`` or ``unknown``) and ``num_known_nodules``; a CT whose
    nodules nobody marked is flagged ``UNANNOTATED_NODULES``.
    """
    told: dict[str, Fact] = {"has_nodules": row.has_nodules or "unknown", "num_known_nodules": 0}
    if row.phantom_seed is not None and row.has_nodules is None:
        told["has_nodules"] = "no"
    if row.annotations is None:
        flags = {*record.flags, *([UNANNOTATED] if row.has_nodules == "yes" else [])}
        return None, replace(record, flags=tuple(sorted(flags)), source={**record.source, **told})
    series = row.series_uid or record.source.get("series_sha256")
    labels = read_annotations(row.annotations, ct, settings, None if series is None else str(series))
    found = int(labels.max())
    _check_agreement(row, found)
    told |= {"has_nodules": "yes" if found else "no", "num_known_nodules": found}
    told["annotations_sha256"] = sha256_file(Path(row.annotations))
    return ct.with_values(labels) if found else None, replace(record, source={**record.source, **told})


def _check_agreement(row: CohortRow, found: int) -> None:
    if (row.has_nodules != "no") != (found > 0):
        raise CaseRefused(
            "BAD_ANNOTATIONS", where=f"case {row.case}",
            found=f"{found} annotated nodules, has_nodules = {row.has_nodules or 'not told'}",
            needed="annotations with a nodule, or has_nodules = no",
            hint="Correct the cohort table; check that series_uid is the one that the annotations name.",
        )  # fmt: skip


def _sign_source(job: CaseJob) -> str:
    """Name, size and time of every source file: a CT replaced in place is read again, and one that lies elsewhere."""
    row = job.row
    named = (None if row.phantom_seed is not None else row.path, row.mask, row.annotations)
    paths = [Path(path) for path in named if path]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else _find_parts(path))]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return repr((row.phantom_seed, row.written, row.series_uid, row.has_nodules, row.annotations is not None, facts))


def _find_parts(path: Path) -> list[Path]:
    """Return a file, and for a header the files of its name beside it: its voxels lie in one of them."""
    is_header = path.suffix.lower() in (".mhd", ".nhdr")
    return sorted({path, *(path.parent.glob(f"{glob.escape(path.stem)}.*") if is_header else ())})


STAGE = Stage("read_ct", run, depends=_sign_source)
