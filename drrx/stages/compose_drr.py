"""Stage ``compose_drr``: twin and variants as displayed DRRs, and the path maps of every nodule."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drrx.annotate.shadow import Shadow, shadows_to_arrays
from drrx.errors import CaseRefused
from drrx.geometry import View
from drrx.io.arrays import read_arrays, write_arrays
from drrx.io.files import read_json, write_json
from drrx.io.image import write_image
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.projector.window import find_window
from drrx.radiograph.attenuation import make_bases
from drrx.radiograph.beam import Beam
from drrx.radiograph.film import Film
from drrx.radiograph.settings import ComposeDrrSettings
from drrx.records.patch import NodulePatch, patches_from_arrays
from drrx.records.variant import REMOVED, TWIN
from drrx.seeds import make_rng, make_seed
from drrx.settings import make_settings
from drrx.stages.batch import CaseJob, Stage
from drrx.volume import Volume

Bases = tuple[NDArray[np.float32], NDArray[np.float32]]
Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class AddedLengths:
    """What one nodule adds to the bases, in a window of the detector.

    Attributes
    ----------
    window
        Rows and columns of the view.
    path_mm
        float32 ``[row, column]``: path through the nodule, mm.
    water_mm, bone_mm
        float32, the same window: lengths that the nodule adds to the two bases, mm; negative where it takes away.
    """

    window: Window
    path_mm: NDArray[np.float32]
    water_mm: NDArray[np.float32]
    bone_mm: NDArray[np.float32]


def run(job: CaseJob) -> Sequence[Path]:
    """Write ``drr.png``, ``drr.json`` and ``paths.npz`` of every image."""
    settings = make_settings(ComposeDrrSettings, job.settings, "compose_drr")
    return [path for view in job.settings["views"] for path in _compose_view(job, view, settings)]


def _compose_view(job: CaseJob, name: str, settings: ComposeDrrSettings) -> list[Path]:
    view = View.from_json(read_json(job.folder.projection_record(name))["view"])
    maps = read_arrays(job.folder.projection(name))
    beam, bases = Beam.from_settings(settings), (maps["water_mm"], maps["bone_mm"])
    # One seed for all variants of a view: away from the nodule an image must equal its twin.
    seed = make_seed(job.seed, job.row.case, "compose_drr", name)
    film = Film.expose_twin(
        beam.attenuate(*bases), maps["lung_path_mm"], maps["mediastinum_path_mm"], view, settings, make_rng(seed)
    )
    record = {
        "noise_seed": seed, "physics": asdict(settings), "display": film.curve.to_json(), "view": view.to_json()
    }  # fmt: skip
    products: list[Path] = []
    for variant in job.folder.read_variants():
        image, facts, paths = (job.folder.image(variant, name, file) for file in ("drr.png", "drr.json", "paths.npz"))
        added = project_patches(_read_patches(job, variant), view, must_show=variant != REMOVED)
        # Real nodules are in the CT already: there the image is what is left without them.
        without = take_lengths(bases, added) if variant == REMOVED else bases
        shown = without if variant == REMOVED else add_lengths(bases, added)
        write_image(image, film.develop(beam.attenuate(*shown)))
        write_json(facts, record)
        shadows = [cast_shadow(lengths, without, beam, film.exposure.scatter) for lengths in added]
        write_arrays(paths, shadows_to_arrays(shadows), compress=True)
        products += [image, facts, paths]
    return products


def _read_patches(job: CaseJob, variant: str) -> tuple[NodulePatch, ...]:
    return () if variant == TWIN else patches_from_arrays(read_arrays(job.folder.patches(variant)))


def project_patches(patches: Sequence[NodulePatch], view: View, must_show: bool = True) -> list[AddedLengths]:
    """Project nodule patches alone, each on the part of the detector it covers.

    Raises
    ------
    CaseRefused
        ``NODULE_OUTSIDE``: no ray of the view meets a patch; without ``must_show`` it adds nothing in one pixel.
    """
    windows = [_find_window(patch, view, must_show) for patch in patches]
    jobs = []
    for patch, window in zip(patches, windows, strict=True):
        before, after = make_bases(patch.hu_before), make_bases(patch.hu_after)
        fields = (patch.occupancy, *(new - old for old, new in zip(before, after, strict=True)))
        part = view.window(*window)
        jobs += [(Integrand(Volume(values, patch.world_from_index)), part) for values in fields]
    maps = [channels[0] for channels in project(jobs)]
    return [AddedLengths(windows[i], *maps[3 * i : 3 * i + 3]) for i in range(len(patches))]


def _find_window(patch: NodulePatch, view: View, must_show: bool) -> Window:
    window = find_window(patch.grid, view)
    if window is None and not must_show:
        return slice(0, 1), slice(0, 1)
    if window is None:
        raise CaseRefused(
            "NODULE_OUTSIDE", where=f"view {view.name}", found="a nodule beside the detector",
            needed="a nodule that the view shows", hint="Make project_ct.detector_mm larger, or change the seed.",
        )  # fmt: skip
    return window


def add_lengths(bases: Bases, added: Sequence[AddedLengths]) -> Bases:
    """Return the bases of the CT with all its nodules; where a nodule adds nothing every bit stays as it is."""
    water_mm, bone_mm = (base.copy() for base in bases)
    for lengths in added:
        water_mm[lengths.window] += lengths.water_mm
        bone_mm[lengths.window] += lengths.bone_mm
    return water_mm, bone_mm


def take_lengths(bases: Bases, added: Sequence[AddedLengths]) -> Bases:
    """Return the bases of the CT without nodules that are in it; where these add nothing every bit stays as it is."""
    water_mm, bone_mm = (base.copy() for base in bases)
    for lengths in added:
        # Rounding must not leave less than nothing of a basis that a ray meets in the nodule only.
        water_mm[lengths.window] = np.maximum(water_mm[lengths.window] - lengths.water_mm, 0)
        bone_mm[lengths.window] = np.maximum(bone_mm[lengths.window] - lengths.bone_mm, 0)
    return water_mm, bone_mm


def cast_shadow(lengths: AddedLengths, bases: Bases, beam: Beam, scatter: NDArray[np.float32]) -> Shadow:
    """Return what one nodule alone adds to the line integral, and to -ln of primary and scatter together.

    A beam hardens on its way, so that depends on what else the rays meet: ``L(t + dt) - L(t)``, with the nodule-free
    ``bases`` for ``t``. Two nodules on one ray add a little less than their two shadows. ``scatter`` is that of the
    twin, ``[row, column]`` in units of the unattenuated primary beam.
    """
    # Differences of numbers near 4 want more digits than float32 has.
    water_mm, bone_mm = (base[lengths.window].astype(np.float64) for base in bases)
    without, scattered = beam.attenuate(water_mm, bone_mm), scatter[lengths.window].astype(np.float64)
    with_nodule = beam.attenuate(water_mm + lengths.water_mm, bone_mm + lengths.bone_mm)
    total = np.log((np.exp(-without) + scattered) / (np.exp(-with_nodule) + scattered))
    return Shadow(
        lengths.path_mm, (with_nodule - without).astype(np.float32), row=lengths.window[0].start,
        column=lengths.window[1].start, delta_log_signal=total.astype(np.float32),
    )  # fmt: skip


STAGE = Stage(
    "compose_drr", run, upstream=("sample_nodules", "project_ct"), reads=("*/projection.npz", "*/nodules.npz")
)
