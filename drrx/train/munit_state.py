"""State of a training run of MUNIT-LQ."""

import copy
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import torch

from drrx.seeds import make_seed
from drrx.train.checkpoint import read_parts, write_parts
from drrx.train.munit_loss import Domain
from drrx.train.munit_settings import TrainMunitLqSettings


@dataclass
class MunitState:
    """Both domains' networks, averaged copies, optimisers, and how far the run is; losses per ``REPORT_STEPS``."""

    films: Domain
    drrs: Domain
    average_films: Domain
    average_drrs: Domain
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0
    losses: list[list[float]] = field(default_factory=list)

    @property
    def networks(self) -> dict[str, Domain]:
        """The networks by the names they have in a checkpoint."""
        return {"films": self.films, "drrs": self.drrs} | {
            "average_films": self.average_films, "average_drrs": self.average_drrs
        }  # fmt: skip

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers by the names they have in a checkpoint."""
        return {"optimizer": self.optimizer, "critic_optimizer": self.critic_optimizer}

    def update_average(self, decay: float) -> None:
        """Blend the present weights into the averaged ones; early steps count more, so that the start is forgotten."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in ((self.average_films, self.films), (self.average_drrs, self.drrs)):
                torch._foreach_lerp_(list(mean.parameters()), list(now.parameters()), 1 - decay)


def make_state(settings: TrainMunitLqSettings, device: str = "cpu") -> MunitState:
    """Return a new run's state; its weights come from the seed."""
    torch.manual_seed(make_seed(settings.seed, "munit") % 2**63)
    films = Domain(settings).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Equal at the start: a content code then means the same in both domains, and translation begins as a copy.
    drrs = copy.deepcopy(films)
    critics = [*films.critic.parameters(), *drrs.critic.parameters()]
    known = {id(parameter) for parameter in critics}
    others = [p for domain in (films, drrs) for p in domain.parameters() if id(p) not in known]
    rates = ((others, settings.learning_rate), (critics, settings.critic_rate))
    optimizers = [
        torch.optim.Adam(group, lr=rate, betas=(0.5, 0.999), weight_decay=settings.weight_decay)
        for group, rate in rates
    ]
    averages = [copy.deepcopy(domain).requires_grad_(False) for domain in (films, drrs)]
    return MunitState(films, drrs, *averages, *optimizers)


def write_state(run_folder: Path, state: MunitState, settings: TrainMunitLqSettings) -> None:
    """Write the checkpoint of a run; see ``write_parts``."""
    facts = {"step": state.step, "elapsed_s": state.elapsed_s, "losses": state.losses}
    write_parts(run_folder, state.networks, state.optimizers, facts | {"settings": dataclasses.asdict(settings)})


def read_state(run_folder: Path, state: MunitState) -> None:
    """Fill the state of a new run from a checkpoint; see ``read_parts``."""
    facts = read_parts(run_folder, state.networks, state.optimizers)
    state.step, state.elapsed_s, state.losses = facts["step"], facts["elapsed_s"], facts["losses"]
