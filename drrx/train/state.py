"""State of a training run of a diffusion model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drrx.nets.unet import HaarUnet
from drrx.train.checkpoint import Part, read_parts, write_parts


@dataclass
class TrainState:
    """Network, averaged weights, optimiser, and how far the run is; ``stages`` has one entry per start of the run."""

    model: HaarUnet
    optimizer: torch.optim.AdamW
    average: dict[str, Tensor]
    deviations: tuple[float, ...]
    step: int = 0
    elapsed_s: float = 0.0
    stages: list[dict[str, int]] = field(default_factory=list)

    def update_average(self, decay: float) -> None:
        """Blend the present weights into the averaged ones; early steps count more, so that the start is forgotten."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value.float(), 1 - decay)

    @property
    def parts(self) -> dict[str, Part]:
        """What a checkpoint holds beside the optimiser."""
        return {"model": self.model, "average": self.average}


def write_checkpoint(folder: Path, state: TrainState, settings: dict[str, Any]) -> None:
    """Write the checkpoint of a run; see ``write_parts``."""
    facts = {"step": state.step, "elapsed_s": state.elapsed_s, "deviations": list(state.deviations)}
    facts |= {"stages": state.stages, "settings": settings}
    write_parts(folder, state.parts, {"optimizer": state.optimizer}, facts)


def read_checkpoint(folder: Path, state: TrainState) -> None:
    """Fill the state of a new run from a checkpoint; see ``read_parts``."""
    facts = read_parts(folder, state.parts, {"optimizer": state.optimizer})
    state.step, state.elapsed_s, state.stages = facts["step"], facts["elapsed_s"], facts["stages"]
    state.deviations = tuple(facts["deviations"])
