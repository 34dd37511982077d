"""Train DDPM-HQ: a conditional DDPM on the residual between a good radiograph and its degraded copy.

Its twin, the bicubic baseline, is the same run on another mix of pairs.
"""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, reduce
from torch import Tensor

from drrx.diffusion.residual import ResidualScale, measure_deviations, measure_magnitudes
from drrx.diffusion.schedule import NUM_STEPS, make_alphas, to_noisy, to_v
from drrx.errors import DrrxError
from drrx.nets.unet import HaarUnet
from drrx.pairs.crops import Crop
from drrx.pairs.pool import PairPool
from drrx.seeds import make_rng, make_seed
from drrx.train.checkpoint import has_checkpoint
from drrx.train.log import TrainLog
from drrx.train.pace import fraction_done, rate_at
from drrx.train.settings import TrainDdpmHqSettings
from drrx.train.state import TrainState, read_checkpoint, write_checkpoint

LOG = logging.getLogger(__name__)
REPORT_STEPS = 50


def train_ddpm_hq(
    pool: PairPool, run_folder: Path, settings: TrainDdpmHqSettings, *, device: str = "cpu",
    validation: PairPool | None = None, start: Callable[[HaarUnet], None] | None = None,
    progress: Callable[[str], None] = LOG.info,
) -> TrainState:  # fmt: skip
    """Train until time or steps are used up; go on from the checkpoint in ``run_folder`` where there is one.

    Crops, time steps and noise of step n come from the seed and n alone, so that a resumed run is the uninterrupted one
    (exactly so with ``steps``; with ``minutes`` the learning rate follows the clock). Under ``accelerate launch`` the
    crops of a step are shared among the processes, so their number does not change what is learned.

    Parameters
    ----------
    pool
        What crops are drawn from.
    run_folder
        Checkpoint, log (``log.csv``) and figures go there.
    settings
        The numbers of the run.
    device
        ``cpu`` or ``cuda``; ``accelerate launch`` picks the GPU of each process.
    validation
        Films kept out of training, for the scores and figures.
    start
        Sets first weights other than random ones.

    Raises
    ------
    DrrxError
        The checkpoint is of another network, or the batch cannot be shared evenly.
    """
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")
    if settings.batch_size % accelerator.num_processes:
        raise DrrxError(
            where="train-ddpm-hq batch_size", found=f"{settings.batch_size} for {accelerator.num_processes} processes",
            needed="a multiple of the processes", hint="Change --batch-size.",
        )  # fmt: skip
    torch.manual_seed(make_seed(settings.seed, "network") % 2**63)
    model = HaarUnet(settings.widths, settings.blocks, settings.embedding, settings.refine, guided=True)
    model = model.to(device=accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
    )
    average = {name: value.detach().float().clone() for name, value in model.state_dict().items()}
    state = TrainState(model, optimizer, average, ())
    if has_checkpoint(run_folder):
        read_checkpoint(run_folder, state)
        progress(f"{run_folder}: go on from step {state.step}")
    else:
        if start:
            start(model)
        measure_scale(state, pool, settings)
    progress(f"{count_parameters(model) / 1e6:.2f} M parameters, {accelerator.num_processes} process(es)")
    state.stages.append({"first_step": state.step})
    Trainer(state, pool, validation, run_folder, settings, accelerator, progress).run()
    return state


