"""Train DDPM-HQ: a conditional DDPM on the residual between a good radiograph and its degraded copy."""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drrx.diffusion.residual import ResidualScale, measure_deviations, measure_magnitudes
from drrx.diffusion.schedule import NUM_STEPS, make_alphas, to_noisy, to_v
from drrx.diffusion.weights import write_weights
from drrx.errors import DrrxError
from drrx.nets.unet import HaarUnet
from drrx.pairs.crops import Crop, draw_crop
from drrx.pairs.films import FilmRow, load_film, measure_noise, stack_film
from drrx.seeds import make_rng, make_seed
from drrx.train.settings import TrainDdpmHqSettings
from drrx.train.state import TrainState, read_checkpoint, write_checkpoint

LOG = logging.getLogger(__name__)
KIND = "ddpm_hq"
REPORT_STEPS = 50


def train_ddpm_hq(
    rows: Sequence[FilmRow], run_folder: Path, settings: TrainDdpmHqSettings, *, device: str = "cpu",
    resume: bool = False, progress: Callable[[str], None] = LOG.info,
) -> TrainState:  # fmt: skip
    """Train on the ``train`` rows until time or steps are used up; checkpoints go to ``run_folder``.

    Crops, time steps and noise of step n come from the seed and n alone, so that a resumed run is the uninterrupted one
    (exactly so with ``steps``; with ``minutes`` the learning rate follows the clock).
    """
    stacks = load_stacks(rows, settings, progress)
    torch.manual_seed(make_seed(settings.seed, "network") % 2**63)
    model = HaarUnet(settings.widths, settings.blocks, settings.embedding, settings.refine)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
    )
    average = {name: value.detach().float().clone() for name, value in model.state_dict().items()}
    state = TrainState(model, optimizer, average, ())
    if resume:
        state = read_checkpoint(run_folder, state)
    else:
        measure_scale(state, stacks, settings)
    progress(
        f"{len(stacks)} films, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, step {state.step}"
    )
    state.stages.append({"first_step": state.step, "crop_px": settings.crop_px, "batch_size": settings.batch_size})
    _loop(state, stacks, run_folder, settings, device, progress)
    return state


def _loop(
    state: TrainState, stacks: Sequence[Tensor], run_folder: Path, settings: TrainDdpmHqSettings, device: str,
    progress: Callable[[str], None],
) -> None:  # fmt: skip
    alphas, scale = make_alphas(settings.snr_shift).float().to(device), ResidualScale(state.deviations)
    begun = time.monotonic() - state.elapsed_s
    saved, losses = state.elapsed_s, torch.zeros(2)
    while (done := _fraction(state, settings)) < 1.0:
        for group in state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_at(done, settings)
        batch = draw_batch(stacks, state.step, settings)
        losses += train_step(state, batch, alphas, scale, settings, device)
        state.step += 1
        state.update_average(settings.ema_decay)
        state.elapsed_s = time.monotonic() - begun
        if state.elapsed_s - saved > 60 * settings.save_minutes:
            write_checkpoint(run_folder, state, dataclasses.asdict(settings))
            saved = state.elapsed_s
        if state.step % REPORT_STEPS == 0:
            mean, terminal = (losses / REPORT_STEPS).tolist()
            state.losses.append(round(mean, 5))
            losses.zero_()
            speed = state.step * settings.batch_size / max(state.elapsed_s, 1e-9)
            progress(
                f"step {state.step}, {100 * done:.1f} %, {state.elapsed_s / 60:.1f} min, loss {mean:.4f}, "
                f"at pure noise {terminal:.4f}, {speed:.1f} crops/s"
            )
    write_checkpoint(run_folder, state, dataclasses.asdict(settings))


def _fraction(state: TrainState, settings: TrainDdpmHqSettings) -> float:
    return state.step / settings.steps if settings.steps else state.elapsed_s / (60 * settings.minutes)


def rate_at(fraction: float, settings: TrainDdpmHqSettings) -> float:
    """Return the share of the peak learning rate at a fraction of the run: up, flat, down to 0."""
    up = fraction / settings.warmup_fraction if settings.warmup_fraction else 1.0
    down = (1 - fraction) / settings.decay_fraction if settings.decay_fraction else 1.0
    return max(min(up, down, 1.0), 1e-3)


