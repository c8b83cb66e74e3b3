"""Draw the pictures of README.md and of the guide's populations: .venv/bin/python scripts/picture.py."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import portable_bp as bp
from portable_bp.inspection import article

PICTURE = Path(__file__).parent / "results" / "picture.png"
ENSEMBLE = PICTURE.with_name("ensemble.png")
RED, BLUE = "#b2182b", "#2166ac"


def draw_example(axes: Any) -> None:
    """Draw the article's network with its nets, outs and deltas."""
    network = bp.Network.from_weights(article.WEIGHTS, backend="numpy", dtype="float64")
    bp.draw(network, network.trace(article.INPUTS, article.TARGET), axes)
    finish(axes, "The article's example: the net, out and delta of each neuron")


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


def draw_ensemble(axes: Any) -> None:
    """Train an ensemble on bootstrap samples of noisy data and draw its mean and the spread of its members."""
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.uniform(-3.0, -0.5, (60, 1)), generator.uniform(1.0, 3.0, (60, 1))])
    y = np.sin(2.0 * x[:, 0]) + 0.5 * x[:, 0] + generator.normal(scale=0.2, size=120)
    draws = generator.multinomial(120, np.full(120, 1 / 120), size=50)
    ensemble = bp.Network([1, 32, 32, 1], "tanh", backend="numpy", seed=0, population=50)
    ensemble.fit(x, y, optimizer="adam", learning_rate=0.01, epochs=400, sample_weight=draws)
    grid = np.linspace(-3.6, 3.6, 300)
    outs = ensemble.predict(grid[:, None])[..., 0]
    low, high = np.quantile(outs, [0.05, 0.95], axis=0)
    axes.fill_between(grid, low, high, color=BLUE, alpha=0.2, linewidth=0.0, label="nine in ten members")
    axes.plot(grid, outs.mean(axis=0), color=BLUE, label="mean of 50 members")
    axes.plot(grid, np.sin(2.0 * grid) + 0.5 * grid, color="0.2", linestyle="--", linewidth=1.0, label="without noise")
    axes.plot(x[:, 0], y, "o", color=RED, markersize=3.0, label="data")
    axes.set(xlabel="x", ylabel="y", xlim=(grid[0], grid[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def finish(axes: Any, title: str) -> None:
    """Give axes a title and no frame."""
    axes.set_title(title, fontsize=11)
    axes.axis("off")


if __name__ == "__main__":
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.85, 1.0])
    draw_example(left)
    draw_spirals(right)
    figure.savefig(PICTURE, dpi=100, pil_kwargs={"optimize": True})
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    draw_ensemble(figure.subplots())
    figure.savefig(ENSEMBLE, dpi=100, pil_kwargs={"optimize": True})
