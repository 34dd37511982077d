"""LQ copies by MUNIT-LQ: the content of a film in the style of a real DRR."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from drrx.diffusion.weights import read_weights
from drrx.errors import DrrxError
from drrx.nets.munit import Translator
from drrx.pairs.window import Window
from drrx.seeds import make_rng

KIND = "munit_lq"
DELIVERED = Path(__file__).parent / "weights" / "munit_lq.safetensors"


@dataclass(frozen=True, eq=False)
class MunitLq:
    """MUNIT-LQ ready for inference.

    ``bank`` holds, for each stored DRR, its style code and the window (low, high) that its display values were seen
    through, float32 ``[number, style_size + 2]``.
    """

    network: Translator
    bank: Tensor
    sha256: str
    device: torch.device
    name: str = "munit_lq"

    def degrade(self, film: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Return the LQ copy, display values 0..1; see ``Degrader.degrade``. The seed draws a DRR from the bank."""
        return self.translate(film, int(make_rng(seed).integers(len(self.bank))))

    def translate(self, film: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """Return a film in the style of one DRR of the bank.

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
        style, window = self.bank[index, :-2], Window(*self.bank[index, -2:].tolist())
        image = torch.from_numpy(np.ascontiguousarray(film, dtype=np.float32))[None, None].to(self.device)
        half = [(side + 1) // 2 for side in film.shape]
        with torch.inference_mode():
            small = functional.interpolate(image, size=half, mode="bicubic", antialias=True, align_corners=False)
            worse = (self.network(2 * small.clamp(0, 1) - 1, style[None].to(self.device)) + 1) / 2
            large = functional.interpolate(worse.clamp(0, 1), size=film.shape, mode="bicubic", align_corners=False)
        return np.clip(window.invert(large[0, 0].clamp(0, 1).cpu().numpy()), 0.0, 1.0)


def load_munit_lq(path: Path | None = None, device: str = "cpu") -> MunitLq:
    """Load weights of kind ``munit_lq``; without a path the delivered ones.

    Raises
    ------
    DrrxError
        The file is missing, damaged, changed or of another kind (see ``read_weights``), or of another network.
    """
    weights = read_weights(path or DELIVERED, KIND)
    tensors = {name: tensor.float() for name, tensor in weights.tensors.items()}
    try:
        network, bank = Translator(**weights.config["network"]), tensors.pop("bank")
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DrrxError(
            where=str(path or DELIVERED), found=f"another network ({str(error).splitlines()[0]})",
            needed="the layers of this version of drrx", hint="Train anew, or use the delivered weights.",
        ) from error  # fmt: skip
    network = network.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return MunitLq(network, bank, weights.sha256, torch.device(device))
