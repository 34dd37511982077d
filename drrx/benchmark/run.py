"""The whole benchmark: times, cost against pixels and voxels, closed forms, nodules."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from drrx.benchmark.accuracy import PHANTOMS, Accuracy, compare
from drrx.benchmark.machine import describe_machine
from drrx.benchmark.measure import Measurement, measure, measure_checked
from drrx.benchmark.nodules import DIAMETERS_MM, measure_nodule
from drrx.benchmark.peers import PEERS
from drrx.benchmark.peers.floors import FLOORS
from drrx.benchmark.peers.own import ALL_CHANNELS
from drrx.benchmark.peers.variant import VARIANTS
from drrx.benchmark.phantoms import make_volume
from drrx.benchmark.scene import Scene
from drrx.benchmark.settings import BenchmarkProjectorSettings
from drrx.errors import DrrxError
from drrx.phantom.settings import MakePhantomSettings
from drrx.phantom.thorax import make_phantom
from drrx.volume import Volume

ANCHOR = "RTK Joseph"  # the fastest accurate peer on a CPU; ratios are to it
OWN = "drrx"
STRIDES = ((2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1))  # 1/8, 1/4, 1/2 and all of the voxels
NOT_FOR_ACCURACY = (ALL_CHANNELS, "drrx, view turned by 3 deg", "drrx with upload, cuda", *VARIANTS, *FLOORS)

#: About 512 x 512 x 136 voxels of 0.86 x 0.86 x 2.5 mm, a common chest CT.
DEFAULT_CT = MakePhantomSettings(in_plane_mm=0.86, slice_mm=2.5, depth_mm=440.0, height_mm=340.0)
Progress = Callable[[str], None]


def run_benchmark(ct: Volume | None, settings: BenchmarkProjectorSettings, progress: Progress) -> dict[str, Any]:
    """Measure everything; return plain values for JSON.

    Parameters
    ----------
    ct
        int16 HU, axes along the world's; ``None`` draws the phantom ``settings.seed``.
    settings
        What to run.
    progress
        Is told each finished row.

    Raises
    ------
    DrrxError
        A peer of ``settings`` does not exist.
    """
    names = settings.peers or tuple(PEERS)
    unknown = sorted(set(names) - set(PEERS))
    if unknown:
        raise DrrxError(
            where="benchmark-projector --peers", found=", ".join(unknown), needed=f"some of: {'; '.join(PEERS)}",
            hint="Quote names that hold spaces.",
        )  # fmt: skip
    volume = make_phantom(settings.seed, DEFAULT_CT).ct if ct is None else ct
    times = _measure_times(names, volume, settings, progress)
    able = [name for name in names if any(row.peer == name and row.ms is not None for row in times)]
    closed = settings.accuracy_px > 0
    return {
        "machine": describe_machine(),
        "ct": {"shape": list(volume.shape), "spacing_mm": list(volume.spacing_mm), "is_phantom": ct is None},
        "settings": dataclasses.asdict(settings),
        "times": [vars(row) for row in times],
        "voxels": _measure_voxels(able, volume, settings, progress),
        "accuracy": _measure_accuracy(able, settings, progress) if closed else [],
        "nodules": [vars(measure_nodule(diameter)) for diameter in DIAMETERS_MM] if closed else [],
    }


def _measure_times(
    names: Sequence[str], volume: Volume, settings: BenchmarkProjectorSettings, progress: Progress
) -> list[Measurement]:
    rows: list[Measurement] = []
    for size_px in sorted(settings.sizes_px):
        # Who cannot run, or takes longer than all timed runs may, is not asked again at a larger size.
        limit_ms = 1000 * settings.budget_s
        out = {row.peer for row in rows if row.skipped or (row.ms or 0) > limit_ms}
        able = [name for name in names if name not in out]
        for row in measure_checked(able, Scene.make(volume, size_px), settings):
            progress(_say(row))
            rows.append(row)
    return rows


def _say(row: Measurement) -> str:
    found = f"{row.ms:.1f} ms" if row.ms is not None else f"left out: {row.skipped}"
    return f"{row.peer}, {row.size_px} px, {row.threads} thread(s): {found}"


def _measure_voxels(
    names: Sequence[str], volume: Volume, settings: BenchmarkProjectorSettings, progress: Progress
) -> list[dict[str, Any]]:
    """Time drrx and the anchor on thinned-out copies of the CT, in the same view."""
    view = Scene.make(volume, sorted(settings.sizes_px)[len(settings.sizes_px) // 2]).view
    rows = []
    for stride in STRIDES:
        few = np.ascontiguousarray(volume.values[tuple(slice(None, None, s) for s in stride)])
        thin = Volume(few, volume.world_from_index @ np.diag([*map(float, stride), 1.0]))
        for name in (OWN, ANCHOR):
            if name in names:
                row, _ = measure(name, Scene(thin, view), max(settings.threads), settings)
                progress(f"{row.num_voxels} voxels: {_say(row)}")
                rows.append(vars(row))
    return rows


def _measure_accuracy(
    names: Sequence[str], settings: BenchmarkProjectorSettings, progress: Progress
) -> list[dict[str, Any]]:
    rows = []
    for phantom, make_shapes in PHANTOMS.items():
        shapes = make_shapes()
        scene = Scene.make(make_volume(shapes), settings.accuracy_px)
        for name in names:
            if name not in NOT_FOR_ACCURACY:
                found, image = measure(name, scene, max(settings.threads), settings, runs=0)
                skipped = Accuracy(name, phantom, skipped=found.skipped)
                row = skipped if image is None else compare(name, phantom, shapes, image, scene.view)
                progress(f"{name}, {phantom}: " + (row.skipped or f"{100 * (row.relative_rmse or 0):.3f} %"))
                rows.append(vars(row))
    return rows
