"""The audit's report as Markdown."""

from collections.abc import Sequence
from typing import Any

from drrx.evaluate.nodule_audit.two_sample import MEASURES
from drrx.evaluate.report import make_table

Part = dict[str, Any]
COMPARISON = """\
Real: patches of the library. Inserted: for each real nodule and case one of its diameter and type, alone in the CT.
Both are outlined half way between the local lung and their own core in a cube of 1 mm voxels and projected in parallel
from front to back. Median [10th, 90th percentile]. KS p: Kolmogorov-Smirnov test of the values. Then a parabola in
diameter is taken off: matched p: test of what is left (the smaller of Kolmogorov-Smirnov and Mann-Whitney, times 2);
AUC: chance that an inserted nodule has more left than a real one, .5 is alike; shift: by how much their medians differ.
**Bold**: different at 5 % over all measures (Holm). Nodules inserted for the same real one are not independent, so the
tests find differences a little too easily.
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
    for part, title in (("nodules", "By group: median / worst"), ("images", "By group, in the views")):
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
    """Return median and worst of the main checks by group, and the smallest share within any limit."""
    shown = {key: check["short"] for key, check in groups["all"].items() if check["short"]}
    rows = []
    for name, checks in groups.items():
        cells = [_middle_and_worst(checks[key]) if key in checks else "-" for key in shown]
        passed = min(check["within"] for check in checks.values())
        total = max(check["n"] for check in checks.values())
        rows.append([name.replace("_", " "), str(total), *cells, f"{100 * passed:.1f} %"])
    return make_table(["group", "n", *shown.values(), "least within"], rows)


def _middle_and_worst(check: Part) -> str:
    return " / ".join(_number(check[key] * check["scale"]) for key in ("median", "worst"))


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
    return [title, *cells, f"{found['auc']:.2f}", ("+" if found["shift"] > 0 else "") + _number(found["shift"])]


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
