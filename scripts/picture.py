"""Draw the picture at the top of README.md: .venv/bin/python scripts/picture.py."""

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import portable_bp as bp
from portable_bp.inspection import article

PICTURE = Path(__file__).parent / "results" / "picture.png"
RED, BLUE = "#b2182b", "#2166ac"


def draw_example(axes: Any) -> None:
    """Draw the article's network: each neuron with its net, out and delta, each weight with its gradient."""
    network = bp.Network.from_weights(article.WEIGHTS, backend="numpy", dtype="float64")
    trace = network.trace(article.INPUTS, article.TARGET)
    positions = [[(3.0 * layer, (size - 1) / 2.0 - row) for row in range(size)] for layer, size in enumerate(network.sizes)]
    largest = max(float(np.abs(trace[letter].gradient.weight).max()) for letter in trace)
    for below, above, letter in zip(positions, positions[1:], trace, strict=False):
        for (row, column), slope in np.ndenumerate(trace[letter].gradient.weight):
            (x_below, y_below), (x_above, y_above) = below[column], above[row]
            width = 0.6 + 5.0 * math.sqrt(abs(slope) / largest)
            axes.plot([x_below, x_above], [y_below, y_above], color=BLUE if slope < 0 else RED, linewidth=width, alpha=0.45)
    for (x, y), number, value in zip(positions[0], (1, 2), article.INPUTS, strict=True):
        draw_neuron(axes, (x, y), value, f"$a_{number}$")
    for layer, letter in zip(positions[1:], trace, strict=True):
        for number, ((x, y), net, out, delta) in enumerate(zip(layer, *trace[letter][:3], strict=True), start=1):
            draw_neuron(axes, (x, y), out, f"${letter}_{number}$ net {net:.4f}, δ {delta:+.4f}")
    axes.set(xlim=(-0.6, 10.1), ylim=(-2.1, 1.9))
    finish(axes, "The article's example: out in each neuron, ∂E/∂w as the width of each line (red +, blue −)")


def draw_neuron(axes: Any, position: tuple[float, float], out: float, label: str) -> None:
    """Draw a circle with a neuron's out, and its other numbers below."""
    x, y = position
    color = matplotlib.colormaps["YlGn"](0.15 + 0.6 * out)
    axes.plot(x, y, "o", markersize=34, markerfacecolor=color, markeredgecolor="0.25", zorder=3)
    axes.text(x, y, f"{out:.4f}" if out % 1 else f"{out:.0f}", ha="center", va="center", fontsize=8.5, zorder=4)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    axes.text(x, y - 0.45, label, ha="center", va="center", fontsize=8, zorder=4, bbox=box)


def draw_spirals(axes: Any) -> None:
    """Train a network to tell two spirals apart and draw its output over the plane."""
    generator = np.random.default_rng(0)
    angle = 3.5 * math.pi * np.sqrt(generator.uniform(0.02, 1.0, 300))
    arm = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / (3.5 * math.pi)
    x = np.concatenate([arm, -arm]) + generator.normal(scale=0.015, size=(600, 2))
    y = np.repeat([0.0, 1.0], 300)
    network = bp.Network([2, 64, 64, 1], "tanh", "sigmoid", backend="numpy", seed=0)
    network.fit(x, y, loss="binary_cross_entropy", optimizer="adam", learning_rate=0.005, epochs=600, batch_size=50)
    ticks = np.linspace(-1.15, 1.15, 300)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    probability = network.predict(plane).reshape(300, 300)
    axes.imshow(probability, extent=(-1.15, 1.15) * 2, origin="lower", cmap="RdBu", vmin=-0.6, vmax=1.6)
    axes.contour(ticks, ticks, probability, levels=[0.5], colors="white", linewidths=1.5)
    for arm, color in ((0.0, RED), (1.0, BLUE)):
        axes.scatter(*x[y == arm].T, s=12, c=color, edgecolors="white", linewidths=0.4)
    finish(axes, "Two spirals, separated by a 2-64-64-1 network")


def finish(axes: Any, title: str) -> None:
    """Give axes a title and no frame."""
    axes.set_title(title, fontsize=11)
    axes.axis("off")


if __name__ == "__main__":
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.85, 1.0])
    draw_example(left)
    draw_spirals(right)
    figure.savefig(PICTURE, dpi=100, pil_kwargs={"optimize": True})
