"""Does restoration keep nodules? Twin test: the same film with and without one made nodule, one seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrx.pairs.crops import draw_blobs
from drrx.pairs.degrade import degrade, draw_degradation
from drrx.pairs.films import FilmRow, load_film, stack_film
from drrx.pairs.window import measure_window
from drrx.restorer.model import Restorer
from drrx.restorer.settings import RestoreCxrSettings
from drrx.restorer.twin import restore_twin
from drrx.seeds import make_rng, make_seed

PERCENTS = (5.0, 50.0, 95.0)
PATCH_PX = 304


def measure_nodules(
    rows: Sequence[FilmRow], restorer: Restorer, settings: RestoreCxrSettings, seed: int
) -> dict[str, list[float]]:
    """Return the 5th, 50th and 95th percentile over films of four numbers, each from one film's pair of restorations.

    ``gain_film`` and ``gain_input``: contrast of the restored nodule, as a least-squares multiple of its contrast in
    the clean film and in the windowed input. ``correlation``: of the nodule's change after and before restoration,
    inside its mask. ``leakage``: share of the change's energy outside the mask, widened by the input's blur.
    """
    found = [_measure(row, restorer, settings, make_seed(seed, "nodules", row.path.name)) for row in rows]
    names = ("gain_film", "gain_input", "correlation", "leakage")
    table: Any = np.percentile(np.array(found), PERCENTS, axis=0)
    return {name: [round(float(value), 4) for value in table[:, i]] for i, name in enumerate(names)}


def _measure(
    row: FilmRow, restorer: Restorer, settings: RestoreCxrSettings, seed: int
) -> tuple[float, float, float, float]:
    film, rng = load_film(row), make_rng(seed)
    blob, mask = _place(film.shape, rng)
    how = draw_degradation(rng, "physics")
    inputs = [degrade(stack_film(np.asarray(image)), how).numpy() for image in (film, film + blob)]
    window = measure_window(inputs[0])
    twin = restore_twin(inputs[0], restorer, settings, seed)
    outputs = twin.restored.image, twin.restore_variant(inputs[1])
    change_in = window.apply(inputs[1]) - window.apply(inputs[0])
    change_out = outputs[1] - outputs[0]
    wide = mask | (np.abs(change_in) > 0.1 * np.abs(change_in).max())
    return (
        _gain(change_out, blob, wide), _gain(change_out, change_in, wide),
        float(np.corrcoef(change_out[wide], change_in[wide])[0, 1]),
        1 - float((change_out[wide] ** 2).sum() / (change_out**2).sum()),
    )  # fmt: skip


def _gain(change: NDArray[np.float32], reference: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    return float((change[mask] * reference[mask]).sum() / (reference[mask] ** 2).sum())


def _place(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Put a patch with nodules where one lung lies on most frontal films: 45 % down, 27 % or 73 % across."""
    side = min(PATCH_PX, *shape)
    patch, inside = draw_blobs(side, rng)
    blob, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    middle = (0.45 * shape[0], float(rng.choice((0.27, 0.73))) * shape[1])
    top, left = (int(np.clip(m - side / 2, 0, extent - side)) for m, extent in zip(middle, shape, strict=True))
    blob[top : top + side, left : left + side] = patch.numpy()
    mask[top : top + side, left : left + side] = inside.numpy() > 0
    return blob, mask
