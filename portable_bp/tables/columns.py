"""The columns of a table: what they hold, how each becomes inputs of a network, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.tables.messages import quoted

# The squares of such numbers, and a float32 output times such a scale, are finite in float64.
MAX_NUMBER = 1e100
# Numbers whose relative difference is smaller are one number, rounded differently.
ROUNDING = 4 * np.finfo(float).eps
# Numbers that are converted at a time: 8 MiB of float64.
MAX_CONVERTED = 2**20
NUMERIC_KINDS = ("number", "boolean")


def kind_of(dtype: Any) -> str:
    """Return what a polars dtype holds: "number", "boolean", "text", "missing" if it is Null, and "" for any other."""
    kinds = {"Boolean": "boolean", "String": "text", "Null": "missing"}
    return "number" if dtype.is_numeric() else kinds.get(str(dtype), "")


def iter_numbers(frame: Any, names: Sequence[str]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of ``names`` and these numeric columns, as float64 of shape (rows, columns); NaN is a missing value."""
    width = max(1, MAX_CONVERTED // max(frame.height, 1))
    for start in range(0, len(names), width):
        span = slice(start, min(start + width, len(names)))
        # Indexing costs less per column than an expression in select.
        yield span, frame[names[span]].to_numpy().astype(np.float64, copy=False)


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, or booleans as 0 and 1: an input that is standardized, and 0 (the mean) where the value is missing."""

    name: str
    kind: str  # "number" or "boolean"
    mean: float
    scale: float
    low: float | None = None  # the bounds of the training rows; older models do not have them
    high: float | None = None
    width = 1

    def describe(self) -> str:
        """Say how the column becomes an input."""
        values = ", with 1 for true and 0 for false" if self.kind == "boolean" else ""
        return f"({self.name!r} - {self.mean!r}) / {self.scale!r}{values}; 0 where it is missing"


@dataclass(frozen=True)
class CategoryColumn:
    """Text, one-hot encoded: all inputs are 0 where the text is none of the categories."""

    name: str
    categories: tuple[str | None, ...]  # None, the category of missing values, comes first if it is there
    kind = "text"

    @property
    def width(self) -> int:
        """The number of inputs."""
        return len(self.categories)

    def describe(self) -> str:
        """Say how the column becomes inputs."""
        return f"1 for the category of {self.name!r} and 0 for the others: {quoted(self.categories)}"


@dataclass(frozen=True)
class LeftOut:
    """A column of the training table that is not an input; a table to predict need not have it."""

    name: str
    reason: str  # "ignored" by the user, an "index" of the rows, or "constant" in the training rows, which includes empty
    kind: str = ""  # of a constant column, as kind_of gives it; "" for dates
    value: Any = None  # of a constant column, dates as text; None if it had no value
