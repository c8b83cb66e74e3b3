"""What was measured, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scripts.benchmarking.report import OURS, PEERS
from scripts.benchmarking.rounds import ratio


def draw(results: dict[str, Any], output: Path) -> list[Path]:
    """Draw the ratios of a step and the growth, where they were measured, and return where the pictures are.

    Parameters
    ----------
    results : dict
        As they are written to JSON.
    output : Path
        Where the results are; the pictures go beside them.
    """
    drawn = []
    cases = [case for case in results["cases"] if OURS in case["seconds"].get("step", {})]
    if cases:
        drawn.append((_ratios(cases), output.with_name(f"{output.stem}-steps.png")))
    if "growth" in results:
        drawn.append((_growth(results["growth"]), output.with_name(f"{output.stem}-growth.png")))
    for figure, path in drawn:
        figure.savefig(path, dpi=120)
    return [path for _, path in drawn]


def _ratios(cases: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    for number, peer in enumerate(PEERS):
        found = [
            (at + 0.15 * (number - 2), *ratio(case["seconds"]["step"][OURS], case["seconds"]["step"][peer]))
            for at, case in enumerate(cases)
            if peer in case["seconds"]["step"]
        ]
        if found:
            places, lows, middles, highs = map(list, zip(*found, strict=True))
            spans = [[middle - end for middle, end in zip(middles, lows, strict=True)]]
            spans.append([end - middle for middle, end in zip(middles, highs, strict=True)])
            axes.errorbar(places, middles, yerr=spans, fmt="osD^v"[number], capsize=3, label=f"to {peer}")
    axes.axhline(1.0, color="0.5", linewidth=1)
    axes.set(yscale="log", ylabel="our time / theirs (less is better)", title="One step of training on NumPy")
    labels = [f"{case['name']}\n{case['optimizer']}" for case in cases]
    axes.set_xticks(range(len(cases)), labels, fontsize=8, rotation=25)
    axes.legend(ncols=5, fontsize=8)
    axes.grid(axis="y", alpha=0.3)
    return figure


def _growth(growth: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(9, 4), layout="constrained")
    labels = {"weights": ("weights, in batches of 64", "seconds a step"), "samples": ("samples, 16-64-4", "seconds an epoch")}
    for axes, (name, grown) in zip(figure.subplots(1, 2), growth.items(), strict=True):
        axes.loglog(grown["sizes"], grown["seconds"], "o-", label="measured")
        axes.axhline(grown["overhead"], color="0.5", linestyle="--", label="overhead")
        axes.set(xlabel=labels[name][0], ylabel=labels[name][1])
        if grown["slope"] is not None:
            axes.set_title(f"slope above the overhead: {grown['slope']:.2f}", fontsize=10)
        axes.legend()
        axes.grid(alpha=0.3)
    return figure
