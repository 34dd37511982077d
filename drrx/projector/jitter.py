"""Where the patient stands in a jittered view, drawn from a seed."""

from drrx.geometry import Pose
from drrx.projector.settings import ProjectCtSettings
from drrx.seeds import make_rng


def draw_pose(settings: ProjectCtSettings, seed: int) -> Pose:
    """Draw each part of a pose evenly within plus and minus its setting.

    The same seed keeps the same draws when a setting changes: only their scale does.
    """
    spans = (
        settings.jitter_rotation_deg, settings.jitter_tilt_deg, settings.jitter_roll_deg, settings.jitter_distance_mm,
        settings.jitter_shift_mm, settings.jitter_shift_mm,
    )  # fmt: skip
    draws = make_rng(seed).uniform(-1.0, 1.0, len(spans))
    return Pose(*(float(draw * span) for draw, span in zip(draws, spans, strict=True)))
