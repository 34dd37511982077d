"""The variants of a case: which images it has of one view, and what each is there for."""

import re
from typing import Literal

from drrx.errors import DrrxError

Role = Literal["twin", "positive", "sham", "removed"]
TWIN: Role = "twin"
REMOVED: Role = "removed"
_NUMBERED: dict[str, Role] = {"v": "positive", "s": "sham"}
_NAME = re.compile(r"([vs])[1-9]\d*")


def make_variant_names(num_variants: int, num_shams: int, has_known: bool) -> tuple[str, ...]:
    """Return the variants of a case in their order: ``twin``, ``v1``.., ``s1``.., and ``removed`` where there is one.

    Parameters
    ----------
    num_variants, num_shams
        How many sets of nodules, and how many of those, from the first on, have a sham.
    has_known
        Whether the CT has real nodules that are known.

    Raises
    ------
    DrrxError
        More shams than variants: a sham has the places of a variant.
    """
    check_num_shams(num_shams, num_variants, "variants")
    positives = (f"v{number}" for number in range(1, num_variants + 1))
    shams = (f"s{number}" for number in range(1, num_shams + 1))
    return (TWIN, *positives, *shams, *((REMOVED,) if has_known else ()))


def check_num_shams(num_shams: int, num_variants: int, where: str) -> None:
    """Raise a ``DrrxError`` when there are more shams than variants."""
    if num_shams > num_variants:
        raise DrrxError(
            where=where, found=f"{num_shams} shams for {num_variants} variants with nodules",
            needed="at most one sham per variant", hint="Each sham repeats a variant: ask for more variants.",
        )  # fmt: skip


def variant_role(name: str) -> Role:
    """Return what a variant is there for.

    ``twin`` has no inserted nodule, a ``positive`` (``v1``, ...) has some, a ``sham`` (``s1``, ...) went through the
    same insertion with lung for nodule, and ``removed`` is the twin without the real nodules of the CT.
    """
    if name in (TWIN, REMOVED):
        return TWIN if name == TWIN else REMOVED
    match = _NAME.fullmatch(name)
    if match is None:
        raise DrrxError(
            where="variant", found=repr(name), needed="twin, removed, or v or s with a number, as v1",
            hint="Sample the nodules of this case again.",
        )  # fmt: skip
    return _NUMBERED[match[1]]
