"""The ``portable-bp`` command: what is here, and the article's example."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from portable_bp.backends import BackendUnavailableError, available_backends
from portable_bp.inspection import article, article_table, named_numbers
from portable_bp.network import Network
from portable_bp.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without them, those of the process.

    Returns
    -------
    int
        The exit code: 0 where all went well, 1 where the example disagrees with the article, 2 for a wrong call.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen)
    except (ValueError, ImportError, BackendUnavailableError) as error:
        print(f"portable-bp: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portable-bp", description="Backpropagation on the array library that you have.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="the backends found here, and why the others are not usable")
    info.set_defaults(run=_info)
    example = commands.add_parser("example", help="the article's worked example, beside what the article prints")
    example.add_argument(
        "--decimals", type=_decimals, help="round every result to so many decimals and carry it on; the article does with 4"
    )
    example.add_argument("--backend", help="one backend, such as torch:cuda:0; without it, every usable one")
    example.set_defaults(run=_example)
    return parser


def _decimals(given: str) -> int:
    decimals = int(given)
    if not 0 <= decimals <= 15:
        raise argparse.ArgumentTypeError(f"{decimals} is not between 0 and 15")
    return decimals


def _info(chosen: argparse.Namespace) -> int:
    print(f"portable_bp {__version__}")
    for backend in available_backends():
        version = backend.version or "-"
        state = f"usable on {', '.join(backend.devices)}" if backend.usable else f"not usable: {backend.reason}"
        print(f"{backend.name:<8}{version:<16}{state}")
    return 0


def _example(chosen: argparse.Namespace) -> int:
    backends = [chosen.backend] if chosen.backend else [row.name for row in available_backends() if row.usable]
    columns = {}
    for backend in backends:
        network = Network.from_weights(article.WEIGHTS, backend=backend, dtype="float64")
        trace = network.trace(article.INPUTS, article.TARGET, decimals=chosen.decimals)
        columns[backend] = dict(named_numbers(trace, network.backend.to_numpy))
    table, agrees = article_table(columns, chosen.decimals)
    carried = "nothing rounded" if chosen.decimals is None else f"every result rounded to {chosen.decimals} and carried on"
    print(f"The article's network 2-4-3-2, inputs {article.INPUTS}, target {article.TARGET}; {carried}.\n\n{table}\n")
    if chosen.decimals in (None, 4):
        met = "to its last digit" if chosen.decimals else "within one of its last digit, since it carries rounded values"
        print(f"Every number that the article prints is met {met}, but for its slip." if agrees else "Not all of it is met.")
    return 0 if agrees else 1
