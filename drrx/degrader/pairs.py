"""Make a folder of pairs: films with nodules and their LQ copies."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from drrx.degrader.model import Degrader
from drrx.degrader.settings import MakeLqSettings
from drrx.errors import DrrxError
from drrx.io.files import read_json, write_json
from drrx.pairs.crops import add_blobs
from drrx.pairs.films import FilmRow, load_film
from drrx.pairs.pool import choose_quiet
from drrx.pairs.store import Pair, PairRow, pair_files, write_pair, write_table
from drrx.seeds import make_rng, make_seed

RECORD = "made_by.json"
FIELD_PX2 = 1024**2


def make_lq(
    rows: Sequence[FilmRow], degrader: Degrader, folder: Path, settings: MakeLqSettings,
    progress: Callable[[str], None],
) -> list[PairRow]:  # fmt: skip
    """Write the pairs of the splits asked for, then their table; pairs that are there already are kept.

    Raises
    ------
    DrrxError
        No film is in the splits, or the folder holds pairs of other weights, seed or number of nodules.
    """
    films = _choose_films(rows, settings)
    _claim_folder(folder, degrader, settings)
    made: list[PairRow] = []
    for film in films:
        for copy in range(settings.copies):
            row = _plan_pair(film, copy, degrader, settings)
            if not all(path.is_file() for path in pair_files(folder, row.pair)):
                write_pair(folder, row, draw_pair(film, row, degrader))
            made.append(row)
        progress(f"{len(made)} of {len(films) * settings.copies} pairs")
    write_table(folder, made)
    return made


def _choose_films(rows: Sequence[FilmRow], settings: MakeLqSettings) -> list[FilmRow]:
    wanted = [split for split in settings.splits if any(row.split == split for row in rows)]
    if not wanted:
        raise DrrxError(
            where="the table of radiographs", found=f"no film in the splits {', '.join(settings.splits)}",
            needed="at least one", hint="Give more radiographs, or other --splits.",
        )  # fmt: skip
    # Noise matters in what is trained on; validation and test keep the films they have.
    shares = {split: settings.quiet_share if split == "train" else 1.0 for split in wanted}
    return [row for split, share in shares.items() for row in choose_quiet(rows, split, share)]


def _claim_folder(folder: Path, degrader: Degrader, settings: MakeLqSettings) -> None:
    record, mine = folder / RECORD, {
        "model": degrader.name, "weights_sha256": degrader.sha256, "seed": settings.seed, "nodules": settings.nodules,
    }  # fmt: skip
    if record.is_file() and (found := read_json(record)) != mine:
        raise DrrxError(
            where=str(record), found=str(found), needed=str(mine), hint="Give another --output, or delete that folder."
        )
    write_json(record, mine)


def _plan_pair(film: FilmRow, copy: int, degrader: Degrader, settings: MakeLqSettings) -> PairRow:
    name = f"{film.path.stem}_{copy}"
    seed = make_seed(settings.seed, "make_lq", degrader.name, film.patient, name)
    return PairRow(
        name, film.path.name, film.patient, film.split, degrader.name, degrader.sha256, seed, settings.nodules
    )


def draw_pair(film: FilmRow, row: PairRow, degrader: Degrader) -> Pair:
    """Return the pair of a row, from its numbers alone."""
    values = load_film(film)
    number = round(row.nodules * values.size / FIELD_PX2)
    blobs, mask = add_blobs(values.shape, number, make_rng(make_seed(row.seed, "nodules")))
    with_nodules = np.clip(values + blobs.numpy(), 0.0, 1.0).astype(np.float32)
    return Pair(with_nodules, degrader.degrade(with_nodules, row.seed), mask.numpy())
