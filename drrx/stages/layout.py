"""Where the files of a case lie below the results folder."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from drrx.io.files import read_json

#: Large files that no data set needs and that their stage makes again, bit for bit; relative to the case's folder.
INTERMEDIATES = (
    "ct.nii.gz", "lung_mask.nii.gz", "known_nodules.nii.gz", "anatomy.nii.gz", "*/nodules.npz", "*/projection.npz",
)  # fmt: skip


def is_intermediate(name: str, patterns: tuple[str, ...] = INTERMEDIATES) -> bool:
    """Return whether a product, named relative to its case's folder, is one of ``patterns``."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class CaseFolder:
    """Paths of one case; ``docs/pipeline.md`` lists what each file holds."""

    results: Path
    case: str

    @property
    def folder(self) -> Path:
        """The case's own folder."""
        return self.results / "cases" / self.case

    @property
    def case_record(self) -> Path:
        """How the case came in: accepted, corrected or refused."""
        return self.folder / "case.json"

    @property
    def ct(self) -> Path:
        """Canonical CT."""
        return self.folder / "ct.nii.gz"

    @property
    def lung_mask(self) -> Path:
        """The user's own lung mask on the grid of the CT, when the cohort table names one."""
        return self.folder / "lung_mask.nii.gz"

    @property
    def known_nodules(self) -> Path:
        """Real nodules of the CT on its grid, one label each, when the cohort table names annotations."""
        return self.folder / "known_nodules.nii.gz"

    @property
    def anatomy(self) -> Path:
        """Label map."""
        return self.folder / "anatomy.nii.gz"

    @property
    def anatomy_qc(self) -> Path:
        """Quality numbers of the label map."""
        return self.folder / "anatomy.json"

    @property
    def anatomy_figure(self) -> Path:
        """Quality figure of the label map."""
        return self.folder / "anatomy.png"

    @property
    def variants_file(self) -> Path:
        """Names of the case's variants."""
        return self.folder / "variants.json"

    def read_variants(self) -> tuple[str, ...]:
        """Return the names of the case's variants in their order, the twin first."""
        return tuple(read_json(self.variants_file)["variants"])

    def projection(self, view: str) -> Path:
        """Basis line integrals and anatomy path maps."""
        return self.folder / view / "projection.npz"

    def anatomy_paths(self, view: str) -> Path:
        """Path maps of the anatomy, rounded: all that annotation needs of the projection."""
        return self.folder / view / "anatomy_paths.npz"

    def projection_record(self, view: str) -> Path:
        """Geometry of the view and what was completed."""
        return self.folder / view / "projection.json"

    def nodules(self, variant: str) -> Path:
        """Nodule records."""
        return self.folder / variant / "nodules.json"

    def patches(self, variant: str) -> Path:
        """Nodule patches."""
        return self.folder / variant / "nodules.npz"

    def image(self, variant: str, view: str, name: str) -> Path:
        """Return the path of a file of one image: ``drr.png``, ``drr.json``, ``paths.npz``, ``cxr.png``, ..."""
        return self.folder / variant / view / name

    def stage_record(self, stage: str) -> Path:
        """What a stage did to this case."""
        return self.folder / "stages" / f"{stage}.json"
