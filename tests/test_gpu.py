"""The device kernels give the CPU kernel's answer; the Triton kernel runs in Triton's interpreter, and compiles."""

import importlib.util
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from drrx.errors import DrrxError
from drrx.geometry import View
from drrx.projector import cpu, gpu
from drrx.projector.device_job import make_device_jobs
from drrx.projector.integrand import Integrand
from drrx.projector.project import project
from drrx.projector.torch_kernel import project_with_torch
from drrx.volume import Volume


@pytest.fixture(autouse=True)
def cpu_goes_ray_by_ray(monkeypatch):
    """Device kernels follow the rays of a tilted view; the CPU's detour is held to its own rays in test_projector."""
    monkeypatch.setattr(cpu, "find_untilted", lambda *_: None)


needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
AMPLE = 1 << 40  # bytes
TOLERANCE = 1e-5  # of the largest value of a channel


def turn(axis: int, degrees: float) -> np.ndarray:
    matrix, (first, second) = np.eye(3), [other for other in range(3) if other != axis]
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[first, first], matrix[first, second], matrix[second, first], matrix[second, second] = c, -s, s, c
    return matrix


def look_at(volume: Volume, turned=(0.0, 0.0, 0.0), shape=(7, 12), pitch_mm=2.9, source_mm=250.0, detector_mm=50.0):
    """A PA view through the middle of a volume, turned around x, then y, then z by so many degrees."""
    frame = turn(2, turned[2]) @ turn(1, turned[1]) @ turn(0, turned[0])
    row, column = frame @ [0, 0, -pitch_mm], frame @ [pitch_mm, 0, 0]
    corner = frame @ [0, -detector_mm, 0] - (shape[0] - 1) / 2 * row - (shape[1] - 1) / 2 * column
    center = volume.center_world_mm + np.array([0.7, 0.0, -0.4])
    return View(center + frame @ [0, source_mm, 0], center + corner, column, row, shape, "pa")


def make_volume(dtype=np.float32, shape=(5, 6, 7), spacing_mm=(3.7, 2.6, 2.5), seed=0) -> Volume:
    values = np.random.default_rng(seed).random(shape) * (2000 if dtype is np.int16 else 200)
    return Volume.from_spacing((values - 1100 * (dtype is np.int16)).astype(dtype), spacing_mm, (-12.0, 40.0, 7.0))


def make_ct() -> Integrand:
    ct = make_volume(np.int16)
    labels = np.random.default_rng(1).integers(0, 6, ct.shape, np.uint8)
    return Integrand(ct, ((-1000.0, 0.0), (0.0, np.inf)), labels, ((1, 2), (3,), (5, 1)))


def make_patches() -> list[tuple[Integrand, View]]:
    shapes = (3, 4, 5), (4, 3, 3), (1, 3, 2), (3, 2, 1), (5, 1, 4)
    patches = [Integrand(make_volume(shape=shape, seed=seed)) for seed, shape in enumerate(shapes)]
    return [(patch, look_at(patch.volume, shape=(3 + i, 9 - i))) for i, patch in enumerate(patches)]


def make_dtypes() -> list[tuple[Integrand, View]]:
    plain = make_volume()
    volumes = [
        plain.with_values((plain.values > 100).astype(dtype)) for dtype in (bool, np.uint8, np.float64, np.int32)
    ]
    return [(Integrand(volume), look_at(volume)) for volume in volumes]


def make_sheared() -> Integrand:
    """A grid whose axes are oblique to each other, so that no term of a ray's length vanishes."""
    affine = np.array([[0.4, -0.3, 2.0, 5.0], [0.5, 2.4, 0.3, -9.0], [3.0, 0.4, -0.6, 1.0], [0.0, 0.0, 0.0, 1.0]])
    return Integrand(Volume(make_volume().values, affine))


