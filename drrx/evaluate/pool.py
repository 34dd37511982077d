"""The same work on many films or DRRs, in one process or shared by several."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import torch

R = TypeVar("R")
T = TypeVar("T")
_work: Callable[[Any], Any] | None = None


def map_rows(work: Callable[[R], T], rows: Sequence[R], jobs: int, threads: int) -> Iterator[T]:
    """Yield ``work(row)`` for every row, in order; with several jobs ``work`` is pickled once to each process."""
    share = max(1, threads // jobs)
    if jobs == 1:
        torch.set_num_threads(share)
        yield from map(work, rows)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(jobs, context, _begin, (work, share)) as pool:
        yield from pool.map(_do, rows)


def _begin(work: Callable[[Any], Any], threads: int) -> None:
    global _work
    torch.set_num_threads(threads)
    _work = work


def _do(row: Any) -> Any:
    assert _work is not None
    return _work(row)
