"""What is fuzzed: seeds, edits and the law of each reader."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from drrx.config import Config, load_config
from drrx.errors import DrrxError
from drrx.io.annotations import read_annotations
from drrx.io.cohort import read_cohort
from drrx.io.ct import read_ct
from drrx.io.film import read_film
from drrx.io.image import read_image
from drrx.io.mask import read_mask
from drrx.io.nifti import read_volume
from drrx.io.nodule_library_index import find_files, read_ids
from drrx.io.settings import ReadCtSettings
from drrx.io.strict_yaml import check_yaml
from tests.fuzz import dicom_seeds, seeds
from tests.fuzz.dicom_edits import DICOM
from tests.fuzz.edits import (
    BYTES,
    NIFTI_1,
    NIFTI_2,
    TEXT,
    Edit,
    Pick,
    apply_edits,
    choose,
    edit_member_name,
    edit_png,
    edit_safetensors,
    inside_gzip,
)
from tests.fuzz.seeds import SECRET, Seed, is_json

SETTINGS = ReadCtSettings(
    min_num_slices=2, min_length_mm=0, max_gap_mm=6, max_slice_spacing_mm=10, decode_seconds=2, decode_memory_mb=1024
)
MAX_SECONDS = 10.0
MAX_LETTERS = 5000


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes
    ----------
    make_seeds
        Gives the valid files.
    edits
        Gives the edits for the file of a name.
    read
        Reads a file and asserts that the result is valid.
    """

    name: str
    make_seeds: Callable[[], Sequence[Seed]]
    edits: Callable[[str], Sequence[Edit]]
    read: Callable[[Path], None]
    has_secrets: bool = True

    def make_input(self, pick: Pick) -> Seed:
        """Return a seed with edits in one of its files."""
        seed = choose(pick, self.make_seeds())
        names = sorted(seed.files)
        name = seed.entry if seed.entry and pick(3) else choose(pick, names)
        changed = apply_edits(seed.files[name], self.edits(name), pick)
        return Seed(seed.files | {name: changed}, seed.entry)

    def try_input(self, folder: Path, made: Seed) -> str:
        """Write an input below ``folder``, read it, and return ``read`` or the code of the refusal.

        Anything but a valid result or a typed error comes out as it is.
        """
        for name, data in made.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        error = None
        try:
            self.read(folder / made.entry)
        except DrrxError as found:
            error = found
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert there <= {*made.files, f"{made.entry}.sha256"}, "a reader wrote beside its input"
        if error is None:
            return "read"
        assert not self.has_secrets or SECRET not in str(error), "the message repeats text of the file"
        assert is_json([str(error), error.hint])
        str(error).encode()  # no lone surrogates: it will be printed
        assert len(str(error)) < MAX_LETTERS, "a message without end"
        return str(getattr(error, "code", "DrrxError"))


def _read_ct(path: Path) -> None:
    volume, record = read_ct(path, SETTINGS, case="c")
    assert volume.values.dtype == np.int16
    assert np.isfinite(volume.world_from_index).all()
    assert min(volume.spacing_mm) > 0
    assert volume.values.max() <= SETTINGS.max_hu
    assert is_json(record.to_json())
    assert SECRET not in str(record.to_json())


def _read_canonical(path: Path) -> None:
    volume = read_volume(path)
    assert np.isfinite(volume.world_from_index).all()
    assert volume.values.dtype in (np.int16, np.uint8, np.float32)


def _read_marked(path: Path) -> None:
    like = seeds.make_ct()
    try:
        labels = read_annotations(path, like, SETTINGS, "1.2")
        assert labels.shape == like.shape
    finally:
        if path.suffix != ".csv":
            assert read_mask(path, like, SETTINGS).any()


def _read_cohort(path: Path) -> None:
    for row in read_cohort(path):
        assert is_json(dataclasses.asdict(row) if dataclasses.is_dataclass(row) else row.model_dump())
        assert row.case == row.case.strip()
        assert Path(row.path).is_absolute() or row.phantom_seed is not None


def _read_config(path: Path) -> None:
    check_yaml(path)
    values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    assert isinstance(load_config(values), Config)


def _read_picture(path: Path) -> None:
    film = read_film(path)
    assert film.values.ndim == 2
    assert np.isfinite(film.values).all()
    if path.suffix == ".png":
        image = read_image(path)
        assert 0 <= image.min() <= image.max() <= 1


def _read_library(path: Path) -> None:
    for name in read_ids(path):
        list(find_files(path, name))


def _read_weights(path: Path) -> None:
    from drrx.diffusion.registry import write_record
    from drrx.diffusion.weights import read_weights

    # Without the record no changed file gets past its hash: what is tested lies behind it.
    write_record(path, hashlib.sha256(path.read_bytes()).hexdigest())
    weights = read_weights(path, "ddpm_hq")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.tensors.values())
    assert is_json(weights.config)


def _edits_of_nifti(name: str) -> Sequence[Edit]:
    fields = (NIFTI_1, NIFTI_1, NIFTI_1, NIFTI_2, *BYTES)
    return (inside_gzip(fields),) if name.endswith(".gz") else fields


def _edits_of_text(name: str) -> Sequence[Edit]:
    return BYTES if name.endswith((".raw", ".zraw", ".raw.gz")) else TEXT


def _edits_of_masks(name: str) -> Sequence[Edit]:
    return _edits_of_nifti(name) if ".nii" in name else _edits_of_text(name)


def _edits_of_archives(name: str) -> Sequence[Edit]:
    edits = (edit_member_name, edit_member_name, *BYTES)
    return (inside_gzip(edits),) if name.endswith(".gz") else edits


def _edits_of_pictures(name: str) -> Sequence[Edit]:
    return {"png": (edit_png, edit_png, *BYTES), "dcm": DICOM}.get(name[-3:], BYTES)


TARGETS = {
    target.name: target
    for target in (
        Target("dicom", dicom_seeds.make_series, lambda _: DICOM, _read_ct),
        Target("codecs", dicom_seeds.make_packed_series, lambda _: DICOM, _read_ct),
        Target("enhanced", dicom_seeds.make_multiframe, lambda _: DICOM, _read_ct),
        Target("nifti", seeds.nifti, _edits_of_nifti, _read_ct),
        Target("canonical", seeds.canonical, _edits_of_nifti, _read_canonical),
        Target("metaimage", seeds.metaimage, _edits_of_text, _read_ct),
        Target("nrrd", seeds.nrrd, _edits_of_text, _read_ct),
        Target("archives", dicom_seeds.make_archives, _edits_of_archives, _read_ct),
        Target("masks", seeds.masks, _edits_of_masks, _read_marked),
        Target("marks", seeds.marks, lambda _: TEXT, _read_marked),
        Target("cohort", seeds.cohort, lambda _: TEXT, _read_cohort, has_secrets=False),
        Target("library", seeds.nodule_library, lambda _: TEXT, _read_library, has_secrets=False),
        Target("config", seeds.config, lambda _: TEXT, _read_config, has_secrets=False),
        Target("pictures", lambda: (*seeds.pictures(), *dicom_seeds.make_films()), _edits_of_pictures, _read_picture),
        Target("weights", seeds.weights, lambda _: (edit_safetensors, *BYTES), _read_weights, has_secrets=False),
    )
}