CT = make_ct()
NOISE = Integrand(make_volume())
SHEARED = make_sheared()
LARGE = Integrand(make_volume(shape=(9, 12, 14)))
#: Jobs, the bytes that a device is said to have, and the launches that the Triton kernel takes.
CASES = {
    "pa and ap": ([(CT, look_at(CT.volume)), (CT, look_at(CT.volume, (0, 0, 180)))], AMPLE, [2]),
    "lateral": ([(CT, look_at(CT.volume, (0, 0, sign * 90))) for sign in (1, -1)], AMPLE, [2]),
    "from above": ([(CT, look_at(CT.volume, (90, 0, 0)))], AMPLE, [1]),
    "oblique": ([(CT, look_at(CT.volume, turned)) for turned in ((7, 0, 14), (-9, 25, 75))], AMPLE, [2]),
    "sheared grid": ([(SHEARED, look_at(SHEARED.volume, (x, 0, 0))) for x in (0, 20)], AMPLE, [2]),
    "patches": (make_patches(), AMPLE, [5]),
    "dtypes": (make_dtypes(), AMPLE, [2, 2]),
    "masks only": ([(Integrand(CT.volume, (), CT.labels, CT.masks), look_at(CT.volume))], AMPLE, [1]),
    "source 1 km away": ([(NOISE, look_at(NOISE.volume, (0, 0, z), source_mm=1e6)) for z in (0, 14)], AMPLE, [1, 1]),
    "detector inside": ([(NOISE, look_at(NOISE.volume, (4, 0, z), detector_mm=2.1)) for z in (0, 90)], AMPLE, [2]),
    "larger than a tile": ([(NOISE, look_at(NOISE.volume, shape=(11, 131), pitch_mm=0.2))], AMPLE, [1]),
    "short of memory for pixels": ([(CT, look_at(CT.volume)), (CT, look_at(CT.volume, (9, 0, 90)))], 15_000, [1] * 4),
    "short of memory for voxels": (
        [(LARGE, look_at(LARGE.volume, (0, 0, z), (2, 3), 9.0)) for z in (0, 90)],
        5000,
        [1] * 8,
    ),
}


def make_ramp() -> Integrand:
    """Values that tell the position along a row, small where it is looked at, so that float32 resolves it."""
    values = np.broadcast_to(np.arange(1024, dtype=np.float32) - 1000, (2, 8, 1024))
    return Integrand(Volume.from_spacing(values, (1.0, 1.0, 0.25)))


def look_at_ramp(source_mm: float, roll_mm: float) -> View:
    """One row of pixels around voxel 1000, slanted by ``roll_mm`` per pixel, from a source far away on one side."""
    source = np.array([250.0 + source_mm / 5, source_mm, 0.5])
    return View(
        source, np.array([244.0, -30.0, 0.3]), np.array([0.1, 0, roll_mm]), np.array([0, 0, -1.0]), (1, 30), "pa"
    )


RAMP = make_ramp()
PROBES = {f"ramp {roll}": ([(RAMP, look_at_ramp(1e6, roll))], AMPLE, None) for roll in (0.0, 0.01)}


def run_python(code: str, *args: str, **env: str) -> None:
    """Run ``code`` in a process of its own: Triton decides when it is imported whether it interprets or compiles."""
    result = subprocess.run(
        [sys.executable, "-c", code, *args], env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]


INTERPRET = """
import pickle, sys
from pathlib import Path
from drrx.projector import gpu, triton_launch

launches, launch = [], triton_launch.launch
triton_launch.launch = lambda jobs: (launches.append(len(jobs)), launch(jobs))[1]
gpu.pick_kernel = lambda device: triton_launch.project_with_triton
answers = {}
for name, (jobs, budget, _) in pickle.loads(Path(sys.argv[1]).read_bytes()).items():
    gpu.find_budget = lambda device: budget
    launches.clear()
    answers[name] = gpu.project_on_gpu(jobs, "cpu"), list(launches)
Path(sys.argv[2]).write_bytes(pickle.dumps(answers))
"""


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """Images and launches of all cases, by the Triton kernel in Triton's interpreter."""
    folder = tmp_path_factory.mktemp("triton")
    (folder / "cases").write_bytes(pickle.dumps(CASES | PROBES))
    run_python(INTERPRET, str(folder / "cases"), str(folder / "answers"), TRITON_INTERPRET="1")
    return pickle.loads((folder / "answers").read_bytes())


def assert_equals_cpu(images, jobs):
    expected = project(jobs)
    assert [image.shape for image in images] == [image.shape for image in expected]
    for image, truth in zip(images, expected, strict=True):
        largest = truth.max(axis=(1, 2), keepdims=True)
        assert (largest > 0).all()
        assert image.dtype == np.float32
        np.testing.assert_allclose(image / largest, truth / largest, rtol=0, atol=TOLERANCE)


@needs_triton
@pytest.mark.parametrize("name", CASES)
def test_triton_kernel_matches_the_cpu_kernel(interpreted, name):
    assert_equals_cpu(interpreted[name][0], CASES[name][0])


@needs_triton
@pytest.mark.parametrize("name", CASES)
def test_jobs_of_a_kind_share_one_launch(interpreted, name):
    assert interpreted[name][1] == CASES[name][2]


@pytest.mark.parametrize("name", CASES)
def test_torch_kernel_matches_the_cpu_kernel(monkeypatch, name):
    jobs, budget, _ = CASES[name]
    monkeypatch.setattr(gpu, "find_budget", lambda device: budget)
    assert_equals_cpu(project(jobs, device="cpu:0"), jobs)


