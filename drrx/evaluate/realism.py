"""Can a small network tell outputs from real films? Classifier two-sample test on patches of the lung field.

After Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (ICLR 2017): a network learns to tell two sets
apart and is judged on patients and CTs it never saw. An AUC of 0.5 means it cannot. It is trained from scratch: no
weights are needed.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional

from drrx.errors import DrrxError
from drrx.evaluate.lung_field import Image, Mask, find_lung_field
from drrx.seeds import make_rng

PATCH_PX = 64
PATCHES_PER_IMAGE = 48
STEPS, BATCH, RATE = 500, 64, 2e-3
LOOKS = ("shown", "texture")
FEW_GROUPS = 5


@dataclass(frozen=True, eq=False)
class Subject:
    """One image for the test.

    Attributes
    ----------
    group
        Patient or CT: groups are never split between training and judging.
    held_out
        Judged on, never trained on.
    patches
        float32 ``[patch, 64, 64]`` windowed values.
    """

    group: str
    held_out: bool
    patches: NDArray[np.float32]


def cut_subject(
    image: Image, group: str, held_out: bool, mask: Mask | None = None, *,
    seed: int = 0, side: int = PATCH_PX, limit: int = PATCHES_PER_IMAGE,
) -> Subject:  # fmt: skip
    """Cut at most ``limit`` patches at random places, their middle third in the lung field (found if not given).

    ``image``: float32 ``[row, column]`` on the 0.42 mm grid, windowed from percentile 0.5 to 99.5, both kinds alike.
    """
    mask = find_lung_field(image) if mask is None else mask
    half = side // 2
    inner = np.zeros_like(mask)
    inner[half : image.shape[0] - half, half : image.shape[1] - half] = True
    rows, columns = np.nonzero(mask & inner)
    if not len(rows):
        raise DrrxError(
            where=f"patches of {group}", found=f"no place for {side} px in the lung field",
            needed="a frontal radiograph on the 0.42 mm grid", hint="Leave this image out, or give a lung mask.",
        )  # fmt: skip
    chosen = make_rng(seed).choice(len(rows), size=min(limit, len(rows)), replace=False)
    cut = [image[r - half : r + half, c - half : c + half] for r, c in zip(rows[chosen], columns[chosen], strict=True)]
    return Subject(group, held_out, np.stack(cut).astype(np.float32))


def code_as_film(image: Image, quality: int = 93) -> Image:
    """Return the image through an 8-bit JPEG, as the films were stored: else the coding alone would give films away."""
    with io.BytesIO() as stream:
        Pillow.fromarray(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
        return np.asarray(Pillow.open(stream), dtype=np.float32) / np.float32(255)


def measure_realism(
    films: Sequence[Subject], others: Sequence[Subject], *, seed: int = 0, steps: int = STEPS, resamples: int = 1000
) -> dict[str, Any]:
    """Return the AUC with which a network tells ``others`` from ``films`` on held-out groups; keys are JSON-ready.

    ``texture``: the network sees each patch minus its mean, over its deviation, so that neither tone nor contrast
    tells. ``shown``: it sees that and the patch as displayed. Each has ``auc`` over patches with a 95 % interval
    (bootstrap of whole groups; of images where a side has fewer than 5 groups: such an interval tells nothing of other
    patients), ``auc_images`` (mean answer of an image) and ``by_group``, the AUC of each held-out group of ``others``
    against all held-out films.

    Raises
    ------
    DrrxError
        A group is on both sides of the split, or a side is empty.
    """
    _check_split(films, "films")
    _check_split(others, "others")
    report: dict[str, Any] = {
        look: _measure(films, others, look, seed, steps, resamples) for look in LOOKS
    }  # fmt: skip
    counts = {f"{name}_{part}": len({s.group for s in side if s.held_out == held})
              for name, side in (("films", films), ("others", others))
              for part, held in (("train_groups", False), ("test_groups", True))}  # fmt: skip
    return report | counts


def _check_split(side: Sequence[Subject], name: str) -> None:
    train, test = ({s.group for s in side if s.held_out == held} for held in (False, True))
    if train & test or not train or not test:
        shared = ", ".join(sorted(train & test)) or f"{len(train)} groups to train, {len(test)} to judge"
        raise DrrxError(
            where=f"realism test, {name}", found=shared, needed="groups to train on and other groups to judge on",
            hint="Split by patient or CT, never by image.",
        )  # fmt: skip


def _measure(
    films: Sequence[Subject], others: Sequence[Subject], look: str, seed: int, steps: int, resamples: int
) -> dict[str, Any]:
    network = _train([s for s in films if not s.held_out], [s for s in others if not s.held_out], look, seed, steps)
    real, fake = ([(s.group, _answer(network, s, look)) for s in side if s.held_out] for side in (films, others))
    answers = [np.concatenate([values for _, values in side]) for side in (real, fake)]
    means = [np.array([values.mean() for _, values in side]) for side in (real, fake)]
    groups = sorted({group for group, _ in fake})
    by_group = {g: _auc(answers[0], np.concatenate([v for name, v in fake if name == g])) for g in groups}
    low, high = _interval(real, fake, seed, resamples)
    return {
        "auc": _auc(*answers), "low": low, "high": high, "auc_images": _auc(*means), "by_group": by_group
    }  # fmt: skip


class PatchNet(nn.Sequential):
    """Three strided 4 x 4 convolutions, the mean over the patch, one number; 24 k parameters.

    The first makes 16 channels at half the grid, so that it loses no pixel: noise is where sets differ.
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        widths = (len(LOOKS), 16, 24, 40)
        for i in range(3):
            layers += [nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1)]
            layers += [nn.GroupNorm(1, widths[i + 1]), nn.SiLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(widths[-1], 1))


