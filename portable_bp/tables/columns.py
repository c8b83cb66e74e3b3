"""The columns of a table: what they hold, how each becomes inputs of a network, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Squares of such numbers, and what float32 gives times such a scale, are finite in float64.
LARGEST = 1e100
MOST_NAMED, LONGEST_VALUE, LONGEST_GIVEN = 20, 60, 400
# Numbers that differ by less, to their size, are one number that was rounded differently.
ROUNDING = 4 * np.finfo(float).eps
# Numbers of a table that are looked at together: 8 MiB of float64.
MOST_AT_ONCE = 2**20
NUMBERS = ("number", "boolean")


def find_kind(series: Any) -> str:
    """Return what a polars series holds: "number", "boolean", "text", "missing" where it is nothing, or "" for all else."""
    return kind_of(series.dtype)


def kind_of(dtype: Any) -> str:
    """Return what a polars series of a dtype holds, as `find_kind` does."""
    plain = {"Boolean": "boolean", "String": "text", "Null": "missing"}
    return "number" if dtype.is_numeric() else plain.get(str(dtype), "")


def quoted(names: Sequence[Any]) -> str:
    """Return names for a sentence, with quotes and commas; of very many, the first ones. None is a missing value."""
    return listed(["a missing value" if name is None else shortened(name) for name in names[:MOST_NAMED]], len(names))


def listed(parts: Sequence[str], count: int | None = None) -> str:
    """Return parts of a sentence with commas between them; of very many, the first ones and how many there are besides."""
    more = (len(parts) if count is None else count) - MOST_NAMED
    told = ", ".join(parts[:MOST_NAMED])
    return told if more <= 0 else f"{told} and {more:,} more"


def shortened(value: Any) -> str:
    """Return a value of a table as a sentence has it: numbers as they are, dates and text with quotes."""
    text = repr(value if isinstance(value, int | float) else str(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def advise_ignore(names: Sequence[str]) -> str:
    """Return how some columns are left out; very many, and long names, are not given once more."""
    given = ",".join(names)
    return f"--ignore {given!r}" if len(names) <= MOST_NAMED and len(given) <= LONGEST_GIVEN else "--ignore"


def iter_numbers(frame: Any, names: Sequence[str]) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield columns of numbers and booleans as float64, NaN where they are missing: some columns at a time, and which."""
    width = max(1, MOST_AT_ONCE // max(frame.height, 1))
    for start in range(0, len(names), width):
        span = slice(start, min(start + width, len(names)))
        # Expressions, as select takes them, cost more a column than its numbers do.
        yield span, frame[names[span]].to_numpy().astype(np.float64, copy=False)


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, and booleans as 0 and 1: less their mean, by their standard deviation; one that is missing is the mean.

    Parameters
    ----------
    name : str
        Of the column.
    kind : {"number", "boolean"}
        What it holds.
    mean, scale : float
        In its own units.
    low, high : float, optional
        The smallest and the largest number that was trained with; models of older versions do not have them.
    """

    name: str
    kind: str
    mean: float
    scale: float
    low: float | None = None
    high: float | None = None
    width = 1

    def tell(self) -> str:
        """Return in words how it becomes an input."""
        read = ", with 1 for true and 0 for false" if self.kind == "boolean" else ""
        return f"({self.name!r} - {self.mean!r}) / {self.scale!r}, and 0 where it is missing{read}"


@dataclass(frozen=True)
class CategoryColumn:
    """Text as one 1 among zeros; zeros alone for what is none of the categories.

    Parameters
    ----------
    name : str
        Of the column.
    categories : tuple of str or None
        One an input; None, which is first where it is there, is that of missing values.
    """

    name: str
    categories: tuple[str | None, ...]
    kind = "text"

    @property
    def width(self) -> int:
        """How many inputs it makes."""
        return len(self.categories)

    def tell(self) -> str:
        """Return in words how it becomes inputs."""
        return f"1 for what {self.name!r} is, and 0 for the others, of {quoted(self.categories)}"


@dataclass(frozen=True)
class LeftOut:
    """A column that is no input: a table to predict may have it or not, whatever it holds.

    Parameters
    ----------
    name : str
        Of the column.
    reason : {"ignored", "index", "constant"}
        Whether the user said so, it is an index of the rows, or it held one value, or none, in all rows trained with.
    kind : str
        What a constant column held, as `find_kind` says it; "" for dates.
    value : str, int, float, bool or None
        The one value, dates as text; None where there was none.
    """

    name: str
    reason: str
    kind: str = ""
    value: Any = None
