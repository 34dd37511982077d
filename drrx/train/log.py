"""What a run tells on its way: a CSV, TensorBoard, scores on validation films and figures of samples."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drrx.diffusion.residual import ResidualScale
from drrx.diffusion.sample import draw_noise, sample_residual
from drrx.errors import DrrxError
from drrx.io.files import write_text
from drrx.io.image import write_picture
from drrx.pairs.pool import PairPool
from drrx.seeds import make_rng, make_seed
from drrx.train.settings import TrainDdpmHqSettings
from drrx.train.state import TrainState

LOG_FILE, FIGURES = "log.csv", "figures"
HEADER = "step,minutes,name,value"
CROPS_PER_KIND, SAMPLE_STEPS = 4, 5


def start_log(path: Path, header: str, step: int) -> None:
    """Begin a CSV whose first column is the step; of an earlier start's, lines after ``step`` are dropped."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []
    kept = [line for line in lines if int(line.partition(",")[0]) <= step]
    write_text(path, "\n".join([header, *kept]) + "\n")


class TrainLog:
    """Writes the log of one run; a resumed run drops the lines after its checkpoint, at ``step``, and goes on."""

    def __init__(self, folder: Path, step: int, validation: PairPool | None, settings: TrainDdpmHqSettings) -> None:
        self.path, self.figures = folder / LOG_FILE, folder / FIGURES
        self.validation, self.settings = validation, settings
        start_log(self.path, HEADER, step)
        self.board: Any = None
        if settings.tensorboard:
            self.board = _open_board(folder / "tensorboard")

    def write(self, state: TrainState, loss: float, terminal: float) -> None:
        """Add the mean losses since the last line."""
        self._add(state, {"loss": loss, "loss_at_pure_noise": terminal})

    def draw(self, state: TrainState, scale: ResidualScale, device: torch.device) -> None:
        """Restore fixed validation crops with the averaged weights: PSNR of the mean to the log, all to a figure."""
        if self.validation is None:
            return
        pool = self.validation
        kept = {name: value.clone() for name, value in state.model.state_dict().items()}
        state.model.load_state_dict(state.average)
        try:
            shown = {kind: self._restore(pool, kind, state, scale, device) for kind in pool.kinds}
        finally:
            state.model.load_state_dict(kept)
        rows = [np.concatenate(images[0], axis=1) for images in shown.values()]
        picture = np.round(255 * np.clip(np.concatenate(rows), 0, 1)).astype(np.uint8)
        write_picture(self.figures / f"step_{state.step:07d}.png", np.repeat(picture[..., None], 3, axis=2))
        self._add(state, {f"psnr_{kind}": _psnr(images) for kind, images in shown.items()})

    def _restore(
        self, pool: PairPool, kind: str, state: TrainState, scale: ResidualScale, device: torch.device
    ) -> list[list[NDArray[np.float32]]]:
        """Return input, mean, sample and film of a few crops."""
        found = []
        for index in range(CROPS_PER_KIND):
            seed = make_seed(self.settings.seed, "validation", kind, str(index))
            crop = pool.draw(make_rng(seed), self.settings.crop_px, kind)
            condition = (2 * crop.degraded - 1)[None, None].to(device)

            def denoise(noisy: Tensor, t: Tensor, condition: Tensor = condition) -> Tensor:
                with torch.inference_mode():
                    return state.model(noisy, condition, t)

            noise = draw_noise([seed], *crop.clean.shape).to(device)
            parts = sample_residual(
                denoise, noise, solver="ddim", steps=SAMPLE_STEPS, snr_shift=self.settings.snr_shift
            )
            restored = [(crop.degraded + scale.unscale(part)[0, 0].cpu() / 2).numpy() for part in parts]
            found.append([crop.degraded.numpy(), *restored, crop.clean.numpy()])
        return found

    def _add(self, state: TrainState, values: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            for name, value in values.items():
                stream.write(f"{state.step},{state.elapsed_s / 60:.2f},{name},{value:.5f}\n")
        for name, value in values.items() if self.board else ():
            self.board.add_scalar(name, value, state.step)


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DrrxError(
            where="train-ddpm-hq tensorboard", found=str(error), needed="the package tensorboard",
            hint="pip install tensorboard, or leave --tensorboard out: log.csv holds the same numbers.",
        ) from error  # fmt: skip
    return SummaryWriter(folder)


def _psnr(images: list[list[NDArray[np.float32]]]) -> float:
    errors = [float(np.mean((np.clip(mean, 0, 1) - film) ** 2)) for _, mean, _, film in images]
    return float(np.mean([-10 * np.log10(max(error, 1e-12)) for error in errors]))
