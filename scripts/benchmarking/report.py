"""What is told: a table to read, the README's shorter one, and pictures, all made from the JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scripts.benchmarking.rounds import quartiles, ratio

OURS = "portable_bp numpy"
PEERS = {"PyTorch eager": "torch eager", "JAX jit": "jax jit", "scikit-learn": "scikit-learn", "floor": "the floor"}
TARGETS = {
    "2-4-3-2": {"PyTorch eager": 0.08, "JAX jit": 1.0, "scikit-learn": 0.04},
    "64-32-10": {"PyTorch eager": 0.10, "JAX jit": 0.6, "scikit-learn": 0.06},
    "784-128-10": {"PyTorch eager": 0.60, "JAX jit": 0.6, "scikit-learn": 0.4, "floor": 1.25},
    "784-512-512-10": {"PyTorch eager": 0.90, "JAX jit": 0.85, "scikit-learn": 0.8, "floor": 1.25},
    "1024-4096-4096-1024": {"PyTorch eager": 0.92, "JAX jit": 0.85, "scikit-learn": 0.85, "floor": 1.08},
}
ADAM_ALLOWANCE = 1.3  # Adam may take so much more of each
# Others of ours against what they replace: at most this.
BACKEND_TARGETS = {"portable_bp torch": ("PyTorch eager", 1.0), "portable_bp jax": ("JAX jit", 1 / 1.5)}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def target(case: dict[str, Any], peer: str) -> float | None:
    """Return what our ratio to a peer should be, at most, or None where nothing was set.

    Parameters
    ----------
    case : dict
        One of the results' cases.
    peer : str
        Whom it is held against.
    """
    wanted = TARGETS.get(case["name"], {}).get(peer)
    return None if wanted is None else wanted * (ADAM_ALLOWANCE if case["optimizer"] == "adam" else 1.0)


def as_text(results: dict[str, Any]) -> str:
    """Return all that was measured, as a table.

    Parameters
    ----------
    results : dict
        As they are written to JSON.
    """
    lines = [_machine(results), ""]
    for case in results["cases"]:
        lines.append(f"{case['name']}, batches of {case['batch']}, {case['optimizer']}: microseconds, and ours / theirs")
        for kind, seconds in case["seconds"].items():
            lines.append(f"  {kind}")
            for name, took in seconds.items():
                low, middle, high = (1e6 * number for number in quartiles(took))
                told = f"    {name:<18}{middle:>12,.1f}  ({low:,.1f} to {high:,.1f})"
                if name != OURS and OURS in seconds:
                    low, middle, high = ratio(seconds[OURS], took)
                    told += f"   {middle:.3f} ({low:.3f} to {high:.3f})"
                    wanted = target(case, name) if kind == "step" else None
                    told += "" if wanted is None else f"   wanted {wanted:.3f}: {'met' if middle <= wanted else 'missed'}"
                lines.append(told)
        for name, reason in case["left_out"].items():
            lines.append(f"    {name} left out: {reason}")
    for name in ("memory_mb", "import_seconds", "install_mb", "growth_with_weights", "growth_with_samples"):
        if name in results:
            lines.append(f"{name}: {results[name]}")
    return "\n".join(lines)


def as_markdown(results: dict[str, Any]) -> str:
    """Return the README's table.

    Parameters
    ----------
    results : dict
        As they are written to JSON.
    """
    lines = [
        f"{_machine(results)} The time is of one step of training on NumPy, shuffling and gathering in; the ratios are ours to "
        "theirs, medians of rounds: less is better. What was aimed at is in brackets; where it was missed, the ratio is bold. "
        "The floor is the step's matrix products alone.",
        "",
        f"| network, batch, optimizer | a step | {' | '.join('to ' + told for told in PEERS.values())} |",
        f"| --- | --: |{' --: |' * len(PEERS)}",
    ]
    for case in results["cases"]:
        seconds = case["seconds"].get("step", {})
        if OURS not in seconds:
            continue
        cells = [_cell(case, seconds, peer) for peer in PEERS]
        took = _short(quartiles(seconds[OURS])[1])
        lines.append(f"| {case['name']}, {case['batch']}, {case['optimizer']} | {took} | {' | '.join(cells)} |")
    lines += ["", *_sentences(results)]
    return "\n".join(lines)


def write_readme(readme: Path, results: dict[str, Any]) -> None:
    """Put the table between its marks in the README.

    Parameters
    ----------
    readme : Path
        Where the marks are.
    results : dict
        As they are written to JSON.

    Raises
    ------
    ValueError
        If the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{readme} has no place for the table: put {BEGIN} and {END} where it should be.")
    made = f"{BEGIN}\n{as_markdown(results)}\n{END}"
    readme.write_text(pattern.sub(lambda _: made, text), encoding="utf-8")


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the ratios and the growth, and return where the pictures are.

    Parameters
    ----------
    results : dict
        As they are written to JSON.
    folder : Path
        Where they go.
    """
    from matplotlib.figure import Figure

    drawn = []
    if any("step" in case["seconds"] for case in results["cases"]):
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        cases = [case for case in results["cases"] if OURS in case["seconds"].get("step", {})]
        for number, (peer, told) in enumerate(PEERS.items()):
            places, middles, spans = [], [], []
            for at, case in enumerate(cases):
                if peer in case["seconds"]["step"]:
                    low, middle, high = ratio(case["seconds"]["step"][OURS], case["seconds"]["step"][peer])
                    places.append(at + 0.18 * (number - 1.5))
                    middles.append(middle)
                    spans.append((middle - low, high - middle))
            axes.errorbar(
                places, middles, yerr=list(zip(*spans, strict=True)), fmt="osD^"[number], capsize=3, label=f"to {told}"
            )
        axes.axhline(1.0, color="0.5", linewidth=1)
        axes.set(yscale="log", ylabel="our time / theirs (less is better)", title="One step of training on NumPy")
        axes.set_xticks(range(len(cases)), [f"{case['name']}\n{case['optimizer']}" for case in cases], fontsize=7)
        axes.legend(ncols=4, fontsize=8)
        axes.grid(axis="y", alpha=0.3)
        drawn.append(folder / "cpu-steps.png")
        figure.savefig(drawn[-1], dpi=120)
    if "growth_with_weights" in results:
        figure = Figure(figsize=(9, 4), layout="constrained")
        for axes, name, label in zip(
            figure.subplots(1, 2),
            ("growth_with_weights", "growth_with_samples"),
            ("weights, in batches of 64", "samples, 16-64-4"),
            strict=True,
        ):
            grown = results[name]
            axes.loglog(grown["sizes"], grown["seconds"], "o-", label="measured")
            axes.axhline(grown["overhead"], color="0.5", linestyle="--", label="overhead")
            axes.set(xlabel=label, ylabel="seconds a step" if "weights" in name else "seconds an epoch")
            axes.set_title(f"slope above the overhead: {grown['slope']:.2f}", fontsize=10)
            axes.legend()
            axes.grid(alpha=0.3)
        drawn.append(folder / "cpu-growth.png")
        figure.savefig(drawn[-1], dpi=120)
    return drawn


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"Measured on {results['date']}, on {machine['threads']} threads of {machine['processor']} "
        f"(Python {machine['python']}, {libraries}; NumPy's products by {machine['blas']}), float32."
    )


def _cell(case: dict[str, Any], seconds: dict[str, list[float]], peer: str) -> str:
    if peer not in seconds:
        return ""
    middle, wanted = ratio(seconds[OURS], seconds[peer])[1], target(case, peer)
    if wanted is None:
        return f"{middle:.2f}"
    return f"{middle:.2f} [{wanted:.2f}]" if middle <= wanted else f"**{middle:.2f}** [{wanted:.2f}]"


def _short(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f} ms" if seconds > 1e-3 else f"{1e6 * seconds:,.0f} us"


def _sentences(results: dict[str, Any]) -> list[str]:
    """Return the README's lines about everything else that was measured."""
    lines = []
    for name, (peer, wanted) in BACKEND_TARGETS.items():
        found = [
            f"{case['name']} {case['optimizer']} {ratio(case['seconds']['epoch'][name], case['seconds']['epoch'][peer])[1]:.2f}"
            for case in results["cases"]
            if {name, peer} <= case["seconds"].get("epoch", {}).keys()
        ]
        if found:
            lines.append(f"- An epoch on the {name.split()[1]} backend, to {PEERS[peer]} [{wanted:.2f}]: {', '.join(found)}.")
    if "memory_mb" in results:
        memory = results["memory_mb"]
        lines.append(
            f"- Peak memory of fitting 784-512-512-10 on 60,000 samples: {memory['portable_bp']:.0f} MB; scikit-learn: "
            f"{memory['scikit-learn']:.0f} MB; NumPy and the data alone: {memory['data alone']:.0f} MB."
        )
    if "import_seconds" in results:
        alone, asked = (results["import_seconds"][f"{name} to numpy"] for name in ("portable_bp", "portable_bp.Network"))
        lines.append(
            f"- `import portable_bp` takes {alone:.2f} times as long as `import numpy` [1.50], since it imports what it holds "
            f"when that is asked for; with `portable_bp.Network` asked for, {asked:.2f} times."
        )
    if "install_mb" in results:
        sizes = ", ".join(f"{name} {size:,.0f}" for name, size in results["install_mb"].items())
        lines.append(f"- What an installation brings with all that it needs, in MB: {sizes}.")
    for name, told in (("growth_with_weights", "weights"), ("growth_with_samples", "samples")):
        if name in results:
            grown = results[name]
            lines.append(
                f"- Cost against the number of {told}, from {grown['fitted_from']:,} to {grown['sizes'][-1]:,}: "
                f"log-log slope {grown['slope']:.2f} above the overhead [0.90 to 1.10]."
            )
    return lines
