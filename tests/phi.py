"""A cohort of CTs full of names: good ones, odd ones, broken ones, and masks and annotations that are wrong."""

import itertools
import os
import struct
from pathlib import Path

import numpy as np

from drrx.io.nifti import write_volume
from tests.phi_files import (
    Canaries,
    broken_dicom,
    plant_archive,
    plant_metaimage,
    plant_nifti,
    plant_nrrd,
    write_dicom,
)
from tests.thorax import make_thorax

SETTINGS = {"min_num_slices": 5, "min_length_mm": 0, "max_gap_mm": 9}
HEADER = ("case", "path", "cohort", "series_uid", "mask", "annotations", "patient", "licence")


class Cohort:
    """Builds files below ``folder`` and the table that names them; cases that must come through are ``good``."""

    def __init__(self, folder: Path):
        self.canaries = Canaries()
        number = self.canaries.number
        self.canaries.uid = {
            name: number(f"DICOM {name}InstanceUID", "1.2.826.0.1.3680043.8.498.77")
            for name in ("Study", "Series", "SOP", "FrameOfReference")
        }
        self.canaries.date = "19110213"
        self.canaries.places["19110213"] = "DICOM dates"
        self.canaries.places["山田"] = "DICOM PatientName in kanji"
        self.folder = folder / self.canaries.word("folder name")
        self.folder.mkdir()
        self.rows, self.good, self.counter = [], [], itertools.count()
        thorax = make_thorax((4.0, 2.5, 2.5))
        self.ct, self.nodule, self.lungs = thorax.ct, thorax.nodule, thorax.right | thorax.left
        self.small = np.clip(self.ct.values[30:38, 30:46, 40:56], -1000, 400)
        self.affine = self.ct.world_from_index

    def name(self, suffix):
        """A file name with a canary in it."""
        return f"{self.canaries.word('CT file name')}-{next(self.counter)}{suffix}"

    def add(self, case, path, good=False, **cells):
        written = os.path.relpath(path, self.folder.parent) if isinstance(path, Path) else path
        self.rows.append({"case": case, "path": written, "cohort": "demo", **cells})
        if good:
            self.good.append(case)

    def build(self):
        self.add_good()
        self.add_dicom()
        self.add_files()
        self.add_side_files()
        return self

    def write(self):
        lines = ["\t".join(HEADER), *("\t".join(row.get(name, "") for name in HEADER) for row in self.rows)]
        self.table = self.folder.parent / "cohort.tsv"
        self.table.write_text("\n".join(lines) + "\n")

    def add_good(self):
        canaries, ct = self.canaries, self.ct
        mask = self.folder / f"{canaries.word('lung mask name')}.nii.gz"
        write_volume(mask, ct.with_values(self.lungs.astype(np.uint8)))
        marks = self.folder / f"{canaries.word('annotation name')}.csv"
        x, y, z = (float(v) for v in ct.to_world(np.argwhere(self.nodule).mean(axis=0)[None])[0])
        extra = f"{canaries.word('annotation column')}\n"
        row = f"{canaries.uid['Series']},{x},{y},{z},18,{canaries.word('annotation cell')}\n"
        marks.write_text(f"seriesuid,coordX,coordY,coordZ,diameter_mm,{extra}{row}")
        names = {"mask": os.path.relpath(mask, self.folder.parent), "patient": "one", "licence": "CC0"}
        names["annotations"] = os.path.relpath(marks, self.folder.parent)
        folder = write_dicom(self.folder / self.name(""), ct.values, self.affine, canaries)
        self.add("dcm", folder, good=True, **names)
        # The others are read, but not followed through the later stages, which see the same kind of record.
        self.add("nii", plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries))
        self.add("mhd", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries))
        self.add("nrrd", plant_nrrd(self.folder / self.name(".nrrd"), ct, canaries))
        self.add("zip", plant_archive(self.folder / self.name(".zip"), folder, canaries))

        def gap(index, data):
            data.SeriesDescription = canaries.word("DICOM SeriesDescription of a corrected case")

        folder = write_dicom(self.folder / self.name(""), ct.values, self.affine, canaries, gap)
        files = sorted(folder.iterdir())
        files[40].unlink()
        (folder / f"{files[3].stem}-copy.dcm").write_bytes(files[3].read_bytes())
        (folder / f"{canaries.word('junk file name')}.txt").write_text(canaries.word("junk file"))
        self.add("fixed", folder)

    def add_dicom(self):
        canaries = self.canaries
        for name, change in broken_dicom(canaries).items():
            folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries, change)
            self.add(f"dcm-{name}", folder)
        folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
        self.add("dcm-uid", folder, series_uid=canaries.number("series_uid of the table", "1.2.3.4.88"))
        for name, keep in (("cut", 0.6), ("empty", 0)):
            folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
            file = sorted(folder.iterdir())[4]
            file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
            self.add(f"dcm-{name}", folder)
        for syntax in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.3.4.5.6"):
            folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
            old = b"1.2.840.10008.1.2.1\0"
            for file in folder.iterdir():
                raw = file.read_bytes()
                at = raw.index(old, 132)
                padded = syntax.encode() + b"\0" * (len(syntax) % 2)
                head = bytearray(raw[: at - 2]) + struct.pack("<H", len(padded)) + padded + raw[at + len(old) :]
                head[140:144] = struct.pack("<I", struct.unpack_from("<I", raw, 140)[0] + len(padded) - len(old))
                file.write_bytes(head)
            self.add(f"dcm-syntax-{syntax.rpartition('.')[2]}", folder)
        outside = self.folder.parent / canaries.word("symlink target")
        outside.write_text("x")
        folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
        (folder / f"{canaries.word('symlink name')}.dcm").symlink_to(outside)
        self.add("dcm-link", folder)

    def add_files(self):
        canaries, ct = self.canaries, self.ct
        whole = plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries)
        path = plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries, qoffset_x=900, qform_code=1)
        self.add("nii-qform", path)
        self.add("nii-codes", plant_nifti(self.folder / self.name(".nii.gz"), ct, canaries, codes=(0, 0)))
        cut = self.folder / self.name(".nii.gz")
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        self.add("nii-cut", cut)
        text = self.folder / self.name(".nii")
        text.write_text(canaries.word("no NIfTI at all") * 100)
        self.add("nii-text", text)
        self.add("mhd-type", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             ElementType=canaries.word("MHD ElementType")))  # fmt: skip
        self.add("mhd-size", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             DimSize=canaries.word("MHD DimSize")))  # fmt: skip
        self.add("mhd-path", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             ElementDataFile=f"../{canaries.word('MHD path')}.raw"))  # fmt: skip
        self.add("mhd-gone", plant_metaimage(self.folder / self.name(".mhd"), ct, canaries,
                                             ElementDataFile=f"{canaries.word('MHD missing data')}.raw"))  # fmt: skip
        for key in ("type", "encoding", "sizes", "space", "space directions", "endian", "dimension"):
            change = {key: canaries.word(f"NRRD {key}")}
            path = plant_nrrd(self.folder / self.name(".nrrd"), ct, canaries, **change)
            self.add(f"nrrd-{key.replace(' ', '-')}", path)
        path = plant_nrrd(self.folder / self.name(".nhdr"), ct, canaries,
                          **{"data file": f"../{canaries.word('NRRD path')}.raw"})  # fmt: skip
        self.add("nrrd-path", path)
        folder = write_dicom(self.folder / self.name(""), self.small, self.affine, canaries)
        path = plant_archive(self.folder / self.name(".zip"), folder, canaries, f"../{canaries.word('zip path')}/")
        self.add("zip-unsafe", path)
        self.add("missing", self.folder / canaries.word("missing file"))
        other = self.folder / f"{canaries.word('name of an unknown format')}.{canaries.word('suffix')}"
        other.write_text("what is it")
        self.add("other", other)

    def add_side_files(self):
        """A good CT with a mask or annotations that are wrong."""
        canaries = self.canaries
        ct = self.folder / self.name(".nii.gz")
        write_volume(ct, self.ct)
        wrong = self.folder / f"{canaries.word('wrong mask name')}.nii.gz"
        plant_nifti(wrong, self.ct, canaries, qoffset_x=900, qform_code=1)
        name = os.path.relpath(wrong, self.folder.parent)
        self.add("mask", ct, mask=name)
        self.add("marks", ct, annotations=name)
        gone = os.path.relpath(self.folder / f"{canaries.word('missing mask')}.nii.gz", self.folder.parent)
        self.add("mask-gone", ct, mask=gone)
        self.add("marks-gone", ct, annotations=gone.replace(".nii.gz", ".csv"))
        tables = {
            "cell": f"seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,{canaries.word('annotation number')},1,1,1\n",
            "header": f"seriesuid,{canaries.word('annotation header')},coordY\n1,2,3\n",
            "uid": f"seriesuid,coordX,coordY,coordZ,diameter_mm\n{canaries.word('annotation series')},1,1,1,5\n",
            "bytes": "\udcff" + canaries.word("annotation bytes"),
        }
        for key, text in tables.items():
            path = self.folder / f"{canaries.word('wrong annotation name')}-{key}.csv"
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            self.add(f"marks-{key}", ct, annotations=os.path.relpath(path, self.folder.parent))
