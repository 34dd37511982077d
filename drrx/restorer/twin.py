"""A nodule-free twin and its variants: restored so that away from the nodules nobody can tell them apart."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from torch import Tensor

from drrx.errors import DrrxError
from drrx.pairs.window import measure_window
from drrx.restorer.model import Restorer
from drrx.restorer.restore import Image, Restored, check_image, find_changes, finish
from drrx.restorer.settings import RestoreCxrSettings

MATCH_SIGMA_PX, MAX_GAIN = 12.0, 4.0
"""Over how much of a nodule its strength is averaged, and how strong it may become."""


@dataclass(frozen=True, eq=False)
class Twin:
    """A restored twin and all that its variants need.

    Attributes
    ----------
    drr
        The twin before restoration, display values float32 ``[row, column]``.
    restored
        The twin after it, with its look.
    grain
        What the sampling added to the twin's mean. Variants take it over: so they differ from the twin by what the
        network's mean makes of the nodules, not by noise, and cost one network call each.
    seed
        Of the noise, the same for all variants.
    nodules
        The map that the network was told, 0..1, or none.
    """

    drr: Image
    restored: Restored
    grain: Tensor
    restorer: Restorer
    settings: RestoreCxrSettings
    seed: int
    nodules: Image | None

    def restore_variant(self, drr: Image) -> Image:
        """Return a variant's CXR, float32 ``[row, column]``, in the way that ``nodule_mode`` tells."""
        return self.restore_variants([drr])[0]

    def restore_variants(self, drrs: Sequence[Image]) -> list[Image]:
        """Return the CXRs of variants; ``batch_size`` of them go through the network in one call."""
        drrs = [self._check(drr) for drr in drrs]
        if self.settings.nodule_mode == "additive":
            return [self._add(drr) for drr in drrs]
        restored = self._restore(drrs)
        if self.settings.nodule_mode == "restored":
            return restored
        return [self._match(drr, cxr) for drr, cxr in zip(drrs, restored, strict=True)]

    def _restore(self, drrs: Sequence[Image]) -> list[Image]:
        look, settings = self.restored.look, dataclasses.replace(self.settings, mode="mean")
        seeds, windows = [self.seed] * len(drrs), [look.window] * len(drrs)
        changes = find_changes(drrs, self.restorer, settings, seeds, windows, self.nodules)
        return [
            finish(drr, change.mean + self.grain, look.window, settings, look).image
            for drr, change in zip(drrs, changes, strict=True)
        ]

    def _match(self, drr: Image, restored: Image) -> Image:
        """Add the nodule's own change of the DRR, as strong as the network makes it.

        The strength is the local least-squares factor between the network's change and the DRR's. So the nodule keeps
        its shape, and rings and far echoes of the network stay out.
        """
        before, after = drr - self.drr, restored - self.restored.image
        power, common = (ndimage.gaussian_filter(x, MATCH_SIGMA_PX) for x in (before**2, before * after))
        gain = np.clip(common / (power + 1e-12), 0.0, MAX_GAIN)
        return np.clip(self.restored.image + gain * before, 0.0, 1.0).astype(np.float32)

    def _add(self, drr: Image) -> Image:
        """Add the nodule's own change of the DRR, times what the restoration does to faint changes of that tone."""
        shown = self.restored.image + self.restored.look.gain(drr.shape) * (drr - self.drr)
        return np.clip(shown, 0.0, 1.0)

    def _check(self, drr: Image) -> Image:
        if np.shape(drr) != self.drr.shape:
            raise DrrxError(
                where="variant to restore", found=f"shape {np.shape(drr)}", needed=f"the twin's shape {self.drr.shape}",
                hint="Give the same view of the same case.",
            )  # fmt: skip
        return check_image(drr)


def restore_twin(
    drr: Image, restorer: Restorer, settings: RestoreCxrSettings, seed: int, nodules: Image | None = None
) -> Twin:
    """Restore a twin; its variants then take over its window, tone curve, low-band correction and grain.

    Parameters
    ----------
    drr
        Display values in 0..1, bone white, float32 ``[row, column]``.
    restorer, settings, seed
        As for ``restore_cxr``.
    nodules
        Where any variant has a nodule, 0..1, same shape. It is told to the network for the twin and for every variant
        alike (else the map itself would show in the pixels), if ``nodule_condition`` is set and the weights know of it.

    Raises
    ------
    DrrxError
        As ``restore_cxr``; or ``nodule_condition`` is set and the weights know of no nodules.
    """
    drr, window = check_image(drr), measure_window(drr)
    nodules = nodules if settings.nodule_condition else None
    if settings.nodule_condition and not restorer.network.guided:
        raise DrrxError(
            where="setting nodule_condition", found="weights of a network that takes no nodule map",
            needed="a guided network", hint="Set nodule_condition to false, or give other weights.",
        )  # fmt: skip
    (change,) = find_changes([drr], restorer, settings, [seed], [window], nodules)
    restored = finish(drr, change.total, window, settings)
    return Twin(drr, restored, change.grain, restorer, settings, seed, nodules)
