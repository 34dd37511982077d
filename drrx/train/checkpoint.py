"""Checkpoints of training runs with several networks and optimisers: safetensors and JSON, no pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from drrx.errors import DrrxError
from drrx.io.files import read_json, write_json, write_whole

CHECKPOINT, STATE = "checkpoint.safetensors", "state.json"


def write_parts(
    folder: Path, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer],
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write everything needed to go on as if never stopped; ``facts`` are JSON values."""
    tensors = {f"{part}.{name}": value for part, net in networks.items() for name, value in net.state_dict().items()}
    for part, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{part}.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    with write_whole(folder / CHECKPOINT) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary)
    write_json(folder / STATE, dict(facts))


def read_parts(
    folder: Path, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Fill networks and optimisers from a checkpoint folder; return its facts.

    Raises
    ------
    DrrxError
        There is no checkpoint, or it is of other networks.
    """
    if not (folder / CHECKPOINT).is_file():
        raise DrrxError(
            where=str(folder), found="no checkpoint", needed=f"{CHECKPOINT} and {STATE} of an earlier run",
            hint="Leave --resume out to start anew.",
        )  # fmt: skip
    tensors = load_file(folder / CHECKPOINT)
    try:
        for part, network in networks.items():
            network.load_state_dict(_take(tensors, part))
    except RuntimeError as error:
        raise DrrxError(
            where=str(folder / CHECKPOINT), found=str(error).splitlines()[-1].strip(),
            needed="the networks of the settings given",
            hint="Resume with the settings of the first run (state.json lists them).",
        ) from error  # fmt: skip
    for part, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _take(tensors, part).items():
            index, kind = name.split(".", 1)
            moments.setdefault(int(index), {})[kind] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    facts: dict[str, Any] = read_json(folder / STATE)
    return facts


def _take(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    start = f"{part}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