class Trainer:
    """One start of a run: the loop over steps, and what is written on the way."""

    def __init__(
        self, state: TrainState, pool: PairPool, validation: PairPool | None, run_folder: Path,
        settings: TrainDdpmHqSettings, accelerator: Accelerator, progress: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.state, self.pool, self.run_folder = state, pool, run_folder
        self.settings, self.accelerator, self.progress = settings, accelerator, progress
        self.alphas = make_alphas(settings.snr_shift).float().to(accelerator.device)
        self.scale = ResidualScale(state.deviations)
        self.network, self.optimizer = accelerator.prepare(state.model, state.optimizer)
        self.log = TrainLog(run_folder, state.step, validation, settings) if accelerator.is_main_process else None

    def run(self) -> None:
        """Step until the end; a checkpoint every ``save_minutes`` and at the end."""
        state, settings = self.state, self.settings
        begun, saved, losses = time.monotonic() - state.elapsed_s, state.elapsed_s, torch.zeros(3)
        while (done := fraction_done(state.step, state.elapsed_s, settings)) < 1.0:
            for group in self.optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_at(done, settings)
            losses += self.step(self._draw(done))
            state.step += 1
            state.update_average(settings.ema_decay)
            state.elapsed_s = self._agree(time.monotonic() - begun)
            if state.step % REPORT_STEPS == 0:
                self._report(losses, done)
                losses = torch.zeros(3)
            if state.elapsed_s - saved > 60 * settings.save_minutes:
                self._save()
                saved = state.elapsed_s
        self._save()

    def _agree(self, seconds: float) -> float:
        """Return the first process's clock, so that all processes stop after the same step."""
        if self.accelerator.num_processes == 1:
            return seconds
        clock = torch.tensor([seconds], dtype=torch.float64, device=self.accelerator.device)
        return float(broadcast(clock)[0])

    def _draw(self, done: float) -> list[tuple[int, Crop]]:
        size, count = crop_at(done, self.settings)
        # Large crops may be fewer than the processes: then every process still takes one.
        count = max(count, self.accelerator.num_processes)
        mine = range(self.accelerator.process_index, count, self.accelerator.num_processes)
        return [(index, draw_numbered(self.pool, self.state.step, index, size, self.settings)) for index in mine]

    def step(self, batch: Sequence[tuple[int, Crop]]) -> Tensor:
        """Do one step; return the sums of loss, of loss at pure noise, and the number of crops at pure noise."""
        settings, device = self.settings, self.accelerator.device
        seeds = [make_seed(settings.seed, "noise", str(self.state.step), str(index)) for index, _ in batch]
        clean, worse, mask = (torch.stack([getattr(crop, name) for _, crop in batch])[:, None].to(device)
                              for name in ("clean", "degraded", "mask"))  # fmt: skip
        noise, dirt, t, level, known = (value.to(device) for value in _draw_noise(seeds, clean.shape[-2:], settings))
        residual, condition = self.scale.scale(2 * (clean - worse)), 2 * worse - 1
        dirty = condition + level[:, None, None, None] * dirt
        alpha, weight = self.alphas[t][:, None, None, None], 1 + settings.nodule_weight * mask
        with torch.autocast(device.type, torch.bfloat16):
            v = self.network(to_noisy(residual, noise, alpha), dirty, t, mask * known[:, None, None, None], level)
        error = (v.float() - to_v(residual, noise, alpha)).square() * weight / weight.mean(dim=(1, 2, 3), keepdim=True)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(error.mean())
        self.accelerator.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimizer.step()
        each, last = error.detach().mean(dim=(1, 2, 3)), t == NUM_STEPS - 1
        return torch.stack([each.mean(), each[last].sum(), last.sum()]).cpu()

    def _report(self, losses: Tensor, done: float) -> None:
        total = reduce(losses.to(self.accelerator.device)).cpu() if self.accelerator.num_processes > 1 else losses
        mean = float(total[0]) / REPORT_STEPS / self.accelerator.num_processes
        terminal = float(total[1] / total[2].clamp(min=1))
        if self.log is not None:
            self.log.write(self.state, mean, terminal)
            self.progress(
                f"step {self.state.step}, {100 * done:.1f} %, {self.state.elapsed_s / 60:.1f} min, loss {mean:.4f}, "
                f"at pure noise {terminal:.4f}"
            )
            if self.settings.figure_steps and self.state.step % self.settings.figure_steps == 0:
                self.log.draw(self.state, self.scale, self.accelerator.device)

    def _save(self) -> None:
        if self.log is not None:
            write_checkpoint(self.run_folder, self.state, dataclasses.asdict(self.settings))


def _draw_noise(seeds: Sequence[int], shape: Sequence[int], settings: TrainDdpmHqSettings) -> tuple[Tensor, ...]:
    """Return noise and condition noise, ``[batch, 1, H, W]``; time step, condition level, and whether the nodule map
    is known, ``[batch]``; each crop's from its own seed.
    """
    drawn = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed % 2**63)
        fields = torch.randn(2, 1, *shape, generator=generator)
        terminal, level, known = torch.rand(3, generator=generator).tolist()
        drawn_t = int(torch.randint(NUM_STEPS, (), generator=generator))
        t = NUM_STEPS - 1 if terminal < settings.terminal_share else drawn_t
        # Squared: most inputs are nearly clean, as at run time. Twice, because the input is in -1..1.
        drawn.append((fields, t, 2 * settings.condition_noise * level**2, known < settings.nodule_map_share))
    fields = torch.stack([item[0] for item in drawn])
    columns = [torch.tensor([item[i] for item in drawn]) for i in (1, 2, 3)]
    return fields[:, 0], fields[:, 1], columns[0], columns[1], columns[2]


def crop_at(fraction: float, settings: TrainDdpmHqSettings) -> tuple[int, int]:
    """Return side and number of the crops at a fraction of the run: few large ones at its end, of equal area."""
    if not settings.late_crop_px or fraction < 1 - settings.late_fraction:
        return settings.crop_px, settings.batch_size
    share = (settings.crop_px / settings.late_crop_px) ** 2
    return settings.late_crop_px, max(1, round(settings.batch_size * share))


def draw_numbered(pool: PairPool, step: int, index: int, size_px: int, settings: TrainDdpmHqSettings) -> Crop:
    """Draw one crop of one step from the two numbers alone."""
    return pool.draw(make_rng(make_seed(settings.seed, "crops", str(step), str(index))), size_px)


def measure_scale(state: TrainState, pool: PairPool, settings: TrainDdpmHqSettings) -> None:
    """Set the scales of the residual's and the condition's Haar bands from some hundred crops."""
    crops = [draw_numbered(pool, -1, index, settings.crop_px, settings) for index in range(settings.scale_crops)]
    clean, worse = (torch.stack([getattr(crop, name) for crop in crops])[:, None] for name in ("clean", "degraded"))
    state.deviations = measure_deviations(2 * (clean - worse))
    state.model.condition_scale.copy_(measure_magnitudes(2 * worse - 1))
    state.average = {name: value.detach().float().clone() for name, value in state.model.state_dict().items()}


def count_parameters(model: torch.nn.Module) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in model.parameters())
