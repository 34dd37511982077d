"""What is compared: systems, that is weights in a mode, and ways that need no network."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.exposure import equalize_adapthist
from torch.nn import functional

from drrx.evaluate.settings import EvaluateRestorerSettings
from drrx.pairs.window import measure_window
from drrx.restorer.model import Restorer
from drrx.restorer.restore import restore_cxr
from drrx.restorer.settings import RestoreCxrSettings

Image = NDArray[np.float32]
DELIVERED, BICUBIC = "delivered", "bicubic"


@dataclass(frozen=True)
class System:
    """A restorer and its name in the tables, such as ``delivered``, ``mixed`` or ``bicubic``."""

    name: str
    restorer: Restorer


class Method(Protocol):
    """Makes an image to score out of a degraded film; ``key`` names all that the result depends on."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102
    def __call__(self, worse: Image, seed: int) -> Image: ...  # noqa: D102


@dataclass(frozen=True)
class Plain:
    """A method without a network, from ``PLAIN``."""

    name: str

    @property
    def key(self) -> str:
        """Return its name: nothing else matters."""
        return self.name

    def __call__(self, worse: Image, seed: int) -> Image:
        """Return the result; the seed is not used."""
        return PLAIN[self.name](worse)


@dataclass(frozen=True)
class Restoration:
    """A system in one mode."""

    system: System
    how: RestoreCxrSettings

    @property
    def name(self) -> str:
        """Return the system and the mode."""
        return f"{self.system.name} {self.how.mode}"

    @property
    def key(self) -> str:
        """Return weights and settings."""
        return f"{self.system.restorer.sha256} {sorted(dataclasses.asdict(self.how).items())}"

    def __call__(self, worse: Image, seed: int) -> Image:
        """Return the restored image."""
        return restore_cxr([worse], self.system.restorer, self.how, [seed])[0]


def open_window(worse: Image) -> Image:
    """Return the percentile stretch that the restorer begins with."""
    return np.clip(measure_window(worse).apply(worse), 0.0, 1.0)


def enlarge_half(worse: Image) -> Image:
    """Return the stretch taken at half size and enlarged by 2, bicubic: the input as the paper's network gets it."""
    image = torch.from_numpy(open_window(worse))[None, None]
    half = (worse.shape[0] // 2, worse.shape[1] // 2)
    small = functional.interpolate(image, half, mode="bicubic", antialias=True, align_corners=False)
    large = functional.interpolate(small, worse.shape, mode="bicubic", align_corners=False)
    return large[0, 0].clamp(0, 1).numpy()


def sharpen_classically(worse: Image) -> Image:
    """Return the stretch after an unsharp mask (sigma 2 px, amount 1) and CLAHE (tiles of 1/8, clip limit 0.01)."""
    image = open_window(worse)
    sharp = np.clip(image + (image - ndimage.gaussian_filter(image, 2.0)), 0.0, 1.0)
    return np.asarray(equalize_adapthist(sharp, clip_limit=0.01), dtype=np.float32)


PLAIN: dict[str, Callable[[Image], Image]] = {
    "input": lambda worse: worse,
    "window": open_window,
    "bicubic x2": enlarge_half,
    "unsharp+CLAHE": sharpen_classically,
}


def find_main(systems: Sequence[System]) -> System:
    """Return the system that all parts but the matrix look at: ``delivered``, else ``mixed``, else the last one."""
    named = {system.name: system for system in systems}
    return named.get(DELIVERED) or named.get("mixed") or systems[-1]


def make_methods(
    systems: Sequence[System], settings: EvaluateRestorerSettings, how: RestoreCxrSettings
) -> tuple[Method, ...]:
    """Return the plain methods, every system in the matrix's mode, and the main system in the other modes."""
    main = find_main(systems)
    others = [(main, mode) for mode in settings.modes if mode != settings.matrix_mode]
    chosen = [*((system, settings.matrix_mode) for system in systems), *others]
    restorations = [
        Restoration(system, dataclasses.replace(how, mode=mode, tone="full")) for system, mode in chosen
    ]  # fmt: skip
    return (*(Plain(name) for name in PLAIN), *restorations)
