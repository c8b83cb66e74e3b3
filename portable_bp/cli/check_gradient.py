"""The command ``check-gradient``: a model's gradient, compared with finite differences."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from portable_bp.algorithm.choices import resolve_loss
from portable_bp.algorithm.losses import LOSSES
from portable_bp.cli import arguments
from portable_bp.cli.models import load_single
from portable_bp.inspection.names import piece_name
from portable_bp.network import check_gradient


def add_check_gradient(commands: Any) -> None:
    """Add the command ``check-gradient``."""
    check = commands.add_parser(
        "check-gradient",
        help="compare a model's gradient with finite differences",
        description="Compare the gradient that backpropagation computes for a model with finite differences of its error, "
        "layer by layer, for random inputs from a standard normal distribution and random targets that suit the loss. The "
        "exit code is 1 if they differ.",
        epilog="Example: portable-bp check-gradient model.safetensors --samples 10",
    )
    add = check.add_argument
    add("model", metavar="MODEL", help="a model file")
    add("--samples", type=arguments.count, default=20, metavar="NUMBER", help="number of random samples (default: 20)")
    add("--seed", type=arguments.whole, default=0, metavar="NUMBER", help="seed of all random numbers (default: 0)")
    add(
        "--loss",
        choices=list(LOSSES),
        metavar="NAME",
        help="a loss such as squared_error (default: the one that the model was trained with, else squared_error)",
    )
    check.set_defaults(run=_check_gradient)


def _check_gradient(options: argparse.Namespace) -> int:
    network = load_single(options.model, "numpy")
    loss = resolve_loss(options.loss or network.loss_function or "squared_error")
    generator = np.random.default_rng(options.seed)
    inputs = generator.normal(size=(options.samples, network.sizes[0]))
    target = _draw_target(loss, generator, (options.samples, network.sizes[-1]))
    check = check_gradient(network, inputs, target, loss, options.seed)
    samples = "1 random sample" if options.samples == 1 else f"{options.samples:,} random samples"
    print(f"{network!r}; {piece_name(loss)} of {samples}, in float64.\n\n{check}")
    return 0 if check.passed else 1


def _draw_target(loss: Any, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw targets that suit a loss: classes, 0 or 1, counts, or any numbers."""
    if getattr(loss, "takes_classes", False):
        return generator.integers(shape[1], size=shape[0])
    bounds = getattr(loss, "target_bounds", (-math.inf, math.inf))
    if bounds == (0.0, 1.0):
        return generator.integers(2, size=shape).astype(float)
    return generator.poisson(2.0, size=shape).astype(float) if bounds[0] == 0.0 else generator.normal(size=shape)
