"""The network, its scaling and its schedule, from a weights file."""

from dataclasses import dataclass
from pathlib import Path

import torch

from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.weights import read_weights, refuse_other_layers
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
        network = HaarUnet(**weights.config["network"])
        network.load_state_dict({name: tensor.float() for name, tensor in weights.tensors.items()})
    network = network.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scale = ResidualScale(weights.config["deviations"])
    return Restorer(network, scale, float(weights.config["snr_shift"]), weights.sha256, torch.device(device))
