"""Demonstration: the article's worked example, its truth table learned, and handwritten digits classified."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import portable_bp as bp
from portable_bp.cli import main as portable_bp_command
from portable_bp.common.lookup import require
from portable_bp.inspection import article


def learn_swap(backend: str) -> bool:
    """Train the article's network to swap its inputs, print the four rows, and return whether all outputs are within 0.1."""
    network = bp.Network([2, 4, 3, 2], "sigmoid", "sigmoid", backend=backend, seed=1)
    network.fit(article.SWAP_INPUTS, article.SWAP_TARGETS, optimizer="adam", learning_rate=0.05, epochs=1500, progress=True)
    outputs = network.backend.to_numpy(network.predict(article.SWAP_INPUTS))
    for inputs, target, out in zip(article.SWAP_INPUTS, article.SWAP_TARGETS, outputs, strict=True):
        print(f"  in {inputs[0]:.0f} {inputs[1]:.0f}   out {out[0]:.3f} {out[1]:.3f}   target {target[0]:.0f} {target[1]:.0f}")
    largest_error = np.abs(outputs - np.array(article.SWAP_TARGETS)).max()
    print(f"  Largest error: {largest_error:.3f} (required: at most 0.1)\n")
    return bool(largest_error <= 0.1)


def learn_digits(backend: str, picture: Path) -> bool:
    """Train a 64-64-10 network on scikit-learn's digits, draw its losses, and return whether it is 97 % accurate."""
    images, digits = require("sklearn.datasets", "sklearn").load_digits(return_X_y=True)
    split = require("sklearn.model_selection", "sklearn").train_test_split
    x, held_out_x, y, held_out_y = split(images / 16.0, digits, test_size=0.2, random_state=0, stratify=digits)

    network = bp.Network(
        [64, 64, 10], activation="relu", output_activation="identity", initializer="he_uniform", backend=backend, seed=0
    )
    epochs, batch_size = 60, 32
    steps = epochs * -(-len(x) // batch_size)
    start = time.perf_counter()
    history = network.fit(
        x,
        y,
        loss="cross_entropy",
        optimizer="adam",
        learning_rate=bp.schedules.Cosine(0.003, over=steps),
        epochs=epochs,
        batch_size=batch_size,
        validation_data=(held_out_x, held_out_y),
        progress=True,
        dropout=0.2,
    )
    seconds = time.perf_counter() - start
    scores = network.backend.to_numpy(network.predict(held_out_x))
    accuracy = float(np.mean(scores.argmax(axis=-1) == held_out_y))
    print(f"  Accuracy on {len(held_out_y)} held-out digits: {accuracy:.1%} (required: 97 %), trained in {seconds:.1f} s")
    draw_losses(history, picture)
    print(f"  Loss curve: {picture}")
    return accuracy >= 0.97


def draw_losses(history: bp.History, picture: Path) -> None:
    """Draw the training and validation loss of every epoch."""
    figure_class: Any = require("matplotlib.figure", "plot").Figure
    figure = figure_class(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    epochs = range(1, len(history.loss) + 1)
    axes.semilogy(epochs, history.loss, label="training")
    axes.semilogy(epochs, history.validation_loss, label="held out")
    axes.set(title="Handwritten digits, 64-64-10", xlabel="epoch", ylabel="cross-entropy, nats")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=120)


def main() -> int:
    """Run the three parts and return 0 if all of them succeed."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--backend", default="numpy", help="numpy, cupy, torch, jax, torch:cuda:0, ... (default: numpy)")
    parser.add_argument(
        "--picture", type=Path, default=Path("digits-loss.png"), help="the picture to write (default: digits-loss.png)"
    )
    options = parser.parse_args()
    try:
        backend = bp.select_backend(options.backend)
    except (ValueError, ImportError, bp.BackendUnavailableError) as error:
        parser.error(str(error))

    print(f"1. The article's worked example, on {backend.name}\n")
    succeeded = portable_bp_command(["example", "--decimals", "4", "--backend", options.backend]) == 0
    print("\n2. The article's truth table: learning to swap the inputs\n")
    succeeded &= learn_swap(options.backend)
    print("3. Handwritten digits\n")
    succeeded &= learn_digits(options.backend, options.picture)
    print("\nAll three parts succeeded." if succeeded else "\nA part failed: see above.")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
