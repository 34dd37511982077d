"""The report's Markdown: tables of every part that was measured, the paper's figures beside ours."""

from collections.abc import Callable, Sequence
from typing import Any

from drrx.evaluate import paper_network
from drrx.evaluate.paper import DIFFERENCES, NOISE_SHARE, PAPER
from drrx.evaluate.realism import LOOKS

Part = dict[str, Any]
MEASURES = {
    "psnr_db": ("PSNR dB", 2), "psnr_of_mean_mse_db": ("PSNR of mean MSE dB", 2), "ssim": ("SSIM", 3),
    "affine_psnr_db": ("affine-fit PSNR dB", 2), "ms_ssim": ("MS-SSIM", 3), "detail_db": ("detail dB", 1),
}  # fmt: skip
NOTES = """\
Mean over films (95 % bootstrap interval over patients). Reference: the film windowed to 0..1 on the 0.42 mm grid. Data
range 1; border left out; Gaussian SSIM of sigma 1.5, population covariance. `input`: the degraded film as it is;
`window`: its percentile stretch, from which the restorer starts; `bicubic x2`: that stretch at half size, enlarged;
`affine-fit PSNR`: after the best linear change of tone; `detail`: power of structures of 3-15 px against the film's.
"""


def to_markdown(report: dict[str, Part]) -> str:
    """Return the tables of the parts there are."""
    texts = ["# Evaluation of the restorer", DIFFERENCES]
    for name, write in WRITERS.items():
        if name in report:
            texts += [f"## {name.capitalize()}", *write(report[name])]
    return "\n\n".join(text.strip() for text in texts if text.strip()) + "\n"


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _write_matrix(part: Part) -> list[str]:
    scores = part["scores"]
    head = ["PSNR dB / SSIM / MS-SSIM", *scores]
    names = list(next(iter(scores.values())))
    rows = [[name, *(_short(methods[name]) for methods in scores.values())] for name in names]
    rows += [
        [f"*paper, {name}*", *(_paper_cell(kind, name) for kind in scores)] for name in ("DDPM-HQ", "bicubic twin")
    ]
    about = f"{part['films']} films of {part['patients']} patients, split `{part['split']}`. " + _list_hashes(part)
    full = [[kind, name, *(_interval(score[key], digits) for key, (_, digits) in MEASURES.items())]
            for kind, methods in scores.items() for name, score in methods.items()]  # fmt: skip
    all_head = ["degradation", "method", *(title for title, _ in MEASURES.values())]
    return [about, make_table(head, rows), *_write_gains(part["gains"]), NOTES, make_table(all_head, full)]


def _list_hashes(part: Part) -> str:
    kept = {**part["weights_sha256"], **{f"test {name}": sha for name, sha in part["degrader_sha256"].items() if sha}}
    return "Weights: " + ", ".join(f"{name} `{sha[:12]}`" for name, sha in kept.items()) + "."


def _short(score: dict[str, list[float]]) -> str:
    return f"{score['psnr_db'][0]:.2f} / {score['ssim'][0]:.3f} / {score['ms_ssim'][0]:.3f}"


def _paper_cell(kind: str, name: str) -> str:
    if kind not in PAPER:
        return "-"
    column = PAPER[kind]
    psnr, ssim = (column.psnr_db, column.ssim) if name == "DDPM-HQ" else (column.twin_psnr_db, column.twin_ssim)
    return f"{psnr:.2f} / {ssim:.2f}"


def _interval(values: Sequence[float], digits: int) -> str:
    mean, low, high = (f"{value:.{digits}f}" for value in values[:3])
    return f"{mean} ({low} to {high})"


def _write_gains(gains: Part) -> list[str]:
    rows = [
        [kind, name, _interval(found["psnr_db"], 2), f"{found['psnr_db'][3]:.2g}", _interval(found["ssim"], 3),
         f"{found['ssim'][3]:.2g}", f"{PAPER[kind].gain_db:+.2f}" if kind in PAPER else "-"]
        for kind, systems in gains.items() for name, found in systems.items()
    ]  # fmt: skip
    head = ["degradation", "system", "PSNR gain dB", "p", "SSIM gain", "p", "paper's gain dB"]
    title = "Gain over the bicubic-trained twin, paired; p of Wilcoxon's signed-rank test over patients."
    return [title, make_table(head, rows)] if rows else []


def _write_steps(part: Part) -> list[str]:
    about = (
        f"{part['system']} `{part['weights_sha256'][:12]}`, {part['films']} films, degradation {part['degradation']}. "
        "Noise: how far the lung field's noise spectrum is from the films', mean over octaves and worst octave."
    )
    parts = [about]
    for key, name, title in (("steps", "steps", "steps"), ("alphas", "alpha", f"alpha, {part['alpha_steps']} steps")):
        rows = [[f"{point[name]:g}", *_write_point(point)] for point in part[key]]
        parts.append(make_table([title, "PSNR dB", "SSIM", "noise dB", "worst octave dB"], rows))
    return parts


def _write_point(point: Part) -> list[str]:
    return [
        f"{point['psnr_db']:.2f}",
        f"{point['ssim']:.3f}",
        f"{point['noise_db']:.1f}",
        f"{point['noise_worst_db']:+.1f}",
    ]


