"""A table as the inputs of a network: small until it is asked for rows, in which every category has a number of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.backends import Rows
from portable_bp.common.lookup import require
from portable_bp.tables.columns import CategoryColumn, NumberColumn, iter_numbers

# Beyond it float32 would soon be infinite.
LIMIT = 1e30
# Of so few rows Python is faster than polars is to begin with a column.
FEW = 1000
# Inputs that are made at once, all rows of them: 64 MiB of float32.
MOST_INPUTS = 2**24


@dataclass(frozen=True)
class Encoded:
    """The rows of a table.

    Parameters
    ----------
    inputs : int
        How many a row makes.
    numbers : numpy.ndarray, shape (rows, columns of numbers)
        Standardized.
    places : numpy.ndarray of int, shape (columns of numbers,)
        Which inputs these are.
    ones : numpy.ndarray of int, shape (rows, columns of text)
        Which input of each column is 1; -1 where none is.
    """

    inputs: int
    numbers: np.ndarray
    places: np.ndarray
    ones: np.ndarray

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.numbers.shape[0]

    def make(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the inputs of some rows, given by their numbers, of shape (rows, inputs)."""
        numbers, ones = self.numbers[rows], self.ones[rows]
        if not ones.shape[1]:
            return numbers
        made = np.zeros((len(numbers), self.inputs), numbers.dtype)
        made[:, self.places] = numbers
        row, column = np.nonzero(ones >= 0)
        made[row, ones[row, column]] = 1.0
        return made

    def all(self) -> np.ndarray | Rows:
        """Return the inputs of all rows, as `Network.fit` takes them: on demand where they would be much larger than this."""
        if self.ones.shape[1] and self.rows * self.inputs > MOST_INPUTS:
            return Rows((self.rows, self.inputs), self.make)
        return self.make(slice(None))


def encode(columns: Sequence[NumberColumn | CategoryColumn], frame: Any, dtype: str) -> Encoded:
    """Return the rows of a frame, which has these columns among others, for a network of a dtype.

    Raises
    ------
    ValueError
        If a number is too far from those that were trained with.
    """
    firsts = np.cumsum([0, *(column.width for column in columns)])
    numbers = [column for column in columns if isinstance(column, NumberColumn)]
    texts = [(column, int(first)) for column, first in zip(columns, firsts, strict=False) if isinstance(column, CategoryColumn)]
    places = [first for column, first in zip(columns, firsts, strict=False) if isinstance(column, NumberColumn)]
    return Encoded(int(firsts[-1]), _standardize(numbers, frame, dtype), np.array(places, int), _find_ones(texts, frame))


def _standardize(columns: Sequence[NumberColumn], frame: Any, dtype: str) -> np.ndarray:
    made = np.empty((frame.height, len(columns)), dtype)
    mean, scale = np.array([(column.mean, column.scale) for column in columns]).reshape(-1, 2).T
    for span, numbers in iter_numbers(frame, [column.name for column in columns]):
        scaled = np.nan_to_num((numbers - mean[span]) / scale[span], copy=False, nan=0.0)
        if (np.abs(scaled) > LIMIT).any():
            row, place = np.unravel_index(np.abs(scaled).argmax(), scaled.shape)
            column = columns[span][int(place)]
            raise ValueError(
                f"column {column.name!r} holds {frame[column.name][int(row)]!r}, too far from the mean of {column.mean!r} "
                f"and the standard deviation of {column.scale!r} that were trained with: correct that cell, or clear it."
            )
        made[:, span] = scaled
    return made


def _find_ones(texts: Sequence[tuple[CategoryColumn, int]], frame: Any) -> np.ndarray:
    polars = require("polars", "table")
    if not texts:
        return np.empty((frame.height, 0), np.int32)
    if frame.height <= FEW:
        made = np.empty((len(texts), frame.height), np.int32)
        for place, (series, (column, first)) in enumerate(zip(frame[[column.name for column, _ in texts]], texts, strict=True)):
            known = {category: first + number for number, category in enumerate(column.categories)}
            made[place] = [known.get(cell, -1) for cell in series.cast(str).to_list()]
        return made.T
    found = [
        polars.col(column.name)
        .cast(str)
        .replace_strict(
            list(column.categories),
            range(first, first + column.width),
            default=-1,
            return_dtype=polars.Int32,
        )
        for column, first in texts
    ]
    return frame.select(found).to_numpy()
