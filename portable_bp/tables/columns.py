"""A column of a table, and how each kind of it becomes numbers that a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portable_bp.tables.words import quoted

# Beyond it float32 would soon be infinite.
FARTHEST = 1e30
# Numbers of such sizes can be standardized, and brought back from float32, without becoming infinite.
LARGEST, SMALLEST_SCALE, LARGEST_SCALE = 1e300, 1e-300, 1e250


class Column(NamedTuple):
    """What a table has under one name.

    Attributes
    ----------
    kind : {"number", "boolean", "text", "missing"}
        What it holds; "missing" where it holds nothing.
    values : array, shape (rows,)
        Text as objects, with None where it is missing; else float64, with NaN, and 0 and 1 for booleans.
    """

    kind: str
    values: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Which values are missing: an array of bool, of shape (rows,)."""
        if self.kind == "text":
            return np.array([value is None for value in self.values], dtype=bool)
        return np.isnan(self.values)


def take_rows(table: Mapping[str, Column], rows: Any) -> dict[str, Column]:
    """Return some rows of every column.

    Parameters
    ----------
    table : mapping of str to Column
        By name.
    rows : slice, or array of int or bool
        Which.
    """
    return {name: Column(column.kind, column.values[rows]) for name, column in table.items()}


@dataclass(frozen=True)
class NumberColumn:
    """Numbers less their mean, by their standard deviation; one that is missing is the mean.

    Parameters
    ----------
    name : str
        Of the column.
    mean, scale : float
        In its own units. A column of one number alone has a scale of 1.
    """

    name: str
    mean: float
    scale: float
    kind = "number"
    width = 1

    def prepare(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers that the network takes.

        Parameters
        ----------
        values : array of float64, shape (rows,)
            In the column's own units.

        Returns
        -------
        array of float64, shape (rows, 1)
            Standardized.

        Raises
        ------
        ValueError
            If one is too far away for float32.
        """
        with np.errstate(over="ignore"):
            scaled = (np.where(np.isnan(values), self.mean, values) - self.mean) / self.scale
        if scaled.size and not np.abs(scaled).max() <= FARTHEST:
            farthest = float(values[np.abs(scaled).argmax()])
            raise ValueError(
                f"column {self.name!r} holds {farthest!r}, too far from the mean of {self.mean!r} and the standard deviation "
                f"of {self.scale!r} that were trained with: correct that cell, or clear it."
            )
        return scaled[:, None]


@dataclass(frozen=True)
class BooleanColumn:
    """Booleans as 0 and 1; one that is missing is the share of those that are true.

    Parameters
    ----------
    name : str
        Of the column.
    mean : float
        The share of true.
    """

    name: str
    mean: float
    kind = "boolean"
    width = 1

    def prepare(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers that the network takes.

        Parameters
        ----------
        values : array of float64, shape (rows,)
            0 and 1, and NaN.

        Returns
        -------
        array of float64, shape (rows, 1)
            Without NaN.
        """
        return np.where(np.isnan(values), self.mean, values)[:, None]


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

    def prepare(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers that the network takes.

        Parameters
        ----------
        values : array of object, shape (rows,)
            Text, and None.

        Returns
        -------
        array of float64, shape (rows, categories)
            0 and 1.
        """
        places = {category: place for place, category in enumerate(self.categories)}
        found = np.array([places.get(value, -1) for value in values], dtype=np.intp)
        hot = np.zeros((len(values), self.width))
        (known,) = np.nonzero(found >= 0)
        hot[known, found[known]] = 1.0
        return hot


def learn_column(name: str, column: Column) -> NumberColumn | BooleanColumn | CategoryColumn:
    """Return how a column becomes numbers, learned from the rows that a network is trained with.

    Parameters
    ----------
    name : str
        Of the column.
    column : Column
        Those rows.

    Raises
    ------
    ValueError
        If its numbers are too large to standardize.
    """
    if column.kind == "text":
        held = set(column.values.tolist())
        return CategoryColumn(name, (*([None] if None in held else []), *sorted(held - {None})))
    present = column.values[~np.isnan(column.values)]
    if column.kind == "boolean":
        return BooleanColumn(name, float(present.mean()) if present.size else 0.0)
    return NumberColumn(name, *measure_spread(name, present))


def measure_spread(name: str, numbers: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation, or 1 where that is nothing.

    Parameters
    ----------
    name : str
        Of the column, for the message.
    numbers : array of float64, shape (rows,)
        Without NaN; there may be none.

    Raises
    ------
    ValueError
        If they are too large.
    """
    if not numbers.size or numbers.min() == numbers.max():
        return (float(numbers[0]) if numbers.size else 0.0), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(numbers.mean()), float(numbers.std())
    if not (abs(mean) <= LARGEST and scale <= LARGEST_SCALE):
        raise ValueError(
            f"column {quoted([name])} holds numbers up to {np.abs(numbers).max():g}, which are too large to standardize: "
            "correct them, or leave the column out with --ignore."
        )
    return mean, scale if scale >= SMALLEST_SCALE else 1.0
