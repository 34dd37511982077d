"""The audit's report as Markdown."""

from collections.abc import Sequence
from typing import Any

from drrx.evaluate.nodule_audit.two_sample import MEASURES
from drrx.evaluate.report import make_table

Part = dict[str, Any]
COMPARISON = """\
Real: patches of the library. Inserted: for each real nodule and case one of its diameter and type, alone in the CT.
Both are outlined half way between the local lung and their own core in a cube of 1 mm voxels and projected in parallel
from front to back. Median [10th, 90th percentile]. KS p: Kolmogorov-Smirnov test of the values; matched p: test of what
is left after a parabola in diameter is taken off (the smaller of Kolmogorov-Smirnov and Mann-Whitney, times 2); AUC:
chance that an inserted nodule has more than a real one of its size, .5 is alike; shift: difference of medians over the
real one's. **Bold**: different at 5 % over all measures (Holm). Nodules inserted for the same real one are not
independent, so the tests find differences a little too easily.
"""


def to_markdown(report: Part) -> str:
    """Return the report's tables."""
    texts = ["# Inserted nodules"]
    if "nodules" in report:
        texts += _write_checks(report)
    if "comparison" in report:
        texts += _write_comparison(report["comparison"])
    return "\n\n".join(text.strip() for text in texts) + "\n"


def _write_checks(report: Part) -> list[str]:
    rejected = sum(report["rejections"].values())
    texts = [
        "## Asked against achieved",
        f"{report['num_nodules']} nodules, {report['num_images']} times in a radiograph; {report['num_attempts']} "
        f"places tried for them, {rejected} rejected.",
        _table_of(report["nodules"]["all"]), "In every view that shows it:", _table_of(report["images"]["all"]),
    ]  # fmt: skip
    for part, title in (("nodules", "Share within the limits, by group"), ("images", "The same in the views")):
        texts += [f"### {title}", _table_by_group(report[part])]
    outside = sorted({name for found in (report["nodules"]["all"], report["images"]["all"])
                      for check in found.values() for name in check["outside"]})  # fmt: skip
    texts.append("Outside a limit: " + (", ".join(outside) if outside else "none") + ".")
    texts += ["### Places rejected", make_table(["reason", "places"], _cells(report["rejections"].items()))]
    refused = [(row["case"], row["stage"], row["code"], row["detail"]) for row in report["refused"]]
    texts += ["### Cases refused", make_table(["case", "stage", "code", "why"], refused) if refused else "None."]
    return texts


def _table_of(checks: Part) -> str:
    head = ["check", "limits", "n", "median", "worst", "within"]
    return make_table(head, [_line(check) for check in checks.values()])


def _line(check: Part) -> list[str]:
    scale, low, high = check["scale"], check["low"], check["high"]
    limits = f"≥ {_number(low * scale)}" if high is None else f"± {_number(high * scale)}"
    values = [_number(check[key] * scale) for key in ("median", "worst")]
    return [check["title"], limits, str(check["n"]), *values, f"{100 * check['within']:.1f} %"]


def _table_by_group(groups: Part) -> str:
    keys = list(groups["all"])
    head = ["group", "n", *(groups["all"][key]["title"].split(",")[0] for key in keys)]
    rows = []
    for name, checks in groups.items():
        shares = [f"{100 * checks[key]['within']:.0f} %" if key in checks else "-" for key in keys]
        rows.append([name.replace("_", " "), str(max((c["n"] for c in checks.values()), default=0)), *shares])
    return make_table(head, rows)


def _write_comparison(part: Part) -> list[str]:
    hosts = ", ".join(f"{name} (slices every {mm:.2g} mm)" for name, mm in part["hosts"].items())
    texts = ["## Real against inserted", COMPARISON, f"Cases: {hosts}."]
    for name, group in part["groups"].items():
        head = [f"{name}: {group['real']} real, {group['inserted']} inserted", "real", "inserted", "KS p", "matched p",
                "AUC", "shift"]  # fmt: skip
        texts.append(make_table(head, [_compared(key, found) for key, found in group["measures"].items()]))
    if part["refused"]:
        texts.append(f"{len(part['refused'])} found no place: " + "; ".join(part["refused"]) + ".")
    return texts


def _compared(key: str, found: Part) -> list[str]:
    cells = [_spread(found["real"]), _spread(found["inserted"]), _p(found["ks_p"]), _p(found["matched_p"])]
    title = f"**{MEASURES[key]}**" if found["different"] else MEASURES[key]
    return [title, *cells, f"{found['auc']:.2f}", f"{100 * found['shift']:+.0f} %"]


def _spread(values: Sequence[float]) -> str:
    low, middle, high = (_number(value) for value in values)
    return f"{middle} [{low}, {high}]"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _number(value: float) -> str:
    """Return three digits, without an exponent."""
    return (
        f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1g}"
    )


def _cells(items: Any) -> list[list[str]]:
    return [[str(cell) for cell in item] for item in items]
