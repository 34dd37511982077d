"""LQ copies by MUNIT-LQ: the content of a film in the style of a real DRR."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.diffusion.weights import fill_network, read_weights, refuse_other_layers
from drrx.nets.munit import Translator
from drrx.pairs.window import Window
from drrx.seeds import make_rng

KIND = "munit_lq"
# Flat to half of the grid's highest frequency, zero at that frequency: there lies the grid of the decoder's cells.
SMOOTH = (-1 / 16, 4 / 16, 10 / 16, 4 / 16, -1 / 16)
SHOULDER = 0.1
DELIVERED = Path(__file__).parent / "weights" / "munit_lq.safetensors"


@dataclass(frozen=True, eq=False)
class MunitLq:
    """MUNIT-LQ ready for inference.

    ``bank`` holds, for each stored DRR, its style code, the window (low, high) that its display values were seen
    through, and its noise in display values, float32 ``[number, style_size + 3]``.
    """

    network: Translator
    bank: Tensor
    sha256: str
    device: torch.device
    name: str = "munit_lq"

    def degrade(self, film: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return the LQ copy, display values 0..1; see ``Degrader.degrade``. The seed draws a DRR from the bank.

        The network makes no noise of its own: white noise as strong as that DRR's is added. It hardly changes with the
        gray value in DRRs (measured: 0.002 in the lungs, 0.003 in the heart); clipped air stays black.
        """
        rng = make_rng(seed)
        index = int(rng.integers(len(self.bank)))
        values = self.translate(film, index)
        noise = rng.standard_normal(film.shape, dtype=np.float32) * np.float32(self.bank[index, -1])
        return np.clip(np.where(values > 0, values + noise, 0.0), 0.0, 1.0).astype(np.float32)

    def translate(self, film: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """Return a film in the style of one DRR of the bank, without noise.

        Parameters
        ----------
        film
            Windowed values in 0..1 on the 0.42 mm grid, bone white, float32 ``[row, column]``.
        index
            Row of the bank.

        Returns
        -------
        float32 ``[row, column]``
            Display values in 0..1. The work is done at half resolution: a DRR holds nothing finer.
        """
        code = self.bank[index].to(self.device)
        image = torch.from_numpy(np.ascontiguousarray(film, dtype=np.float32))[None, None].to(self.device)
        half = [(side + 1) // 2 for side in film.shape]
        with torch.inference_mode():
            small = functional.interpolate(image, size=half, mode="bicubic", antialias=True, align_corners=False)
            worse = (self.network(2 * small.clamp(0, 1) - 1, code[None, :-3]) + 1) / 2
            worse = bend(_smooth(worse))
            large = functional.interpolate(worse, size=film.shape, mode="bicubic", align_corners=False)
        window = Window(float(code[-3]), float(code[-2]))
        return np.clip(window.invert(large[0, 0].clamp(0, 1).cpu().numpy()), 0.0, 1.0)


def bend(values: Tensor) -> Tensor:
    """Return values bent below 1 by an exponential shoulder above 0.9, and clipped at 0.

    The decoder is linear and overshoots beyond the crops it was trained on; the display of a DRR is a sigmoid, which
    keeps structures in what is nearly white.
    """
    over = (values - (1 - SHOULDER)).clamp_min(0)
    return (values - over).clamp_min(0) + SHOULDER * (1 - torch.exp(-over / SHOULDER))


def _smooth(image: Tensor) -> Tensor:
    line = torch.tensor(SMOOTH, device=image.device)
    padded = functional.pad(image, (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, line[None, None, :, None]), line[None, None, None, :])


def load_munit_lq(path: Path | None = None, device: str = "cpu") -> MunitLq:
    """Load weights of kind ``munit_lq``; without a path the delivered ones.

    Raises
    ------
    DrrxError
        The file is missing, damaged, changed or of another kind (see ``read_weights``), or of another network.
    """
    weights = read_weights(path or DELIVERED, KIND)
    tensors = {name: tensor.float() for name, tensor in weights.tensors.items()}
    with refuse_other_layers(path or DELIVERED):
        bank = tensors.pop("bank")
        network = fill_network(Translator, weights.config["network"], tensors)
        if bank.shape[1:] != (weights.config["network"]["style_size"] + 3,):
            raise ValueError(f"bank of shape {tuple(bank.shape)}")
    network = network.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return MunitLq(network, bank, weights.sha256, torch.device(device))
