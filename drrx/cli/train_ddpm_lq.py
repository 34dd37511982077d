"""Train DDPM-LQ, the diffusion model of DRRs that writes DRR-quality copies of radiographs.

It sees DRRs only, each disguised and then reduced to its structure map. The copies of a few radiographs, if given, are
shown in samples.png of the run folder beside DRRs.

Example: drrx train-ddpm-lq --drrs results=0.7 --drrs phantoms=0.3 --output ddpm_lq.safetensors --run-folder runs/lq
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from drrx.cli.options import add_settings, make_settings
from drrx.train.ddpm_lq_settings import TrainDdpmLqSettings

if TYPE_CHECKING:
    from drrx.train.ddpm_lq import Domain
    from drrx.train.state import TrainState

SUMMARY = "train the maker of LQ copies (DDPM-LQ) on DRRs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--drrs", action="append", required=True, metavar="DIR[=WEIGHT]", help="folder of DRRs; give it once per folder"
    )
    parser.add_argument("--exclude", nargs="*", default=[], metavar="CASE", help="cases to leave out")
    parser.add_argument(
        "--images", type=Path, metavar="CSV", help="radiographs for the figure only: file, patient, ..."
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="weights to write (.safetensors)")
    parser.add_argument("--run-folder", type=Path, required=True, metavar="DIR", help="folder of checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --run-folder")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    add_settings(parser, TrainDdpmLqSettings)


def run(args: argparse.Namespace) -> None:
    """Train; export the averaged weights and draw a figure at every checkpoint."""
    from drrx.pairs.domain import read_drrs
    from drrx.train.ddpm_lq import describe_run, export_weights, load_domain, train_ddpm_lq

    settings = make_settings(TrainDdpmLqSettings, vars(args), "train-ddpm-lq")
    rows = read_drrs(args.drrs, args.exclude)
    domain = load_domain(rows, settings)
    show = make_figure(args.images, domain, args.run_folder / "samples.png")

    def save(state: "TrainState") -> None:
        sha256 = export_weights(args.output, state, domain, settings, describe_run(rows, state, settings))
        show(args.output)
        print(f"{args.output}: {sha256}", flush=True)

    train_ddpm_lq(
        domain, args.run_folder, settings, device=args.device, resume=args.resume,
        progress=lambda text: print(text, flush=True), on_save=save,
    )  # fmt: skip


def make_figure(index: Path | None, domain: "Domain", path: Path) -> Callable[[Path], None]:
    """Return what draws rows of film, structure map, LQ copy and a DRR with given weights; films of the val split."""
    import numpy as np

    from drrx.degrader.ddpm_lq import load_ddpm_lq
    from drrx.io.image import write_image
    from drrx.pairs.films import load_film, read_films
    from drrx.train.ddpm_lq import HALF_MM

    rows = [row for row in read_films(index) if row.split == "val"][:4] if index else []
    images = [load_film(row, HALF_MM) for row in rows] or [domain.images[0].astype(np.float32)]

    def show(weights: Path) -> None:
        model = load_ddpm_lq(weights)
        sizes = [image.shape for image in images] + [image.shape for image in domain.images]
        height, width = np.max(sizes, axis=0)
        lines = []
        for seed, image in enumerate(images):
            other = domain.images[seed * len(domain.images) // len(images)].astype(np.float32)
            parts = (image, model.structure.make(image) / 2 + 0.5, model.draw(image, seed), other)
            lines.append(np.hstack([np.pad(p, ((0, height - p.shape[0]), (0, width - p.shape[1]))) for p in parts]))
        write_image(path, np.vstack(lines), bits=8)

    return show
