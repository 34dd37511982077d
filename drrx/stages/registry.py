"""Stages by name; a stage's libraries are imported only when it runs."""

import importlib

from drrx.stages.batch import Stage


def load_stage(name: str) -> Stage:
    """Return the stage ``name`` (``read_ct``, ...), whose module has the same name."""
    stage: Stage = importlib.import_module(f"drrx.stages.{name}").STAGE
    return stage
