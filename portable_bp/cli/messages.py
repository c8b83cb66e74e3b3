"""Lines for the user on the error stream, beside what a command prints."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any


def print_message(message: str) -> None:
    """Print a line for the user."""
    print(f"portable-bp: {message}", file=sys.stderr)


@contextlib.contextmanager
def warnings_as_lines(quiet: bool) -> Iterator[None]:
    """Print each warning once, as one line without source positions; print none if quiet."""
    printed = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        line = " ".join(str(message).split())
        if not quiet and line not in printed:
            printed.add(line)
            print_message(line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
