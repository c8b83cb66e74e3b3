"""The ``portable-bp`` command, which runs one of its commands and turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import pydoc
import sys
from collections.abc import Sequence
from typing import Any

from portable_bp.backends import BackendUnavailableError, available_backends, compilation_state
from portable_bp.cli.check_gradient import add_check_gradient
from portable_bp.cli.example import add_example
from portable_bp.cli.explain import add_explain
from portable_bp.cli.messages import print_message, warnings_as_lines
from portable_bp.cli.tables import add_export, add_predict, add_train
from portable_bp.guide import PAGES, read_page
from portable_bp.training import DivergenceError
from portable_bp.version import __version__


def run(arguments: Sequence[str] | None) -> int:
    """Run one of the commands, and return its exit code."""
    options = _parser().parse_args(_joined_lists(sys.argv[1:] if arguments is None else arguments))
    try:
        with warnings_as_lines(quiet=not getattr(options, "progress", True)):
            return options.run(options)
    except (ValueError, ImportError, BackendUnavailableError, DivergenceError, MemoryError) as error:
        message = str(error) or "not enough memory: use a smaller table, or free some memory and try again."
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Without this, Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        reason = f"{error.filename} cannot be used ({error.strerror}): check its name." if error.filename else error.strerror
        message = reason or str(error)
    print_message(message)
    return 2


def _joined_lists(arguments: Sequence[str]) -> list[str]:
    """Join --input or --target and a list that begins with a minus sign, which argparse would take for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--input", "--target") and argument[:1] == "-" and argument[1:2] in "0123456789.":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="portable-bp", description="Train and apply dense neural networks on NumPy, CuPy, PyTorch or JAX."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_train(commands)
    add_predict(commands)
    add_export(commands)
    _add_info(commands)
    add_example(commands)
    add_check_gradient(commands)
    add_explain(commands)
    _add_guide(commands)
    return parser


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="list the backends: which are usable here, and why the others are not")
    info.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    print(f"portable_bp {__version__}")
    for backend in available_backends():
        version = backend.version or "-"
        state = f"usable on {', '.join(backend.devices)}" if backend.usable else f"not usable: {backend.reason}"
        print(f"{backend.name:<8}{version:<16}{state}")
    print(f"steps of long trainings on numpy: {compilation_state()}")
    return 0


def _add_guide(commands: Any) -> None:
    guide = commands.add_parser("guide", help="list the pages of the guide, or show one")
    guide.add_argument("page", nargs="?", metavar="PAGE", help=f"one of {', '.join(PAGES)} (default: list them)")
    guide.set_defaults(run=_guide)


def _guide(options: argparse.Namespace) -> int:
    if options.page:
        pydoc.pager(read_page(options.page).text)  # prints plain text if the output is not a terminal
        return 0
    print("The guide. Read a page with: portable-bp guide PAGE\n")
    width = max(map(len, PAGES))
    for page in map(read_page, PAGES):
        print(f"  {page.name:<{width}}  {page.title}. {page.summary}")
    return 0
