"""The command ``example``: the article's example, compared with its printed values."""

from __future__ import annotations

import argparse
from typing import Any

from portable_bp.backends import available_backends
from portable_bp.cli import arguments
from portable_bp.inspection import article
from portable_bp.inspection.example import article_table, named_numbers
from portable_bp.network import Network


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
