"""Tolerances, and tables of errors by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A measured number and the limits within which it is right.

    Attributes
    ----------
    key, title
        Of the number in a row; in tables, with unit.
    low, high
        Limits.
    scale
        Factor for tables (100 for percent).
    short
        Head of its column in the table by group; empty: not in it.
    """

    key: str
    title: str
    low: float
    high: float
    scale: float = 1.0
    short: str = ""

    def passes(self, value: float) -> bool:
        """Return whether a value is within the limits."""
        return self.low <= value <= self.high

    def miss(self, value: float) -> float:
        """Return how bad a value is: distance from 0 or, where only one limit is set, closeness to that limit."""
        if np.isinf(self.high):
            return -value
        return abs(value)


def _within(key: str, title: str, limit: float, scale: float = 1.0, short: str = "") -> Check:
    return Check(key, title, -limit, limit, scale, short)


#: Asked against achieved, in 3-D.
NODULE_CHECKS = (
    _within("volume", "volume, found over asked - 1, %", 0.02, 100, "volume, %"),
    _within("diameter", "diameter, found over asked - 1, %", 0.01, 100, "diameter, %"),
    Check("hu_share", "HU added to the CT, share of asked, %", 0.80, np.inf, 100, "HU added, %"),
    _within("hu_mass", "HU x volume, CT grid over patch - 1, %", 0.01, 100, "HU x volume, %"),
    _within("center_ct_voxels", "centroid, CT grid against patch, voxels", 0.5, short="centroid in CT, voxels"),
    _within("center_asked_voxels", "centroid against centre asked, voxels", 0.5, short="centre, voxels"),
    _within("recorded_center_mm", "centroid, recorded against found, mm", 0.01),
    _within("recorded_volume", "volume, recorded over found - 1, %", 0.001, 100),
    _within("recorded_share", "HU share, recorded - found, %", 0.01, 100),
    _within("replay", "rendered again from the record, HU", 0.0),
)
#: The same nodule in every view.
IMAGE_CHECKS = (
    _within("center_px", "centre against own pinhole projection, px", 0.1, short="centre, px"),
    _within("centroid_px", "path-weighted centroid against own, px", 0.1, short="centroid, px"),
    _within("path_mass", "sum of path map over own - 1, %", 0.01, 100, "path map, %"),
    Check("box_inside_px", "full box from the border, px", 0.0, np.inf, 1.0, "border, px"),
    Check("peak", "peak change of -ln(I/I0)", 0.01, np.inf, 1.0, "peak"),
    _within("recorded_peak", "peak, recorded over path map - 1, %", 0.001, 100),
)


def summarize(rows: Sequence[Row], checks: Sequence[Check]) -> dict[str, dict[str, Any]]:
    """Return per check: number of rows, median and worst value, share within the limits, names of those outside."""
    found = {}
    for check in checks:
        given = [row for row in rows if row.get(check.key) is not None]
        if not given:
            continue
        values = [row[check.key] for row in given]
        outside = [row["name"] for row, value in zip(given, values, strict=True) if not check.passes(value)]
        found[check.key] = {
            "title": check.title, "short": check.short, "low": None if np.isinf(check.low) else check.low,
            "high": None if np.isinf(check.high) else check.high, "scale": check.scale, "n": len(values),
            "median": float(np.median(values)), "worst": max(values, key=check.miss),
            "within": 1 - len(outside) / len(values), "outside": outside,
        }  # fmt: skip
    return found


def summarize_groups(rows: Sequence[Row], checks: Sequence[Check], keys: Sequence[str]) -> dict[str, Any]:
    """Return ``summarize`` of all rows, and of every value of each key: ``{"all": ..., "kind solid": ...}``."""
    groups = {"all": summarize(rows, checks)}
    for key in keys:
        for value in dict.fromkeys(sorted(str(row[key]) for row in rows)):
            groups[f"{key} {value}"] = summarize([row for row in rows if str(row[key]) == value], checks)
    return groups