def train_step(
    state: TrainState, batch: Sequence[Crop], alphas: Tensor, scale: ResidualScale, settings: TrainDdpmHqSettings,
    device: str,
) -> Tensor:  # fmt: skip
    """Do one step; return the loss over the batch and over its part at pure noise, ``[2]``."""
    clean, worse, mask = (torch.stack([getattr(crop, name) for crop in batch])[:, None].to(device)
                          for name in ("clean", "degraded", "mask"))  # fmt: skip
    generator = torch.Generator().manual_seed(make_seed(settings.seed, "noise", str(state.step)) % 2**63)
    t = torch.randint(0, NUM_STEPS, (len(batch),), generator=generator)
    forced = max(1, round(settings.terminal_share * len(batch))) if settings.terminal_share else 0
    t[:forced] = NUM_STEPS - 1
    noise = torch.randn(clean.shape, generator=generator).to(device)
    residual, condition = scale.scale(2 * (clean - worse)), 2 * worse - 1
    alpha = alphas[t.to(device)][:, None, None, None]
    weight = 1 + settings.nodule_weight * mask
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        v = state.model(to_noisy(residual, noise, alpha), condition, t.to(device))
    error = (v.float() - to_v(residual, noise, alpha)).square() * weight / weight.mean(dim=(1, 2, 3), keepdim=True)
    loss = error.mean()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_norm)
    state.optimizer.step()
    return torch.tensor([loss.item(), error[:forced].mean().item() if forced else 0.0])


def draw_batch(stacks: Sequence[Tensor], step: int, settings: TrainDdpmHqSettings) -> list[Crop]:
    """Draw the crops of one step from its number alone."""
    rng = make_rng(make_seed(settings.seed, "crops", str(step)))
    picked = rng.integers(len(stacks), size=settings.batch_size)
    return [draw_crop(stacks[index], rng, settings.crop_px, settings.nodule_share) for index in picked]


def measure_scale(state: TrainState, stacks: Sequence[Tensor], settings: TrainDdpmHqSettings) -> None:
    """Set the scales of the residual's and the condition's Haar bands from some hundred crops."""
    few = dataclasses.replace(settings, batch_size=settings.scale_crops)
    crops = draw_batch(stacks, -1, few)
    clean, worse = (torch.stack([getattr(crop, name) for crop in crops])[:, None] for name in ("clean", "degraded"))
    state.deviations = measure_deviations(2 * (clean - worse))
    state.model.condition_scale.copy_(measure_magnitudes(2 * worse - 1))
    state.average["condition_scale"].copy_(state.model.condition_scale)


def load_stacks(
    rows: Sequence[FilmRow], settings: TrainDdpmHqSettings, progress: Callable[[str], None]
) -> list[Tensor]:
    """Load the training films with least noise, each with its smooth bases."""
    films = [load_film(row) for row in rows if row.split == "train"]
    if not films:
        raise DrrxError(
            where="the table of radiographs", found=f"{len(rows)} usable rows, none for training",
            needed="at least one patient in the training split", hint="Give more radiographs.",
        )  # fmt: skip
    order = sorted(range(len(films)), key=lambda index: measure_noise(films[index]))
    kept = sorted(order[: max(1, round(settings.quiet_share * len(films)))])
    kept = kept[: settings.max_films] if settings.max_films else kept
    progress(f"keep {len(kept)} of {len(films)} training films")
    return [stack_film(films[index]) for index in kept]


def export_weights(path: Path, state: TrainState, settings: TrainDdpmHqSettings, facts: dict[str, Any]) -> str:
    """Write the averaged weights for inference: float16, norms and one-dimensional tensors float32; return the hash."""
    config = {
        "kind": KIND, "network": state.model.config, "deviations": list(state.deviations),
        "snr_shift": settings.snr_shift, "training": facts,
    }  # fmt: skip
    tensors = {name: value.half() if value.ndim > 1 else value.float() for name, value in state.average.items()}
    return write_weights(path, tensors, config)


def describe_run(rows: Sequence[FilmRow], state: TrainState, settings: TrainDdpmHqSettings) -> dict[str, Any]:
    """Return what the model card needs: settings, stages, crops seen, minutes, splits by patient, licences."""
    ends = [stage["first_step"] for stage in state.stages[1:]] + [state.step]
    crops = [(end - stage["first_step"]) * stage["batch_size"] for stage, end in zip(state.stages, ends, strict=True)]
    splits = {name: sorted({row.patient for row in rows if row.split == name}) for name in ("train", "val", "test")}
    return {
        "settings": dataclasses.asdict(settings), "steps": state.step, "stages": state.stages, "crops": sum(crops),
        "minutes": round(state.elapsed_s / 60, 1), "patients": splits,
        "licences": sorted({row.licence for row in rows if row.split == "train"}),
    }  # fmt: skip
