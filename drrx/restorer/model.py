"""The network, its scaling and its schedule, from a weights file."""

from dataclasses import dataclass
from pathlib import Path

import torch

from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.weights import fill_network, read_weights, refuse_other_layers
from drrx.nets.unet import HaarUnet

KIND = "ddpm_hq"
DELIVERED = Path(__file__).parent / "weights" / "ddpm_hq.safetensors"


@dataclass(frozen=True)
class Restorer:
    """A network ready for inference, with what its weights file says of it."""

    network: HaarUnet
    scale: ResidualScale
    snr_shift: float
    sha256: str
    device: torch.device


def load_restorer(path: Path | None = None, device: str = "cpu") -> Restorer:
    """Load weights of kind ``ddpm_hq``; without a path the delivered ones.

    Raises
    ------
    DrrxError
        The file is missing, damaged, changed or of another kind (see ``read_weights``), or of another network.
    """
    weights = read_weights(path or DELIVERED, KIND)
    with refuse_other_layers(path or DELIVERED):
        network = fill_network(HaarUnet, weights.config["network"], weights.tensors)
        scale = ResidualScale(weights.config["deviations"])
        snr_shift = float(weights.config["snr_shift"])
    network = network.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Restorer(network, scale, snr_shift, weights.sha256, torch.device(device))
