"""The index page: what is in the data set, and what became of every case."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import drrx
from drrx.dataset.entries import CaseOutcome, ImageEntry
from drrx.dataset.preview import PANELS, describe, describe_pose

STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.quiet, figcaption, .quiet { color: var(--quiet); }
table { border-collapse: collapse; } td, th { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; }
th { text-align: left; } td { vertical-align: top; }
section.image { border-top: 1px solid var(--line); padding: .8rem 0; }
section.image h3 { font-size: 1rem; margin: 0 0 .3rem; }
.panels { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem; }
.panels figure { margin: 0; } .panels img { width: 100%; display: block; background: #000; }
.refused { color: #c33; } .corrected { color: #b70; } .accepted { color: #2a7; }
"""
FILES = (
    ("annotations.json", "COCO: boxes, masks, all numbers"), ("nodules.csv", "one row per nodule and image"),
    ("images.csv", "one row per image"), ("contact_sheet.png", "overview as one picture"),
    ("manifest.json", "settings, seed, checksums"),
)  # fmt: skip


def make_page(
    cases: Sequence[CaseOutcome],
    entries: Sequence[ImageEntry],
    shown: Sequence[tuple[ImageEntry, Mapping[str, str]]],
) -> str:
    """Return the HTML; ``shown`` are images with the files of their panels (relative links only)."""
    nodules = [nodule for entry in entries for nodule in entry.annotation.nodules]
    statuses = Counter(case.status for case in cases)
    visible = sum(nodule.truth_visible for nodule in nodules)
    left_out = len([e for e in entries if e.role == "positive"]) - len([e for e, _ in shown if e.role == "positive"])
    more = f'<p class="quiet">{left_out} more are in images.csv.</p>' if left_out > 0 else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>drrx data set</title><style>{STYLE}</style></head>
<body>
<h1>Synthetic chest radiographs with lung nodules</h1>
<p class="quiet">made by drrx {escape(drrx.__version__)} from CTs; not for diagnosis</p>
<table>
<tr><th>Cases</th><td>{len(cases)}: {statuses["accepted"]} accepted, {statuses["corrected"]} corrected,
{statuses["refused"]} refused</td></tr>
<tr><th>Images</th><td>{len(entries)}: {sum(e.role == "positive" for e in entries)} with nodules,
{sum(e.role == "twin" for e in entries)} nodule-free twins</td></tr>
<tr><th>Nodules</th><td>{len(nodules)}, {visible} of them visible by the detectability proxy (class 2 or 3)</td></tr>
<tr><th>Files</th><td>{"<br>".join(f'<a href="{name}">{name}</a> {text}' for name, text in FILES)}</td></tr>
</table>
<h2>Cases</h2>
{_make_case_table(cases)}
<h2>Images</h2>
<p class="quiet">Boxes enclose the part above 20 % of the nodule's contrast; green: visible, orange: subtle or hidden.
The patient's right is on the left; in lateral views the front is. Click a DRR or CXR for all 16 bits.</p>
{"".join(_make_section(entry, panels) for entry, panels in shown)}{more}
</body>
</html>
"""


def _make_case_table(cases: Sequence[CaseOutcome]) -> str:
    head = "<tr><th>Case</th><th>Cohort</th><th>Status</th><th>Why</th><th>What to do</th></tr>"
    return f"<table>{head}{''.join(map(_make_case_row, cases))}</table>"


def _make_case_row(case: CaseOutcome) -> str:
    why = f"{case.code}: {case.detail}" if case.code else "; ".join(case.corrections)
    cells = (case.case, case.cohort, f'<span class="{case.status}">{case.status}</span>', why, case.hint)
    return "<tr>" + "".join(f"<td>{cell if i == 2 else escape(cell)}</td>" for i, cell in enumerate(cells)) + "</tr>\n"


def _make_section(entry: ImageEntry, panels: Mapping[str, str]) -> str:
    nodules = entry.annotation.nodules
    words = "; ".join(f"{n.nodule.nodule_id}: {describe(n)}, {n.nodule.lobe_approx}" for n in nodules) or "no nodule"
    words += f"; {entry.facts.view_position}{describe_pose(entry.facts.pose)}"
    full = {"DRR": entry.drr_file_name, "CXR": entry.file_name}
    figures = "".join(
        f'<figure><a href="{escape(full.get(panel, panels[panel]))}"><img loading="lazy" src="{escape(panels[panel])}" '
        f'alt="{panel} of {escape(entry.image_id)}"></a><figcaption>{panel}</figcaption></figure>'
        for panel in PANELS
        if panel in panels
    )
    return (
        f'<section class="image"><h3>{escape(entry.image_id)}</h3><div class="quiet">{escape(words)}</div>'
        f'<div class="panels">{figures}</div></section>\n'
    )
