"""The commands that compare with other computations: ``example`` and ``check-gradient``."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from portable_bp.algorithm.choices import resolve_loss
from portable_bp.algorithm.losses import LOSSES
from portable_bp.backends import available_backends
from portable_bp.cli import arguments
from portable_bp.cli.models import load_single
from portable_bp.inspection import article
from portable_bp.inspection.example import article_table, named_numbers
from portable_bp.inspection.names import piece_name
from portable_bp.network import Network, check_gradient


def add_example(commands: Any) -> None:
    """Add the command ``example``."""
    example = commands.add_parser("example", help="compute the article's worked example and compare with its printed values")
    example.add_argument(
        "--decimals",
        type=arguments.decimals,
        help="round every result to this many decimals before using it further; the article uses 4",
    )
    example.add_argument("--backend", help="a backend such as torch:cuda:0 (default: every usable backend)")
    example.set_defaults(run=_example)


def _example(options: argparse.Namespace) -> int:
    backends = [options.backend] if options.backend else [row.name for row in available_backends() if row.usable]
    columns = {}
    for backend in backends:
        network = Network.from_weights(article.WEIGHTS, backend=backend, dtype="float64")
        trace = network.trace(article.INPUTS, article.TARGET, decimals=options.decimals)
        columns[backend] = dict(named_numbers(trace, network.backend.to_numpy))
    table, agrees = article_table(columns, options.decimals)
    rounding = "no rounding" if options.decimals is None else f"every result rounded to {options.decimals} decimals"
    print(f"The article's network 2-4-3-2, inputs {article.INPUTS}, target {article.TARGET}; {rounding}.\n\n{table}\n")
    if options.decimals in (None, 4):
        print(_compare_with_article(agrees, exact=options.decimals is None))
    print("Every step with its formula: portable-bp explain. As a page in the browser: portable-bp explain --open")
    return 0 if agrees else 1


def _compare_with_article(agrees: bool, exact: bool) -> str:
    if not agrees:
        return "Some values differ from the article's: see the marked lines."
    if exact:
        return "All printed values match within one unit of their last digit (the article rounds), except one known misprint."
    return "All printed values match, except one known misprint."


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
