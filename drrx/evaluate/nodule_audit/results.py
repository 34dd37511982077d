"""What the workflow wrote about inserted nodules; ``docs/pipeline.md`` lists the files of its results folder."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrx.annotate.shadow import Shadow, shadows_from_arrays
from drrx.errors import DrrxError
from drrx.geometry import View
from drrx.io.arrays import read_arrays
from drrx.io.files import read_json
from drrx.io.nifti import read_volume
from drrx.records.anatomy import Anatomy
from drrx.records.annotation import Annotation, ImageAnnotation
from drrx.records.nodule import Nodule
from drrx.records.patch import NodulePatch, patches_from_arrays
from drrx.records.variant import variant_role
from drrx.volume import Volume


@dataclass(frozen=True, eq=False)
class Shown:
    """A nodule in one view: its annotation and shadow, the view, and the folder of the image."""

    annotation: Annotation
    shadow: Shadow
    view: View
    folder: Path
    image: ImageAnnotation


@dataclass(frozen=True, eq=False)
class Inserted:
    """One inserted nodule of a case, and the views that show it (none before the stage ``annotate_cxr``)."""

    case: "Case"
    variant: str
    nodule: Nodule
    patch: NodulePatch
    shown: tuple[Shown, ...]

    @property
    def name(self) -> str:
        """Case, variant and nodule."""
        return f"{self.case.name}_{self.variant}_{self.nodule.nodule_id}"


@dataclass(frozen=True)
class Case:
    """The folder of one case."""

    folder: Path

    @property
    def name(self) -> str:
        """Id of the case."""
        return self.folder.name

    def read_ct(self) -> Volume:
        """Canonical CT without inserted nodules."""
        return read_volume(self.folder / "ct.nii.gz")

    def read_anatomy(self) -> Anatomy:
        """Label map of the CT."""
        return Anatomy(read_volume(self.folder / "anatomy.nii.gz"))

    @property
    def variants(self) -> tuple[str, ...]:
        """Variants with inserted nodules; none for a case that was refused."""
        path = self.folder / "variants.json"
        names = read_json(path)["variants"] if path.is_file() else []
        return tuple(name for name in names if variant_role(name) == "positive")

    @property
    def rejections(self) -> Counter[str]:
        """Reason -> how many places were rejected for it, all variants together."""
        total: Counter[str] = Counter()
        for variant in self.variants:
            total.update(self._read_record(variant).get("rejections", {}))
        return total

    @property
    def refusal(self) -> dict[str, str] | None:
        """``stage``, ``code`` and ``detail`` where the case was left out."""
        for path in sorted(self.folder.glob("stages/*.json")):
            outcome = read_json(path)
            if outcome["status"] in ("refused", "failed"):
                return {"stage": path.stem, "code": outcome["code"], "detail": outcome["detail"]}
        return None

    def read_inserted(self) -> Iterator[Inserted]:
        """Yield every inserted nodule; those that the CT had are left out."""
        for variant in self.variants:
            nodules = [Nodule.from_json(item) for item in self._read_record(variant)["nodules"]]
            patches = patches_from_arrays(read_arrays(self.folder / variant / "nodules.npz"))
            images = [self._read_image(path) for path in sorted(self.folder.glob(f"{variant}/*/annotation.json"))]
            for number, (nodule, patch) in enumerate(zip(nodules, patches, strict=True)):
                if nodule.origin != "real":
                    shown = [_find(image, view, shadows[number], folder, nodule.nodule_id)
                             for image, view, shadows, folder in images]  # fmt: skip
                    yield Inserted(self, variant, nodule, patch, tuple(s for s in shown if s is not None))

    def list_inserted(self) -> list[str]:
        """Return the names of all inserted nodules, in the order of ``read_inserted``."""
        return [
            f"{self.name}_{variant}_{item['nodule_id']}"
            for variant in self.variants
            for item in self._read_record(variant)["nodules"]
            if item["origin"] != "real"
        ]

    def _read_record(self, variant: str) -> dict[str, Any]:
        return dict(read_json(self.folder / variant / "nodules.json"))

    def _read_image(self, path: Path) -> tuple[ImageAnnotation, View, tuple[Shadow, ...], Path]:
        image = ImageAnnotation.from_json(read_json(path))
        view = View.from_json(read_json(self.folder / image.view / "projection.json")["view"])
        return image, view, shadows_from_arrays(read_arrays(path.parent / "paths.npz")), path.parent


def _find(image: ImageAnnotation, view: View, shadow: Shadow, folder: Path, nodule_id: str) -> Shown | None:
    found = next((item for item in image.nodules if item.nodule.nodule_id == nodule_id), None)
    return None if found is None else Shown(found, shadow, view, folder, image)


def list_cases(results: Path) -> tuple[Case, ...]:
    """Return the cases of a results folder, by name.

    Raises
    ------
    DrrxError
        The folder has none.
    """
    cases = tuple(Case(path) for path in sorted(results.glob("cases/*")) if path.is_dir())
    if not cases:
        raise DrrxError(
            where=str(results), found="no folder cases/<case>", needed="a results folder of the workflow",
            hint="Give the folder that `drrx run` wrote.",
        )  # fmt: skip
    return cases


def list_hosts(folders: Sequence[Path], required: bool) -> tuple[Case, ...]:
    """Return the folders with CT and label map as cases; one without is an error where ``required``, else left out."""
    hosts = []
    for folder in folders:
        lacks = next((name for name in ("ct.nii.gz", "anatomy.nii.gz") if not (folder / name).is_file()), None)
        if lacks is None:
            hosts.append(Case(folder))
        elif required:
            raise DrrxError(
                where=str(folder), found=f"no {lacks}", needed="ct.nii.gz and anatomy.nii.gz",
                hint="Give folders cases/<case> of a results folder.",
            )  # fmt: skip
    return tuple(hosts)
