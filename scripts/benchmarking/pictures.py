"""Pictures of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benchmarking.places import CPU
from scripts.benchmarking.report import compare

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: dict[str, Any], output: Path) -> list[Path]:
    """Draw the ratios of a step and the growth, where they were measured, into the folder of the results."""
    from matplotlib.figure import Figure

    figures: dict[str, Figure] = {}
    cases = [case for case in results["cases"] if CPU.ours in case["seconds"].get("step", {})]
    if cases:
        figures["steps"] = _draw_ratios(Figure(figsize=(10, 5), layout="constrained"), cases)
    if "growth" in results:
        figures["growth"] = _draw_growth(Figure(figsize=(9, 4), layout="constrained"), results["growth"])
    paths = [output.with_name(f"{output.stem}-{name}.png") for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=120)
    return paths


def _draw_ratios(figure: Figure, cases: list[dict[str, Any]]) -> Figure:
    axes = figure.subplots()
    for number, peer in enumerate(CPU.peers):
        found = {at: quarters for at, case in enumerate(cases) if (quarters := compare(case, "step", CPU.ours, peer))}
        if found:
            lows, medians, highs = zip(*found.values(), strict=True)
            below = [median - low for low, median in zip(lows, medians, strict=True)]
            above = [high - median for median, high in zip(medians, highs, strict=True)]
            where = [at + 0.15 * (number - 2) for at in found]
            axes.errorbar(where, medians, yerr=[below, above], fmt="osD^v"[number], capsize=3, label=f"to {peer}")
    axes.axhline(1.0, color="0.5", linewidth=1)
    axes.set(yscale="log", ylabel="our time / theirs (less is better)", title="One step of training on NumPy")
    labels = [f"{case['name']}\n{case['optimizer']}" for case in cases]
    axes.set_xticks(range(len(cases)), labels, fontsize=8, rotation=25)
    axes.legend(ncols=5, fontsize=8)
    axes.grid(axis="y", alpha=0.3)
    return figure


def _draw_growth(figure: Figure, growth: dict[str, Any]) -> Figure:
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
