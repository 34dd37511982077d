"""DDPM-LQ: a diffusion model of DRRs writes a DRR-quality copy of a film from the film's structure map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.diffusion.conditional import ConditionalSampler
from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.weights import Weights, fill_network, read_weights, refuse_other_layers
from drrx.nets.unet import HaarUnet
from drrx.pairs.structure import StructureMap, ToneCurve
from drrx.seeds import make_rng, make_seed

KIND = "ddpm_lq"
DELIVERED = Path(__file__).parent / "weights" / "ddpm_lq.safetensors"


@dataclass(frozen=True)
class DdpmLq:
    """A trained DDPM-LQ; a ``Degrader``."""

    sampler: ConditionalSampler
    structure: StructureMap
    curve: ToneCurve
    windows: tuple[tuple[float, float], ...]
    steps: int
    alpha: float
    sha256: str
    name: str = KIND

    def degrade(self, film: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return the LQ copy of a film; see ``Degrader.degrade``.

        Drawn at half resolution, 0.84 mm, as a DRR holds nothing finer; shown in the display window of some DRR of the
        training set, drawn by the seed.
        """
        half = _resize(
            torch.from_numpy(np.asarray(film, dtype=np.float32))[None, None], [-(-n // 2) for n in film.shape]
        )
        copy = self.draw(half[0, 0].numpy(), seed)
        rng = make_rng(make_seed(seed, "window"))
        low, high = self.windows[int(rng.integers(len(self.windows)))]
        shown = low + (high - low) * _resize(torch.from_numpy(copy)[None, None], film.shape)
        return shown[0, 0].clamp(0, 1).numpy()

    def draw(self, half: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return the windowed copy, 0..1, of a windowed film at half resolution, float32 ``[row, column]``."""
        structure = self.structure.make(half)
        condition, noise_seed = torch.from_numpy(structure)[None, None], make_seed(seed, "noise")
        drawn = self.sampler.draw(condition, noise_seed, self.steps, self.alpha)
        return np.asarray((drawn[0, 0].numpy() + self.curve.apply(structure) + 1) / 2, dtype=np.float32)


def load_ddpm_lq(path: Path | None = None, device: str = "cpu") -> DdpmLq:
    """Load weights of kind ``ddpm_lq``; without a path the delivered ones.

    Raises
    ------
    DrrxError
        The file is missing, damaged, changed or of another kind (see ``read_weights``), or of another network.
    """
    weights = read_weights(path or DELIVERED, KIND)
    with refuse_other_layers(path or DELIVERED):
        return _build(weights, torch.device(device))


def _build(weights: Weights, device: torch.device) -> DdpmLq:
    config = weights.config
    network = fill_network(HaarUnet, config["network"], weights.tensors)
    network = network.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return DdpmLq(
        ConditionalSampler(network, ResidualScale(config["deviations"]), float(config["snr_shift"]), device),
        StructureMap(**config["structure"]), ToneCurve(tuple(config["tone_curve"])),
        tuple((float(low), float(high)) for low, high in config["windows"]), int(config["steps"]),
        float(config["alpha"]), weights.sha256,
    )  # fmt: skip


def _resize(values: Tensor, size: list[int] | tuple[int, ...]) -> Tensor:
    shrinks = size[0] < values.shape[-2]
    return functional.interpolate(values, size=list(size), mode="bicubic", antialias=shrinks, align_corners=False)