def _train(real: Sequence[Subject], fake: Sequence[Subject], look: str, seed: int, steps: int) -> nn.Module:
    rng, generator, sides = make_rng(seed), torch.random.get_rng_state(), [_by_group(real), _by_group(fake)]
    torch.manual_seed(seed)
    network = PatchNet()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    target = torch.cat([torch.zeros(BATCH // 2), torch.ones(BATCH // 2)])
    for _ in range(steps):
        batch = np.concatenate([_draw(side, rng) for side in sides])
        if rng.random() < 0.5:
            batch = batch[..., ::-1].copy()
        loss = functional.binary_cross_entropy_with_logits(network(_prepare(batch, look))[:, 0], target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    torch.random.set_rng_state(generator)
    return network.eval()


def _by_group(side: Sequence[Subject]) -> list[list[Subject]]:
    groups: dict[str, list[Subject]] = {}
    for subject in side:
        groups.setdefault(subject.group, []).append(subject)
    return [groups[name] for name in sorted(groups)]


def _draw(groups: Sequence[Sequence[Subject]], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw half a batch: a group, one of its images, one of its patches, each evenly."""
    chosen = [groups[int(rng.integers(len(groups)))] for _ in range(BATCH // 2)]
    subjects = [group[int(rng.integers(len(group)))] for group in chosen]
    return np.stack([subject.patches[rng.integers(len(subject.patches))] for subject in subjects])


def _prepare(patches: NDArray[np.float32], look: str) -> Tensor:
    """Return ``[patch, 2, row, column]``: the displayed values (0 for ``texture``), and without tone and contrast."""
    values = torch.from_numpy(patches)[:, None]
    deviation, mean = torch.std_mean(values, dim=(-2, -1), keepdim=True)
    texture = (values - mean) / (deviation + 1e-3)
    return torch.cat([4 * values - 2 if look == "shown" else torch.zeros_like(values), texture], dim=1)


def _answer(network: nn.Module, subject: Subject, look: str) -> NDArray[np.float64]:
    with torch.inference_mode():
        return np.asarray(network(_prepare(subject.patches, look))[:, 0].double().numpy())


def _auc(real: NDArray[np.float64], fake: NDArray[np.float64]) -> float:
    """Return the share of pairs in which the fake's answer is the larger (Mann-Whitney; ties count half)."""
    ranks = rankdata(np.concatenate([real, fake]))[len(real) :]
    return round(float((ranks.sum() - len(fake) * (len(fake) + 1) / 2) / (len(real) * len(fake))), 4)


def _interval(
    real: Sequence[tuple[str, NDArray[np.float64]]],
    fake: Sequence[tuple[str, NDArray[np.float64]]],
    seed: int,
    times: int,
) -> tuple[float, float]:
    rng = make_rng(seed + 1)
    units = [_units(side) for side in (real, fake)]
    found = [
        _auc(*(np.concatenate([side[i] for i in rng.integers(len(side), size=len(side))]) for side in units))
        for _ in range(times)
    ]
    low, high = np.percentile(found, (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def _units(side: Sequence[tuple[str, NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    groups = sorted({group for group, _ in side})
    if len(groups) < FEW_GROUPS:
        return [values for _, values in side]
    return [np.concatenate([values for name, values in side if name == group]) for group in groups]