@needs_triton
@pytest.mark.parametrize("name", PROBES)
def test_positions_are_right_within_a_ten_thousandth_of_a_voxel(interpreted, name):
    ((integrand, view),) = PROBES[name][0]
    pixels = integrand.volume.to_index(view.pixel_world_mm(np.zeros(30), np.arange(30)))
    source = integrand.volume.to_index(view.source_world_mm)
    rays = pixels - source
    middle = source[2] + (3.5 - source[1]) / rays[:, 1] * rays[:, 2]  # a mean over 8 slabs lies half-way through them
    mm_per_slab = np.linalg.norm(rays * integrand.volume.spacing_mm, axis=1) / np.abs(rays[:, 1])
    image = interpreted[name][0][0][0, 0]
    np.testing.assert_allclose(image / mm_per_slab / 8 + 1000, middle, rtol=0, atol=1e-4)


COMPILE = """
import itertools, triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from drrx.projector.triton_kernel import project_tiles
from drrx.projector.triton_launch import RAYS_TILE, SLICES_TILE

plain = dict(out="*fp32", out_size="i64", tiles="*i32", integers="*i64", floats="*fp64")
kinds = (tl.int16, 2, 3, 80), (tl.int16, 2, 3, 90), (tl.float32, 1, 0, 90), (tl.uint8, 0, 1, 80)
for (dtype, num_bands, num_masks, capability), is_separable in itertools.product(kinds, (True, False)):
    rows, columns, num_warps = SLICES_TILE if is_separable else RAYS_TILE
    fixed = dict(dtype=dtype, num_bands=num_bands, num_masks=num_masks, is_separable=is_separable)
    fixed |= dict(tile_rows=rows, tile_columns=columns)
    source = ASTSource(project_tiles, plain | dict.fromkeys(fixed, "constexpr"), fixed)
    options = {"num_warps": num_warps, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert len(compiled.asm["cubin"]) > 1000, compiled.asm.keys()
"""


@needs_triton
def test_triton_kernel_compiles_to_machine_code_without_a_gpu(tmp_path):
    run_python(COMPILE, TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))  # a fresh cache: nothing is taken as done


def test_an_integrand_is_uploaded_once():
    views = [look_at(CT.volume, (0, 0, degrees)) for degrees in (0, 180, 90, -90)]
    pa, ap, right, left = make_device_jobs([(CT, view) for view in views], torch.device("cpu"))
    assert pa.values.data_ptr() == ap.values.data_ptr()
    assert pa.bits.data_ptr() == ap.bits.data_ptr()
    assert right.values.data_ptr() == left.values.data_ptr()


def test_work_is_halved_when_the_device_says_no(monkeypatch):
    sizes = []

    def refuse_more_than_two(jobs):
        sizes.append(len(jobs))
        if len(jobs) > 2 or jobs[0].shape[0] > 5:
            raise torch.cuda.OutOfMemoryError
        return project_with_torch(jobs)

    monkeypatch.setattr(gpu, "pick_kernel", lambda device: refuse_more_than_two)
    small, tall = ((CT, look_at(CT.volume, shape=(rows, 6))) for rows in (4, 8))
    jobs = [small, small, tall, small]
    assert_equals_cpu(project(jobs, device="cpu:0"), jobs)
    assert sizes == [4, 2, 2, 1, 1, 1, 1]  # all; the first two; the others: the tall one, in halves, and the last


def test_too_little_memory_for_anything_is_told(monkeypatch):
    monkeypatch.setattr(gpu, "find_budget", lambda device: 100)
    with pytest.raises(
        DrrxError, match=r"too little memory for one slab .* needed \d+ bytes\. Free memory of the device"
    ):
        project([(NOISE, look_at(NOISE.volume))], device="cpu:0")


@pytest.mark.parametrize("name", ["cuda:99", "gpu"])
def test_an_unknown_device_is_told(name):
    with pytest.raises(DrrxError, match=rf"device: found '{name}' and \d+ CUDA devices.*Set device: cpu"):
        project([(NOISE, look_at(NOISE.volume))], device=name)


@needs_triton
def test_cuda_gets_the_triton_kernel():
    assert gpu.pick_kernel(torch.device("cuda")).__name__ == "project_with_triton"


def test_torch_stands_in_where_triton_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "drrx.projector.triton_launch", None)  # importing it fails
    assert gpu.pick_kernel(torch.device("cuda")) is project_with_torch


def test_no_jobs_give_no_images():
    assert project([], device="cpu:0") == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_cuda_matches_the_cpu_kernel(monkeypatch, name):
    jobs, budget, _ = CASES[name]
    monkeypatch.setattr(gpu, "find_budget", lambda device: budget)
    assert_equals_cpu(project(jobs, device="cuda"), jobs)
