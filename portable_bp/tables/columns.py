"""The columns of a table, and how those of each kind become the numbers that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Squares of such numbers, and what float32 gives times such a scale, are finite in float64.
LARGEST = 1e100
# Beyond it float32 would soon be infinite.
FARTHEST = 1e30
MOST_NAMED = 20


def find_kind(series: Any) -> str:
    """Return what a polars series holds: "number", "boolean", "text", "missing" where it is nothing, or "" for all else."""
    plain = {"Boolean": "boolean", "String": "text", "Null": "missing"}
    return "number" if series.dtype.is_numeric() else plain.get(str(series.dtype), "")


def quoted(names: Sequence[Any]) -> str:
    """Return names for a sentence, with quotes and commas; of very many, the first ones. None is a missing value."""
    told = ", ".join("a missing value" if name is None else repr(name) for name in names[:MOST_NAMED])
    return told if len(names) <= MOST_NAMED else f"{told} and {len(names) - MOST_NAMED:,} more"


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
        In its own units. A column of one number alone has a scale of 1.
    """

    name: str
    kind: str
    mean: float
    scale: float
    width = 1

    def prepare(self, series: Any) -> np.ndarray:
        """Return the numbers that the network takes, float64 of shape (rows, 1).

        Raises
        ------
        ValueError
            If one is too far away for float32.
        """
        scaled = (series.cast(float).fill_null(self.mean).to_numpy() - self.mean) / self.scale
        if (np.abs(scaled) > FARTHEST).any():
            raise ValueError(
                f"column {self.name!r} holds {series[int(np.abs(scaled).argmax())]!r}, too far from the mean of {self.mean!r} "
                f"and the standard deviation of {self.scale!r} that were trained with: correct that cell, or clear it."
            )
        return scaled[:, None]

    def tell(self) -> str:
        """Return in words what `prepare` does."""
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

    def prepare(self, series: Any) -> np.ndarray:
        """Return the numbers that the network takes, float64 of shape (rows, categories)."""
        text = series.cast(str)
        return np.column_stack([text.eq_missing(category).to_numpy() for category in self.categories]).astype(np.float64)

    def tell(self) -> str:
        """Return in words what `prepare` does."""
        return f"1 for what {self.name!r} is, and 0 for the others, of {quoted(self.categories)}"


def learn_column(series: Any) -> NumberColumn | CategoryColumn:
    """Return how a column becomes numbers, learned from the rows that a network is trained with."""
    if find_kind(series) == "text":
        return CategoryColumn(series.name, tuple(series.unique().sort().to_list()))
    return NumberColumn(series.name, find_kind(series), *measure_spread(series))


def measure_spread(series: Any) -> tuple[float, float]:
    """Return the mean and the standard deviation of numbers or booleans, or 1 where that is nothing."""
    numbers = series.cast(float).drop_nulls().to_numpy()
    # The mean of equal numbers may differ from them in its last digit.
    if not numbers.size or numbers.min() == numbers.max():
        return (float(numbers[0]) if numbers.size else 0.0), 1.0
    scale = float(numbers.std())
    return float(numbers.mean()), scale if scale >= 1.0 / LARGEST else 1.0
