"""A figure of what DDPM-LQ makes while it is trained."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drrx.diffusion.conditional import ConditionalSampler
from drrx.diffusion.residual import ResidualScale
from drrx.io.image import write_image
from drrx.pairs.films import FilmRow, load_film
from drrx.train.ddpm_lq_domain import HALF_MM, Domain, make_structure
from drrx.train.ddpm_lq_settings import TrainDdpmLqSettings
from drrx.train.state import TrainState

NUM_ROWS = 4


def load_shown(rows: Sequence[FilmRow], domain: Domain) -> list[NDArray[np.float32]]:
    """Return what the figure copies, at half resolution: a few films of the val split, or else a DRR."""
    films = [load_film(row, HALF_MM) for row in rows if row.split == "val"][:NUM_ROWS]
    return films or [domain.images[0].astype(np.float32)]


def write_samples(
    path: Path, shown: Sequence[NDArray[np.float32]], domain: Domain, state: TrainState, settings: TrainDdpmLqSettings
) -> None:
    """Write rows of film, structure map, LQ copy and some DRR, made with the averaged weights."""
    network = copy.deepcopy(state.model).cpu().eval()
    network.load_state_dict(state.average)
    scale, how = ResidualScale(state.deviations), make_structure(settings)
    sampler = ConditionalSampler(network, scale, settings.snr_shift, torch.device("cpu"))
    rows: list[list[NDArray[Any]]] = []
    for seed, image in enumerate(shown):
        structure = how.make(image)
        condition = torch.from_numpy(structure)[None, None]
        drawn = sampler.draw(condition, seed, settings.sample_steps, settings.alpha)[0, 0].numpy()
        other = domain.images[seed * len(domain.images) // len(shown)].astype(np.float32)
        rows.append([image, (structure + 1) / 2, (drawn + domain.curve.apply(structure) + 1) / 2, other])
    height, width = np.max([cell.shape for row in rows for cell in row], axis=0)
    lines = [[np.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]))) for x in row] for row in rows]
    write_image(path, np.block(lines), bits=8)
