"""What happened to a case when it came in: accepted, corrected or refused, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

from drrx.errors import CaseRefused, DrrxError

Fact = str | int | float | bool | list[float] | list[int]
Status = Literal["accepted", "corrected", "refused"]


class Correction(NamedTuple):
    """A repair that was made: a stable upper-case ``code`` and a ``text`` that says how much was changed."""

    code: str
    text: str


@dataclass(frozen=True)
class CaseRecord:
    """Facts of one case after reading; JSON-ready, without paths, host names or time stamps.

    Attributes
    ----------
    case, cohort
        Ids of the cohort table.
    status
        ``accepted``: read as it is. ``corrected``: read with the ``corrections``. ``refused``: left out.
    code, detail, hint
        Why it was refused (stable word, what was found and needed) and what to do; empty otherwise.
    corrections
        What was repaired and by how much.
    flags
        Stable upper-case words a user may filter by (``THICK_SLICES``, ``CONTRAST``, ...).
    geometry
        Facts of the canonical CT: shape, spacing in mm, extent in mm, origin in LPS mm.
    source
        Facts of the input: format, number of files, sha256, scanner, kernel, ...
    """

    case: str
    cohort: str = ""
    status: Status = "accepted"
    code: str = ""
    detail: str = ""
    hint: str = ""
    corrections: tuple[Correction, ...] = ()
    flags: tuple[str, ...] = ()
    geometry: Mapping[str, Fact] = field(default_factory=dict)
    source: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refused, corrected = bool(self.code), bool(self.corrections)
        wanted = "refused" if refused else "corrected" if corrected else "accepted"
        if self.status != wanted or (refused and not self.hint):
            raise DrrxError(
                where=f"CaseRecord {self.case}",
                found=f"status {self.status!r}, code {self.code!r}, {len(self.corrections)} corrections",
                needed=f"status {wanted!r}, and a hint with every refusal",
                hint="Make records with CaseRecord.from_reading or CaseRecord.from_refusal.",
            )

    @classmethod
    def from_refusal(cls, error: CaseRefused, *, case: str, cohort: str = "") -> "CaseRecord":
        """Return the record of a case that was refused with ``error``."""
        return cls(case, cohort).refuse(error)

    def refuse(self, error: CaseRefused) -> "CaseRecord":
        """Return this record, refused by a later stage with ``error`` (``NO_LUNGS`` after reading, for example)."""
        detail = f"{error.where}: found {error.found}; needed {error.needed}."
        return replace(self, status="refused", code=error.code, detail=detail, hint=error.hint)

    @property
    def is_refused(self) -> bool:
        """Whether the case must be left out by the stages that follow."""
        return self.status == "refused"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        data = asdict(self)
        data["corrections"] = [{"code": code, "text": text} for code, text in self.corrections]
        data["flags"] = list(self.flags)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CaseRecord":
        """Return the record that :meth:`to_json` wrote; unknown or missing keys are a ``DrrxError``."""
        try:
            known = {key: data[key] for key in (item.name for item in fields(cls))}
            corrections = tuple(Correction(item["code"], item["text"]) for item in data["corrections"])
        except (KeyError, TypeError) as error:
            raise DrrxError(
                where="case record", found=f"no readable {error}", needed="the keys that CaseRecord.to_json writes",
                hint="Delete the case's case.json and run again.",
            ) from error  # fmt: skip
        return cls(**{**known, "corrections": corrections, "flags": tuple(data["flags"])})
