"""State of a training run, and its checkpoint: safetensors and JSON, no pickle."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from drrx.errors import DrrxError
from drrx.io.files import read_json, write_json, write_whole
from drrx.nets.unet import HaarUnet

CHECKPOINT, STATE = "checkpoint.safetensors", "state.json"


@dataclass
class TrainState:
    """Network, averaged weights, optimiser, and how far the run is; ``stages`` has one entry per start of the run."""

    model: HaarUnet
    optimizer: torch.optim.AdamW
    average: dict[str, Tensor]
    deviations: tuple[float, ...]
    step: int = 0
    elapsed_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    stages: list[dict[str, int]] = field(default_factory=list)

    def update_average(self, decay: float) -> None:
        """Blend the present weights into the averaged ones; early steps count more, so that the start is forgotten."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value.float(), 1 - decay)


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a run can be gone on with."""
    return (folder / CHECKPOINT).is_file() and (folder / STATE).is_file()


def write_checkpoint(folder: Path, state: TrainState, settings: dict[str, Any]) -> None:
    """Write everything needed to go on as if never stopped."""
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in state.average.items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    with write_whole(folder / CHECKPOINT) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, {"step": str(state.step)})
    write_json(folder / STATE, {
        "step": state.step, "elapsed_s": state.elapsed_s, "deviations": list(state.deviations),
        "losses": state.losses, "stages": state.stages, "settings": settings,
    })  # fmt: skip


def read_checkpoint(folder: Path, state: TrainState) -> TrainState:
    """Fill ``state`` from a checkpoint folder.

    Raises
    ------
    DrrxError
        There is none, or it is of another network.
    """
    if not (folder / CHECKPOINT).is_file():
        raise DrrxError(
            where=str(folder), found="no checkpoint", needed=f"{CHECKPOINT} and {STATE} of an earlier run",
            hint="Leave --resume out to start anew.",
        )  # fmt: skip
    tensors, facts = load_file(folder / CHECKPOINT), read_json(folder / STATE)
    try:
        state.model.load_state_dict(_part(tensors, "model."))
    except RuntimeError as error:
        raise DrrxError(
            where=str(folder / CHECKPOINT), found=str(error).splitlines()[-1].strip(),
            needed="the network of the settings given",
            hint="Resume with the settings of the first run (state.json lists them).",
        ) from error  # fmt: skip
    for name, value in _part(tensors, "average.").items():
        state.average[name].copy_(value)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimizer.").items():
        index, kind = name.split(".", 1)
        moments.setdefault(int(index), {})[kind] = value
    state.optimizer.load_state_dict(state.optimizer.state_dict() | {"state": moments})
    state.step, state.elapsed_s, state.losses = facts["step"], facts["elapsed_s"], facts["losses"]
    state.stages = facts["stages"]
    state.deviations = tuple(facts["deviations"])
    return state


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
