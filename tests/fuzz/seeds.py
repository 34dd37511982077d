"""Small valid files of every format that drrx reads, with a planted name of a patient where the format has a place."""

import contextlib
import functools
import gzip
import io
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from drrx.config import make_config_yaml
from drrx.io.nifti import ras_from_ijk, write_volume
from drrx.volume import Volume

SECRET = "CANARY^PATIENT"


@dataclass(frozen=True)
class Seed:
    """Files by their names, and the one that is read (none: their folder)."""

    files: dict[str, bytes] = field(hash=False)
    entry: str = ""


def one(name: str, data: bytes) -> Seed:
    return Seed({name: data}, name)


@functools.cache
def make_ct(shape: tuple[int, int, int] = (6, 12, 14)) -> Volume:
    """Return a small body with two lungs in air."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    values = np.where((x / 0.9) ** 2 + (y / 0.8) ** 2 < 1, 40.0, -1000.0)
    values[((np.abs(x) - 0.45) / 0.3) ** 2 + (y / 0.5) ** 2 + (z / 1.2) ** 2 < 1] = -850
    values = np.rint(values + 30 * x + 20 * y + 10 * z).astype(np.int16)
    return Volume.from_spacing(values, (3.0, 1.5, 1.25), (-15.0, -20.0, -400.0))


def collect(write, entry: str) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        files = {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    return Seed(files, entry)


# ---- volumes in one file


@functools.cache
def nifti() -> tuple[Seed, ...]:
    ct = make_ct()
    seeds = []
    for kind, header in ((nib.Nifti1Image, nib.Nifti1Header), (nib.Nifti2Image, nib.Nifti2Header)):
        image = kind(ct.values.T, ras_from_ijk(ct), header())
        image.set_qform(ras_from_ijk(ct), 1)
        image.header["descrip"] = SECRET.encode()
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET.encode()))
        seeds.append(one("ct.nii", image.to_bytes()))
        seeds.append(one("ct.nii.gz", gzip.compress(image.to_bytes())))
        scaled = kind(ct.values.T.astype(np.float64), ras_from_ijk(ct))
        seeds.append(one("ct.nii", scaled.to_bytes()))
    return tuple(seeds)


@functools.cache
def canonical() -> tuple[Seed, ...]:
    return tuple(collect(lambda f, n=name: write_volume(f / n, make_ct()), name) for name in ("ct.nii", "ct.nii.gz"))


def _write_itk(name: str, packed: bool, ct: Volume | None = None) -> Seed:
    ct = make_ct() if ct is None else ct
    image = sitk.GetImageFromArray(ct.values)
    image.SetSpacing(ct.spacing_mm[::-1])
    image.SetOrigin(ct.world_from_index[:3, 3].tolist())
    image.SetMetaData("Comment", SECRET)
    return collect(lambda folder: sitk.WriteImage(image, str(folder / name), packed), name)


@functools.cache
def metaimage() -> tuple[Seed, ...]:
    return tuple(_write_itk(name, packed) for name in ("ct.mha", "ct.mhd") for packed in (False, True))


@functools.cache
def nrrd() -> tuple[Seed, ...]:
    return tuple(_write_itk(name, packed) for name in ("ct.nrrd", "ct.nhdr") for packed in (False, True))


@functools.cache
def masks() -> tuple[Seed, ...]:
    """Return the lungs as two labels."""
    ct = make_ct()
    labels = np.where(ct.values < -700, 1 + (np.arange(ct.shape[2]) > ct.shape[2] // 2), 0)
    inner = labels.copy()
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = 0
    mask = ct.with_values(inner.astype(np.uint8))
    image = nib.Nifti1Image(mask.values.T, ras_from_ijk(mask))
    image.header["descrip"] = SECRET.encode()
    names = (("m.mha", True), ("m.nrrd", True), ("m.nhdr", False))
    itk = (_write_itk(name, packed, mask) for name, packed in names)
    return one("m.nii", image.to_bytes()), one("m.nii.gz", gzip.compress(image.to_bytes())), *itk


# ---- tables, settings, pictures, weights


@functools.cache
def marks() -> tuple[Seed, ...]:
    text = "seriesuid,coordX,coordY,coordZ,diameter_mm,note\n1.2,-10,-12,-395,5,x\n1.3,-8,-10,-390,4,y\n"
    alone = "\ufeffcoordX;coordY;coordZ;diameter_mm\r\n-10;-12;-395;5\r\n"
    return one("marks.csv", text.encode()), one("marks.csv", alone.encode())


@functools.cache
def cohort() -> tuple[Seed, ...]:
    tabs = "case\tpath\tcohort\tmask\tannotations\thas_nodules\tsex\n007\ta.nii.gz\tA\tm.nii.gz\tn.csv\tyes\tNA\n"
    tabs += "# note\n\nb\tphantom:12\tA\t\t\t\t\nc\tdicom/c\tB\t\t\tno\t1e5\n"
    commas = '\ufeffcase,path,cohort,series_uid,note\r\na,"/data/x y",A,1.2.3,"said ""no"""\r\nb,b.mha,B,,\r\n'
    return one("cohort.tsv", tabs.encode()), one("cohort.csv", commas.encode())


@functools.cache
def nodule_library() -> tuple[Seed, ...]:
    return (Seed({"index.csv": b"id,kind\nn1,solid\n", "n1.nii.gz": b"", "n1_seg.nii.gz": b""}),)


@functools.cache
def config() -> tuple[Seed, ...]:
    short = b"seed: 3\nviews: [pa, lateral]\nread_ct:\n  max_gap_mm: 5.0\nkeep: dataset\n"
    return one("config.yaml", make_config_yaml().encode()), one("config.yaml", short)


@functools.cache
def pictures() -> tuple[Seed, ...]:
    gray = np.arange(24 * 20, dtype=np.uint16).reshape(24, 20) * 100
    told = PngInfo()
    told.add_text("Patient", SECRET)
    seeds = []
    for name, pixels, options in (
        ("film.png", gray, {"pnginfo": told}), ("film.png", (gray >> 8).astype(np.uint8), {}),
        ("film.png", np.stack([(gray >> 8).astype(np.uint8)] * 3, -1), {}), ("film.tif", gray, {}),
        ("film.tif", gray, {"compression": "tiff_lzw", "description": SECRET}),
        ("film.tif", (gray >> 8).astype(np.uint8), {"compression": "packbits"}),
        ("film.jpg", (gray >> 8).astype(np.uint8), {"comment": SECRET}),
    ):  # fmt: skip
        stream = io.BytesIO()
        kind = {"png": "PNG", "tif": "TIFF", "jpg": "JPEG"}[name[-3:]]
        Image.fromarray(pixels).save(stream, format=kind, **options)
        seeds.append(one(name, stream.getvalue()))
    return tuple(seeds)


@functools.cache
def weights() -> tuple[Seed, ...]:
    import torch

    from drrx.diffusion.weights import write_weights

    tensors = {"a.weight": torch.linspace(-1, 1, 12).reshape(3, 4), "b": torch.zeros(2, dtype=torch.float16)}
    config = {"kind": "ddpm_hq", "network": {"blocks": [1, 2], "channels": 8}}
    return (collect(lambda folder: write_weights(folder / "w.safetensors", tensors, config), "w.safetensors"),)


def is_json(data: object) -> bool:
    """Return whether ``data`` can be written as JSON with finite numbers."""
    with contextlib.suppress(TypeError, ValueError):
        json.dumps(data, allow_nan=False)
        return True
    return False
