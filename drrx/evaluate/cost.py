"""What one image costs, and what it would cost with the paper's network and its number of steps."""

import dataclasses
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from drrx.evaluate import paper_network
from drrx.evaluate.methods import Restoration, System
from drrx.evaluate.paper_network import PaperUnet
from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.restorer.settings import RestoreCxrSettings
from drrx.seeds import make_rng


def measure_cost(system: System, settings: EvaluateRestorerSettings, how: RestoreCxrSettings) -> dict[str, Any]:
    """Return seconds and TFLOP per image of each mode, beside the paper's network timed in the same process.

    The paper's seconds are those of one call, the median of ``paper_calls``, times 2000; ``ratio`` is that over ours.
    """
    torch.set_num_threads(settings.threads)
    image = make_rng(settings.seed).random((settings.cost_px, settings.cost_px), dtype=np.float32)
    device = system.restorer.device
    gflop = count_call(system.restorer.network, settings.cost_px) / 1e9
    report: dict[str, Any] = {
        "pixels": settings.cost_px, "threads": settings.threads, "device": _name(device), "modes": {},
        "weights_sha256": system.restorer.sha256, "parameters": _count(system.restorer.network),
        "gflop_per_call": round(gflop, 2),
    }  # fmt: skip
    for mode in settings.modes:
        restore = partial(Restoration(system, dataclasses.replace(how, mode=mode)), image, 0)
        flop, seconds = count_flop(restore), _time(restore, settings.cost_runs, device)
        report["modes"][mode] = {
            "calls": round(flop / gflop / 1e9), "tflop": round(flop / 1e12, 4), "seconds": round(seconds, 4)
        }  # fmt: skip
    if settings.paper_calls:
        report["paper"] = _measure_paper(settings, device)
        for found in report["modes"].values():
            found["ratio"] = round(report["paper"]["seconds"] / found["seconds"])
    return report


def _measure_paper(settings: EvaluateRestorerSettings, device: torch.device) -> dict[str, Any]:
    size = -(-settings.cost_px // 128) * 128
    network = PaperUnet().eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    image, t = torch.zeros(1, 1, size, size, device=device), torch.zeros(1, device=device)
    with torch.inference_mode():
        seconds = _time(lambda: network(image, image, t), settings.paper_calls, device)
    gflop, calls = count_call(network, size) / 1e9, paper_network.NUM_STEPS
    return {
        "parameters": _count(network), "gflop_per_call": round(gflop, 1), "seconds_per_call": round(seconds, 4),
        "calls": calls, "tflop": round(calls * gflop / 1e3, 1), "seconds": round(calls * seconds, 1),
    }  # fmt: skip


def count_call(network: nn.Module, size_px: int) -> int:
    """Return the floating-point operations of one call on one square image."""
    device = next(network.parameters()).device
    image, t = torch.zeros(1, 1, size_px, size_px, device=device), torch.zeros(1, device=device)
    with torch.no_grad():
        return count_flop(lambda: network(image, image, t))


def count_flop(work: Callable[[], object]) -> int:
    """Return the floating-point operations (2 per multiply-add) of convolutions and matrix products in ``work``."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def _time(work: Callable[[], object], runs: int, device: torch.device) -> float:
    """Return the median seconds of ``runs`` after a warm-up."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