def _write_cost(part: Part) -> list[str]:
    size = part["pixels"]
    parts = [f"{size} x {size} px, {part['threads']} threads, {part['device']}."]
    parts.append(f"drrx: {_write_network(part)}.")
    rows = [
        [mode, str(found["calls"]), f"{found['tflop']:.3f}", f"{found['seconds']:.2f}", f"{found.get('ratio', 0):,} x"]
        for mode, found in part["modes"].items()
    ]
    if paper := part.get("paper"):
        parts.append(
            f"A network of the paper's size: {_write_network(paper)} (its own configuration: "
            f"{paper_network.PARAMETERS / 1e6:.1f} M, {paper_network.GFLOP:.0f} GFLOP); "
            f"{paper['seconds_per_call']:.2f} s per call, timed in the same run, times {paper['calls']} calls."
        )
        rows.append(
            ["*paper's size*", f"{paper['calls']:,}", f"{paper['tflop']:.0f}", f"{paper['seconds']:,.0f}", "1 x"]
        )
    return [" ".join(parts), make_table(["mode", "calls", "TFLOP", "seconds", "times faster"], rows)]


def _write_network(part: Part) -> str:
    return f"{part['parameters'] / 1e6:.2f} M parameters, {part['gflop_per_call']:.0f} GFLOP per call"


def _write_noise(part: Part) -> list[str]:
    about = (
        f"{part['method']} `{part['weights_sha256'][:12]}`. Median noise power of the lung field per octave against "
        f"{part['films']} films, dB; `above`: share of outputs above the films' 95th percentile in any octave (the "
        f"paper's readers saw a significant increase of noise in {NOISE_SHARE:.1%} of its outputs); grid peak: how far "
        f"the spectrum stands out at multiples of 1/8 cycles/px, median and largest over images, films "
        f"{_write_pair(part['peaks_db']['film'])} dB."
    )
    octaves = list(next(iter(part["outputs"].values()))["octaves"])
    rows = [
        [name, *(f"{found['octaves'][octave]['difference_db']:+.1f}" for octave in octaves),
         f"{found['distance_db']:.1f}", f"{found['share_above']:.0%}", _write_pair(part["peaks_db"][name])]
        for name, found in part["outputs"].items()
    ]  # fmt: skip
    return [about, make_table(["output", *octaves, "mean distance", "above", "grid peak dB"], rows)]


def _write_pair(values: Sequence[float]) -> str:
    return f"{values[0]:.1f} ({values[1]:.1f})"


def _write_realism(part: Part) -> list[str]:
    about = (
        "AUC with which a small network, trained from scratch, tells patches of outputs from patches of films, judged "
        "on patients and CTs that it never saw (0.5: cannot; 95 % interval). `shown`: as displayed; `texture`: without "
        "mean and contrast."
    )
    rows = [
        [name, *(f"{found[look]['auc']:.3f} ({found[look]['low']:.3f} to {found[look]['high']:.3f})" for look in LOOKS),
         str(found["others_test_groups"])]
        for name, found in part["outputs"].items()
    ]  # fmt: skip
    return [about, make_table(["images", *LOOKS, "CTs judged on"], rows)]


def _write_nodules(part: Part) -> list[str]:
    rows = [[f"made on films: {name}", _write_spread(values)] for name, values in part["films"].items()]
    if twins := part.get("twins"):
        rows += [[f"projected: {name}", _write_spread(values)] for name, values in twins["spread"].items()]
        rows += [[f"projected: {name} within the goal", f"{share:.1%}"] for name, share in twins["within"].items()]
        rows.append(["projected: observer's AUC, DRR and restored", f"{twins['auc_drr']:.3f}, {twins['auc']:.3f}"])
        rows.append(["projected: change of that AUC", _interval(twins["auc_change"], 3)])
    if blobs := part.get("blobs"):
        rows.append(
            ["blobs an image without nodules", f"{_interval(blobs['rate'], 2)}; films {blobs['films_rate']:.2f}"]
        )
    about = f"{part['method']} `{part['weights_sha256'][:12]}`. Median (5th to 95th percentile)."
    return [about, make_table(["measure", "value"], rows)]


def _write_spread(values: Sequence[float]) -> str:
    return f"{values[1]:.3f} ({values[0]:.3f} to {values[2]:.3f})"


def _write_pictures(part: Part) -> list[str]:
    return [f"![Degraded, restored and true]({part['file']})"]


def _write_grain(part: Part) -> list[str]:
    about = (
        f"{part['system']} `{part['weights_sha256'][:12]}`, {part['images']} DRRs. Gains for the setting `grain` with "
        f"`alpha` 1: {part['grain']}. Noise of the lung field against films, dB:"
    )
    rows = [[name, *(f"{found[key]:+.1f}" for key in ("mean_db", "sample_db", "fit_db"))]
            for name, found in part["octaves"].items()]  # fmt: skip
    return [about, make_table(["octave", "mean", "sample", "fit"], rows)]


WRITERS: dict[str, Callable[[Part], list[str]]] = {
    "matrix": _write_matrix, "steps": _write_steps, "cost": _write_cost, "noise": _write_noise,
    "realism": _write_realism, "nodules": _write_nodules, "pictures": _write_pictures, "grain": _write_grain,
}  # fmt: skip
