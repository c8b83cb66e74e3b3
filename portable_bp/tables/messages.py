"""Text that messages share: lists of names and values, shortened where they would be long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portable_bp.common.lookup import MAX_NAMES

MAX_VALUE_LENGTH, MAX_OPTION_LENGTH = 60, 400


def quoted(names: Sequence[Any]) -> str:
    """Quote names or values, where None is a missing value, and join the first of them with commas."""
    return listed(["a missing value" if name is None else shortened(name) for name in names[:MAX_NAMES]], len(names))


def listed(parts: Sequence[str], count: int | None = None) -> str:
    """Join the first parts with commas, and say how many more there are; ``count`` is the total, if not all are given."""
    more = (len(parts) if count is None else count) - MAX_NAMES
    shown = ", ".join(parts[:MAX_NAMES])
    return shown if more <= 0 else f"{shown} and {more:,} more"


def shortened(value: Any) -> str:
    """Write a value of a table: numbers as they are, text and dates in quotes, at most ``MAX_VALUE_LENGTH`` characters."""
    text = repr(value if isinstance(value, int | float) else str(value))
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 3]}..."


def counted(count: int, noun: str) -> str:
    """Write a count and its noun, such as "1 row" and "1,200 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def ignore_option(names: Sequence[str]) -> str:
    """Write the option that leaves out some columns; their names are not repeated where there are many, or long ones."""
    given = ",".join(names)
    return f"--ignore {given!r}" if len(names) <= MAX_NAMES and len(given) <= MAX_OPTION_LENGTH else "--ignore"
