"""A run's weights for inference, with its story."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drrx.diffusion.weights import read_weights, write_weights
from drrx.errors import DrrxError
from drrx.nets.unet import HaarUnet
from drrx.pairs.films import FilmRow
from drrx.pairs.store import PairRow
from drrx.train.ddpm_hq import crop_at
from drrx.train.settings import TrainDdpmHqSettings
from drrx.train.state import TrainState

KIND = "ddpm_hq"


def to_half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as they are delivered: float16, norms and other one-dimensional ones float32."""
    return {name: value.half() if value.ndim > 1 else value.float() for name, value in tensors.items()}


def export_weights(path: Path, state: TrainState, settings: TrainDdpmHqSettings, facts: dict[str, Any]) -> str:
    """Write the averaged weights for inference; return their hash."""
    config = {
        "kind": KIND, "network": state.model.config, "deviations": list(state.deviations),
        "snr_shift": settings.snr_shift, "training": facts,
    }  # fmt: skip
    return write_weights(path, to_half(state.average), config)


def describe_run(
    system: str, rows: Sequence[FilmRow], pairs: Sequence[PairRow], state: TrainState, settings: TrainDdpmHqSettings,
    first: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Return what the model card needs: settings, starts, crops seen, minutes, splits by patient, licences, sources."""
    splits = {name: sorted({row.patient for row in rows if row.split == name}) for name in ("train", "val", "test")}
    crops = sum(crop_at(step / max(state.step, 1), settings)[1] for step in range(state.step))
    return {
        "system": system, "settings": dataclasses.asdict(settings), "steps": state.step, "stages": state.stages,
        "crops": crops, "minutes": round(state.elapsed_s / 60, 1), "patients": splits, "first_weights": first,
        "licences": sorted({row.licence for row in rows if row.split == "train"}),
        "pairs": sorted({(row.model, row.weights_sha256) for row in pairs}),
    }  # fmt: skip


def start_from(path: Path) -> tuple[Callable[[HaarUnet], None], str]:
    """Return what sets a network to the weights of an earlier run, and their hash.

    An earlier network that was not guided gets zeros where it had no input: it begins as what it was.

    Raises
    ------
    DrrxError
        No weights of this kind, or (when it is called) of another network.
    """
    weights = read_weights(path, KIND)

    def start(model: HaarUnet) -> None:
        values = model.state_dict()
        try:
            for name, value in weights.tensors.items():
                wide = torch.zeros_like(values[name])
                wide[tuple(slice(extent) for extent in value.shape)] = value.to(wide)
                values[name] = wide
            model.load_state_dict(values)
        except (KeyError, RuntimeError) as error:
            raise DrrxError(
                where=str(path), found=f"another network ({error})", needed="the network of the settings given",
                hint="Give --widths, --blocks, --embedding and --refine as in the first run.",
            ) from error  # fmt: skip

    return start, weights.sha256
