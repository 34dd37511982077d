"""Which images are for training, for validation and for the test: all of a patient together, and for good."""

import hashlib
import math
from collections.abc import Mapping

from drrx.errors import DrrxError


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise a ``DrrxError`` unless the shares of the splits are numbers from 0 to 1 that add up to 1."""
    fine = shares and all(0 <= share <= 1 for share in shares.values())
    if not (fine and math.isclose(sum(shares.values()), 1, abs_tol=1e-6) and all(n.isidentifier() for n in shares)):
        raise DrrxError(
            where="collect_dataset.split_shares", found=str(dict(shares)), needed="names with shares that add up to 1",
            hint="For example train: 0.7, val: 0.15, test: 0.15.",
        )  # fmt: skip


def choose_split(patient: str, shares: Mapping[str, float]) -> str:
    """Return the split of a patient: a hash of the name falls into one of the shares.

    It depends on nothing else, so a patient stays where it is when others come or go, in whatever order. With few
    patients the parts are only roughly as large as their shares. Shares are laid out in the order of their names.
    """
    number = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8]) / 2**64
    names = [name for name in sorted(shares) if shares[name] > 0]
    for name in names[:-1]:
        number -= shares[name]
        if number < 0:
            return name
    return names[-1]
