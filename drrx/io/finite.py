"""What is written is finite: a NaN would pass for a black pixel, an infinity for a white one."""

import numpy as np
from numpy.typing import NDArray

from drrx.errors import CaseFailed


def check_finite(values: NDArray, where: str) -> None:
    """Refuse values of which one is NaN or infinite.

    Raises
    ------
    CaseFailed
        ``NON_FINITE_OUTPUT``.
    """
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise CaseFailed(
            "NON_FINITE_OUTPUT", where=where, found=f"{bad} of {values.size} values that are not finite",
            needed="numbers", hint="Set precision: float32 and device: cpu for this stage; if it stays, report it.",
        )  # fmt: skip
