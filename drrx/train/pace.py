"""How far a run is, and the learning rate there: the same for all systems."""

from typing import Protocol


class Pace(Protocol):
    """The part of a run's settings that its pace needs."""

    @property
    def minutes(self) -> float: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def warmup_fraction(self) -> float: ...  # noqa: D102
    @property
    def decay_fraction(self) -> float: ...  # noqa: D102


def fraction_done(step: int, elapsed_s: float, pace: Pace) -> float:
    """Return how much of the run is done, 0..1: by steps where their number is given, else by the clock."""
    return step / pace.steps if pace.steps else elapsed_s / (60 * pace.minutes)


def rate_at(fraction: float, pace: Pace) -> float:
    """Return the share of the peak learning rate at a fraction of the run: up, flat, down to almost 0."""
    up = fraction / pace.warmup_fraction if pace.warmup_fraction else 1.0
    down = (1 - fraction) / pace.decay_fraction if pace.decay_fraction else 1.0
    return max(min(up, down, 1.0), 1e-3)
