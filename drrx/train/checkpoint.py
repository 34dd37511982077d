"""Checkpoints of training runs: networks, averaged weights and optimisers, as safetensors and JSON, no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
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
    """Write everything needed to go on as if never stopped; ``facts`` are JSON values.

    They stand in the checkpoint's own header too, which is what is gone on with: a run that is killed between the two
    files has the tensors and the step of one moment.
    """
    tensors = {f"{name}.{key}": value for name, part in parts.items() for key, value in _values(part).items()}
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
    with write_whole(folder / CHECKPOINT) as temporary:
        kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(kept, temporary, {"facts": json.dumps(dict(facts), sort_keys=True)})
    write_json(folder / STATE, dict(facts))


def read_parts(
    folder: Path, parts: Mapping[str, Part], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Fill networks and optimisers from a checkpoint folder; return its facts.

    Raises
    ------
    DrrxError
        The checkpoint is of other networks, or no whole file.
    """
    tensors, facts = _read(folder)
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
    return facts


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path = folder / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as stream:
            said = (stream.metadata() or {}).get("facts")
        # Checkpoints of earlier versions have them in the second file only.
        return load_file(path), dict(json.loads(said) if said else read_json(folder / STATE))
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise DrrxError(
            where=str(path), found=str(error).splitlines()[0], needed="a whole checkpoint that drrx wrote",
            hint="Copy it again, or give another --run-folder to begin anew.",
        ) from error  # fmt: skip


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
