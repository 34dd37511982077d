"""Checkpoints of training runs: networks, averaged weights and optimisers, as safetensors and JSON, no pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from drrx.errors import DrrxError
from drrx.io.files import read_json, write_json, write_whole

CHECKPOINT, STATE = "checkpoint.safetensors", "state.json"
Part = nn.Module | dict[str, Tensor]
"""A network, or tensors by name."""


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a run can be gone on with."""
    return (folder / CHECKPOINT).is_file() and (folder / STATE).is_file()


def write_parts(
    folder: Path, parts: Mapping[str, Part], optimizers: Mapping[str, torch.optim.Optimizer], facts: Mapping[str, Any]
) -> None:
    """Write everything needed to go on as if never stopped; ``facts`` are JSON values."""
    tensors = {f"{name}.{key}": value for name, part in parts.items() for key, value in _values(part).items()}
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    with write_whole(folder / CHECKPOINT) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary)
    write_json(folder / STATE, dict(facts))


def read_parts(
    folder: Path, parts: Mapping[str, Part], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Fill networks and optimisers from a checkpoint folder; return its facts.

    Raises
    ------
    DrrxError
        The checkpoint is of other networks.
    """
    tensors = load_file(folder / CHECKPOINT)
    try:
        for name, part in parts.items():
            _fill(part, _take(tensors, name))
    except (KeyError, RuntimeError) as error:
        raise DrrxError(
            where=str(folder / CHECKPOINT), found=str(error).splitlines()[-1].strip(),
            needed="the networks of the settings given",
            hint="Go on with the settings of the first run (state.json lists them), or give another --run-folder.",
        ) from error  # fmt: skip
    for name, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _take(tensors, name).items():
            index, kind = key.split(".", 1)
            moments.setdefault(int(index), {})[kind] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    facts: dict[str, Any] = read_json(folder / STATE)
    return facts


def _values(part: Part) -> dict[str, Tensor]:
    return part.state_dict() if isinstance(part, nn.Module) else part


def _fill(part: Part, values: Mapping[str, Tensor]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(values)
        return
    for key, tensor in part.items():
        tensor.copy_(values[key])


def _take(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
