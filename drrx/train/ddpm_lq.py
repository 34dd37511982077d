"""Train DDPM-LQ: a diffusion model of DRRs, given their structure maps. It sees DRRs only, never a film."""

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
from drrx.nets.unet import HaarUnet
from drrx.pairs.domain import DrrRow
from drrx.seeds import make_rng, make_seed
from drrx.train.checkpoint import has_checkpoint
from drrx.train.ddpm_lq_domain import Domain, draw_batch, make_structure
from drrx.train.ddpm_lq_settings import TrainDdpmLqSettings
from drrx.train.export import to_half
from drrx.train.log import start_log
from drrx.train.pace import fraction_done, rate_at
from drrx.train.state import TrainState, read_checkpoint, write_checkpoint

LOG = logging.getLogger(__name__)
KIND = "ddpm_lq"
LOG_FILE, LOG_HEADER = "losses.csv", "step,minutes,loss,loss_at_pure_noise"
REPORT_STEPS = 50
BANK_SIZE = 64


def train_ddpm_lq(
    domain: Domain, run_folder: Path, settings: TrainDdpmLqSettings, *, device: str = "cpu",
    progress: Callable[[str], None] = LOG.info, on_save: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:  # fmt: skip
    """Train until time or steps are used up; go on from the checkpoint in ``run_folder`` where there is one.

    Views, crops, time steps and noise of step n come from the seed and n alone, so that a resumed run is the
    uninterrupted one (exactly so with ``steps``; with ``minutes`` the learning rate follows the clock). The log goes to
    ``run_folder`` too; ``on_save`` is called after each checkpoint.
    """
    torch.manual_seed(make_seed(settings.seed, "network") % 2**63)
    model = HaarUnet(settings.widths, settings.blocks, settings.embedding, settings.refine)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
    )
    average = {name: value.detach().float().clone() for name, value in model.state_dict().items()}
    state = TrainState(model, optimizer, average, ())
    if has_checkpoint(run_folder):
        read_checkpoint(run_folder, state)
    else:
        measure_scale(state, domain, settings)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    progress(f"{len(domain.images)} DRRs, {count:.2f} M parameters, step {state.step}")
    state.stages.append({"first_step": state.step, "crop_px": settings.crop_px, "batch_size": settings.batch_size})
    start_log(run_folder / LOG_FILE, LOG_HEADER, state.step)
    _loop(state, domain, run_folder, settings, device, progress, on_save)
    return state


def _loop(
    state: TrainState, domain: Domain, run_folder: Path, settings: TrainDdpmLqSettings, device: str,
    progress: Callable[[str], None], on_save: Callable[[TrainState], None],
) -> None:  # fmt: skip
    alphas, scale = make_alphas(settings.snr_shift).float().to(device), ResidualScale(state.deviations)
    begun = time.monotonic() - state.elapsed_s
    saved, losses = state.elapsed_s, torch.zeros(2)
    while (done := fraction_done(state.step, state.elapsed_s, settings)) < 1.0:
        for group in state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_at(done, settings)
        images, maps = draw_batch(domain, state.step, settings)
        losses += train_step(state, images.to(device), maps.to(device), alphas, scale, settings)
        state.step += 1
        state.update_average(settings.ema_decay)
        state.elapsed_s = time.monotonic() - begun
        if state.step % REPORT_STEPS == 0:
            _report(state, losses / REPORT_STEPS, run_folder / LOG_FILE, progress)
            losses.zero_()
        if state.elapsed_s - saved > 60 * settings.save_minutes:
            write_checkpoint(run_folder, state, dataclasses.asdict(settings))
            saved = state.elapsed_s
            on_save(state)
    write_checkpoint(run_folder, state, dataclasses.asdict(settings))
    on_save(state)


def _report(state: TrainState, losses: Tensor, log: Path, progress: Callable[[str], None]) -> None:
    mean, terminal = losses.tolist()
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{state.step},{state.elapsed_s / 60:.2f},{mean:.5f},{terminal:.5f}\n")
    progress(f"step {state.step}, {state.elapsed_s / 60:.1f} min, loss {mean:.4f}, at pure noise {terminal:.4f}")


def train_step(
    state: TrainState, images: Tensor, maps: Tensor, alphas: Tensor, scale: ResidualScale,
    settings: TrainDdpmLqSettings,
) -> Tensor:  # fmt: skip
    """Do one step on images and maps ``[batch, 1, H, W]``; return the loss of all and of those at pure noise."""
    device = images.device
    generator = torch.Generator().manual_seed(make_seed(settings.seed, "noise", str(state.step)) % 2**63)
    t = torch.randint(0, NUM_STEPS, (len(images),), generator=generator)
    forced = max(1, round(settings.terminal_share * len(images))) if settings.terminal_share else 0
    t[:forced] = NUM_STEPS - 1
    noise = torch.randn(images.shape, generator=generator).to(device)
    clean, alpha = scale.scale(images), alphas[t.to(device)][:, None, None, None]
    with torch.autocast(device.type, torch.bfloat16):
        v = state.model(to_noisy(clean, noise, alpha), maps, t.to(device))
    error = (v.float() - to_v(clean, noise, alpha)).square()
    loss = error.mean()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_norm)
    state.optimizer.step()
    return torch.tensor([loss.item(), error[:forced].mean().item() if forced else 0.0])


def measure_scale(state: TrainState, domain: Domain, settings: TrainDdpmLqSettings) -> None:
    """Set the scales of the Haar bands of what is drawn and of the maps from some hundred crops."""
    images, maps = draw_batch(domain, -1, dataclasses.replace(settings, batch_size=settings.scale_crops))
    state.deviations = measure_deviations(images)
    state.model.condition_scale.copy_(measure_magnitudes(maps))
    state.average["condition_scale"].copy_(state.model.condition_scale)


def export_weights(
    path: Path, state: TrainState, domain: Domain, settings: TrainDdpmLqSettings, facts: dict[str, Any]
) -> str:
    """Write the averaged weights for inference, matrices in float16, with all that a copy needs; return the hash."""
    rng = make_rng(make_seed(settings.seed, "bank"))
    bank = rng.choice(len(domain.windows), BANK_SIZE, p=domain.shares)
    config = {
        "kind": KIND, "network": state.model.config, "deviations": list(state.deviations),
        "snr_shift": settings.snr_shift, "steps": settings.sample_steps, "alpha": settings.alpha,
        "structure": dataclasses.asdict(make_structure(settings)), "tone_curve": list(domain.curve.values),
        "windows": [list(domain.windows[index]) for index in bank], "training": facts,
    }  # fmt: skip
    return write_weights(path, to_half(state.average), config)


def describe_run(rows: Sequence[DrrRow], state: TrainState, settings: TrainDdpmLqSettings) -> dict[str, Any]:
    """Return what the model card needs: settings, stages, minutes, cases and their shares of the draws."""
    shares: dict[str, float] = {}
    for row in rows:
        shares[row.case] = shares.get(row.case, 0.0) + row.weight
    return {
        "settings": dataclasses.asdict(settings), "steps": state.step, "stages": state.stages, "drrs": len(rows),
        "minutes": round(state.elapsed_s / 60, 1), "cases": {case: round(share, 4) for case, share in shares.items()},
    }  # fmt: skip
