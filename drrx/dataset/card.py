"""The data card: what a data set is, how it was made, what it holds and what it is not, in words, tables, one figure.

Its order is that of Gebru et al., Datasheets for Datasets (Commun ACM 64:86, 2021); the head is that of a Hugging Face
data set card.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import drrx
from drrx.dataset import about, census
from drrx.dataset.card_figure import draw_card
from drrx.dataset.census import cross
from drrx.dataset.entries import CaseOutcome, ImageEntry
from drrx.io.files import write_text, write_whole
from drrx.records.nodule import Nodule

NAMES = ("data_card.md", "data_card.png")
_ROLES = (
    "`twin`: the CT as it is. `positive`: nodules inserted. `sham`: processed like a positive, with lung in place of "
    "the nodule. `removed`: the CT's own nodules taken out."
)


def write_card(
    folder: Path, outcomes: Sequence[CaseOutcome], entries: Sequence[ImageEntry], run_facts: Mapping[str, Any]
) -> list[str]:
    """Write ``data_card.md`` and ``data_card.png``.

    Parameters
    ----------
    folder
        The data set.
    outcomes, entries
        All cases of the cohort table, and the images of those that were accepted.
    run_facts
        ``seed`` and ``settings`` of all stages, as in the manifest.

    Returns
    -------
    Names of the files, relative to ``folder``.
    """
    write_text(folder / NAMES[0], make_card(outcomes, entries, run_facts))
    with write_whole(folder / NAMES[1]) as temporary:
        draw_card(entries).savefig(temporary, format="png", metadata={"Software": None})
    return list(NAMES)


def make_card(outcomes: Sequence[CaseOutcome], entries: Sequence[ImageEntry], run_facts: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    parts = [
        _make_head(entries), f"# {about.TITLE}\n\n{about.SUMMARY}", _tell_counts(outcomes, entries),
        "## What it is for", _list(about.USES), "## What it is not for", _list(about.NOT_FOR),
        *_tell_images(entries), *_tell_nodules(entries), *_tell_sources(entries), *_tell_refusals(outcomes),
        *_tell_making(entries, run_facts), "## Known limits", _list((*about.LIMITS, *about.BIASES)),
        "## Patients", " ".join(about.PRIVACY), "## How to cite",
        "Cite drrx as below, the method it implements (CITATION.cff of drrx), and the source of the CTs.",
        f"```bibtex\n{about.CITATION}\n```",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _make_head(entries: Sequence[ImageEntry]) -> str:
    """Return the front matter that Hugging Face reads."""
    limits = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    size = next((name for limit, name in limits if len(entries) < limit), "n>1M")
    return (
        f"---\npretty_name: '{about.TITLE}'\nlicense: other\nlicense_name: that-of-the-source-cts\n"
        "task_categories:\n- object-detection\n- image-segmentation\n"
        "annotations_creators:\n- machine-generated\n"
        f"size_categories:\n- {size}\ntags:\n- medical\n- chest-x-ray\n- lung-nodule\n- synthetic\n---"
    )


def _tell_counts(outcomes: Sequence[CaseOutcome], entries: Sequence[ImageEntry]) -> str:
    used = {entry.case for entry in entries}
    nodules = census.list_distinct(entries)
    sizes = sorted({f"{entry.width} x {entry.height} px" for entry in entries})
    return (
        f"Cases: {len(used)} of {len(outcomes)} given. Images: {len(entries)}"
        f"{''.join(f', {size}' for size in sizes)}. Nodules: {len(nodules)}, seen "
        f"{len(census.list_shown(entries))} times in all images."
        f"\n\n![Sizes, types, places and visibility of the nodules]({NAMES[1]})"
    )


def _tell_images(entries: Sequence[ImageEntry]) -> list[str]:
    head = ["", "patients", *(f"{role} images" for role in census.ROLES), "nodules seen"]
    return [
        "## Images", _ROLES, _table(["view", *head[1:]], census.count_images(entries, lambda e: e.facts.projection)),
        "All images of a patient are in one split.",
        _table(["split", *head[1:]], census.count_images(entries, lambda e: e.split)),
    ]  # fmt: skip


def _tell_nodules(entries: Sequence[ImageEntry]) -> list[str]:
    nodules, shown = census.list_distinct(entries), census.list_shown(entries)
    lobes = sorted({_say_lobe(nodule) for nodule in nodules})
    classes = [(_say(item.nodule.zone), census.CLASSES[item.visibility_class]) for item in shown]
    ratios = census.tell_median((item.contrast_transfer_ratio for item in shown), 2)
    leakage = census.tell_median((entry.annotation.leakage for entry in entries), 3)

    def count(row: str, rows: Sequence[str], column: str, columns: Sequence[str]) -> str:
        pairs = [(_say(getattr(n, row)), _say(getattr(n, column))) for n in nodules]
        return _table([_say(row), *map(_say, columns), "all"], cross(pairs, [*map(_say, rows)], [*map(_say, columns)]))

    sizes = [(census.name_size(n.diameter_mm), _say(n.kind)) for n in nodules]
    places = [(_say_lobe(n), _say(n.zone)) for n in nodules]
    kinds, zones = [*map(_say, census.KINDS)], [*map(_say, census.ZONES)]
    return [
        "## Nodules", "Each nodule once, whatever the number of its images. The diameter is that of the ball with its "
        "volume.", _table(["diameter", *kinds, "all"], cross(sizes, census.list_sizes(), kinds)),
        count("kind", census.KINDS, "margin", census.MARGINS),
        count("origin", census.ORIGINS, "attachment", census.ATTACHMENTS),
        "The zone is what lies over a nodule in a frontal view; lobes are approximate.",
        _table(["lobe", *zones, "all"], cross(places, lobes, zones)),
        "## Visibility", "Each nodule as often as images show it. The class follows from d', the detectability for a "
        "model observer in the restored image; it is no reader's verdict.",
        _table(["zone", *census.CLASSES, "all"], cross(classes, zones, census.CLASSES)),
        f"Restoration changes a nodule's contrast by a factor of {ratios} (median). What it changes elsewhere because "
        f"of the nodules has {leakage} of their energy (median).",
    ]  # fmt: skip


def _tell_sources(entries: Sequence[ImageEntry]) -> list[str]:
    cases = {entry.case: (entry.source.source, entry.source.licence) for entry in entries}
    rows = [
        [source or "not stated", licence or "not stated", str(number)]
        for (source, licence), number in sorted(Counter(cases.values()).items())
    ]
    text = ["## Sources and licences", _table(["source of the CTs", "licence", "cases"], rows)]
    taken = [n.transplant for n in census.list_distinct(entries) if n.transplant is not None]
    if taken:
        counts = Counter((item.real_nodule_id, item.sha256[:12]) for item in taken)
        lines = [[name, digest, str(number)] for (name, digest), number in sorted(counts.items())]
        text += ["Real nodules from a library were transplanted:", _table(["library id", "SHA-256", "times"], lines)]
    return text


def _tell_refusals(outcomes: Sequence[CaseOutcome]) -> list[str]:
    refused = [outcome for outcome in outcomes if outcome.status == "refused"]
    corrected = Counter(text.partition(":")[0] for outcome in outcomes for text in outcome.corrections)
    reasons: Counter[str] = Counter()
    for outcome in outcomes:
        reasons.update(outcome.rejections)
    hints = {outcome.code: outcome.hint for outcome in reversed(refused)}
    codes = [[f"`{code}`", str(n), hints[code]] for code, n in sorted(Counter(o.code for o in refused).items())]
    repairs = [[f"`{code}`", str(number)] for code, number in sorted(corrected.items())]
    places = [[_say(reason), str(number)] for reason, number in sorted(reasons.items(), key=lambda i: (-i[1], i[0]))]
    return [
        "## What was left out, and repaired",
        _table(["cases refused for", "cases", "what helps"], codes) if codes else "No case was refused.",
        _table(["cases repaired for", "cases"], repairs) if repairs else "No case had to be repaired.",
        "Places tried for nodules and rejected:", _table(["because", "places"], places) if places else "None.",
    ]  # fmt: skip


def _tell_making(entries: Sequence[ImageEntry], run_facts: Mapping[str, Any]) -> list[str]:
    settings = run_facts.get("settings", {})
    weights = {entry.annotation.facts.get("restoration", {}).get("weights_sha256") for entry in entries} - {None}
    names = (
        ("views", ()), ("variants", ()), ("shams", ()), ("sample_nodules", ("preset", "num_nodules", "kind", "margin")),
        ("sample_nodules", ("lobe_weights", "zone_weights", "blur")),
        ("project_ct", ("source_to_detector_mm", "source_to_center_mm", "detector_mm", "size_px")),
        ("compose_drr", ("beam", "grid", "detector_kerma_ugy", "scatter")),
        ("restore_cxr", ("mode", "alpha", "solver", "steps", "tone")),
    )  # fmt: skip
    rows = [["drrx", drrx.__version__], ["seed", str(run_facts.get("seed", "-"))]]
    rows += [["weights of the restorer, SHA-256", f"`{digest}`"] for digest in sorted(weights)]
    for section, keys in names:
        values = settings.get(section)
        rows += [[f"{section}.{key}", _tell(values[key])] for key in keys if isinstance(values, dict) and key in values]
        rows += [[section, _tell(values)]] if not keys and values is not None else []
    return [
        "## How it was made", about.MAKING, about.ANNOTATION, _table(["", ""], rows),
        "All settings are in `manifest.json`, inputs and seeds of each image in `provenance.tsv`, the SHA-256 of every "
        "file in `sha256sums.txt`; docs/dataset.md of drrx tells of every file, column and box. The same CTs, settings "
        "and seed give the same bytes.",
    ]  # fmt: skip


def _say(name: str) -> str:
    return name.replace("_", " ")


def _say_lobe(nodule: Nodule) -> str:
    return _say(nodule.lobe_approx.removeprefix("lobe_"))


def _tell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
