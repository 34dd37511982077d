"""Train MUNIT-LQ: unpaired translation between good radiographs (films) and DRRs, after MUNIT (ECCV 2018)."""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drrx.diffusion.weights import write_weights
from drrx.io.files import write_text
from drrx.nets.munit import Translator
from drrx.pairs.domain import DrrRow
from drrx.pairs.films import FilmRow
from drrx.seeds import make_rng, make_seed
from drrx.train.checkpoint import has_checkpoint
from drrx.train.munit_crops import draw_crops, middle_crop
from drrx.train.munit_data import MunitData
from drrx.train.munit_figure import write_samples
from drrx.train.munit_loss import critic_loss, draw_styles, encode, fooling_loss, translate_losses
from drrx.train.munit_settings import TrainMunitLqSettings
from drrx.train.munit_state import MunitState, make_state, read_state, write_state
from drrx.train.pace import fraction_done, rate_at

LOG = logging.getLogger(__name__)
KIND = "munit_lq"
REPORT_STEPS = 50
LOSSES = ("image", "content", "style", "cycle", "structure", "fooling", "critic")


def train_munit_lq(
    data: MunitData, run_folder: Path, settings: TrainMunitLqSettings, *, device: str = "cpu",
    progress: Callable[[str], None] = LOG.info,
) -> MunitState:  # fmt: skip
    """Train until time or steps are used up; go on from the checkpoint in ``run_folder`` where there is one.

    Crops and styles of step n come from the seed and n alone, so that a resumed run is the uninterrupted one (exactly
    so with ``steps``; with ``minutes`` the learning rate follows the clock).
    """
    state = make_state(settings, device)
    if has_checkpoint(run_folder):
        read_state(run_folder, state)
    progress(f"{len(data.films.images)} films, {len(data.drrs.images)} DRRs, step {state.step}")
    begun = time.monotonic() - state.elapsed_s
    saved = drawn = state.elapsed_s
    sums = torch.zeros(len(LOSSES))
    while (done := fraction_done(state.step, state.elapsed_s, settings)) < 1.0:
        sums += train_step(state, data, done, settings, device)
        state.elapsed_s = time.monotonic() - begun
        if state.step % REPORT_STEPS == 0:
            _report(state, sums / REPORT_STEPS, done, run_folder, progress)
            sums.zero_()
        if state.elapsed_s - drawn > 60 * settings.figure_minutes:
            write_samples(run_folder / f"samples_{state.step:06d}.png", state.average_films, state.average_drrs,
                          data, settings)  # fmt: skip
            drawn = state.elapsed_s
        if state.elapsed_s - saved > 60 * settings.save_minutes:
            write_state(run_folder, state, settings)
            saved = state.elapsed_s
    write_state(run_folder, state, settings)
    return state


def _report(
    state: MunitState, means: Tensor, done: float, run_folder: Path, progress: Callable[[str], None]
) -> None:  # fmt: skip
    state.losses.append([state.step, round(state.elapsed_s, 1), *(round(value, 5) for value in means.tolist())])
    lines = [",".join(("step", "elapsed_s", *LOSSES)), *(",".join(map(str, row)) for row in state.losses)]
    write_text(run_folder / "losses.csv", "\n".join(lines) + "\n")
    shown = ", ".join(f"{name} {value:.3f}" for name, value in zip(LOSSES, means.tolist(), strict=True))
    progress(f"step {state.step}, {100 * done:.1f} %, {state.elapsed_s / 60:.1f} min: {shown}")


def train_step(
    state: MunitState, data: MunitData, done: float, settings: TrainMunitLqSettings, device: str = "cpu"
) -> Tensor:
    """Do one step of discriminators and of generators; return the losses in the order of ``LOSSES``."""
    for optimizer, peak in ((state.optimizer, settings.learning_rate), (state.critic_optimizer, settings.critic_rate)):
        for group in optimizer.param_groups:
            group["lr"] = peak * rate_at(done, settings)
    rng = make_rng(make_seed(settings.seed, "crops", str(state.step)))
    generator = torch.Generator().manual_seed(make_seed(settings.seed, "styles", str(state.step)) % 2**63)
    images = [draw_crops(domain, rng, settings).to(device) for domain in (data.films, data.drrs)]
    domains = (state.films, state.drrs)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        codes = [encode(domain, image) for domain, image in zip(domains, images, strict=True)]
        drawn = [draw_styles(code, settings.encoded_share, generator) for code in codes]
        to_drr, losses = translate_losses(*domains, codes[0], drawn[1], settings)
        to_film, others = translate_losses(*domains[::-1], codes[1], drawn[0], settings)
        critic = critic_loss(state.films.critic, images[0], to_film) + critic_loss(state.drrs.critic, images[1], to_drr)
    _descend(state.critic_optimizer, critic, settings)
    for domain in domains:
        domain.critic.requires_grad_(False)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        fooling = fooling_loss(state.films.critic, to_film) + fooling_loss(state.drrs.critic, to_drr)
    total = torch.stack([*losses.values(), *others.values()]).sum() + settings.critic_weight * fooling
    _descend(state.optimizer, total, settings)
    for domain in domains:
        domain.critic.requires_grad_(True)
    state.step += 1
    state.update_average(settings.ema_decay)
    return torch.tensor([*(losses[n].item() + others[n].item() for n in LOSSES[:5]), fooling.item(), critic.item()])


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, settings: TrainMunitLqSettings) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], settings.clip_norm)
    optimizer.step()


def make_bank(state: MunitState, data: MunitData, settings: TrainMunitLqSettings, device: str = "cpu") -> Tensor:
    """Return style code, window (low, high) and noise of the bank's DRRs, float32 ``[number, style_size + 3]``."""
    with torch.inference_mode():
        crops = [middle_crop(image, settings.crop_px).to(device) for image in data.bank]
        styles = torch.cat([state.average_drrs.style(crop) for crop in crops])
    rest = torch.tensor([[w.low, w.high, noise] for w, noise in zip(data.windows, data.noise, strict=True)])
    return torch.cat([styles.float().cpu(), rest], dim=1)


def export_weights(
    path: Path, state: MunitState, data: MunitData, settings: TrainMunitLqSettings, facts: dict[str, Any]
) -> str:
    """Write what inference needs, from the averaged weights, with the style bank; return the hash.

    Matrices are float16, one-dimensional tensors and the bank float32.
    """
    names = ("width", "blocks", "style_size", "hidden", "refine", "crop_px")
    network = {name: getattr(settings, name) for name in names}
    translator = Translator(**network)
    translator.content.load_state_dict(state.average_films.content.state_dict())
    translator.decoder.load_state_dict(state.average_drrs.decoder.state_dict())
    tensors = {
        name: value.half() if value.ndim > 1 else value.float() for name, value in translator.state_dict().items()
    }
    bank = {"bank": make_bank(state, data, settings, next(state.drrs.parameters()).device.type)}
    config = {"kind": KIND, "network": network, "bank_cases": list(data.cases), "training": facts}
    return write_weights(path, tensors | bank, config)


def describe_run(
    films: Sequence[FilmRow], drrs: Sequence[DrrRow], state: MunitState, settings: TrainMunitLqSettings
) -> dict[str, Any]:
    """Return what the model card needs: settings, steps, minutes, patients, cases, licences."""
    train = [row for row in films if row.split == "train"]
    return {
        "settings": dataclasses.asdict(settings), "steps": state.step, "minutes": round(state.elapsed_s / 60, 1),
        "patients": sorted({row.patient for row in train}), "cases": sorted({row.case for row in drrs}),
        "licences": sorted({row.licence for row in train}),
    }  # fmt: skip
