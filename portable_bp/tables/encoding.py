"""The rows of a table as inputs of a network, stored compactly and one-hot encoded only when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.backends import Rows
from portable_bp.common.lookup import require
from portable_bp.tables.columns import CategoryColumn, NumberColumn, iter_numbers

# Larger inputs could soon overflow float32.
MAX_INPUT = 1e30
# Up to this many rows, Python is faster than polars, which has an overhead per column.
MAX_PYTHON_ROWS = 1000
# Inputs that may all be in memory at once: 64 MiB of float32.
MAX_DENSE_INPUTS = 2**24


@dataclass(frozen=True)
class EncodedTable:
    """The rows of a table, any of which can be converted to inputs."""

    width: int  # inputs per row
    numbers: np.ndarray  # standardized, of shape (rows, columns of numbers)
    number_indices: np.ndarray  # the input that each column of numbers is
    hot_indices: np.ndarray  # the input that is 1 for each column of text, of shape (rows, columns of text); -1 for none

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.numbers.shape[0]

    def inputs(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the inputs of some rows, of shape (rows, width)."""
        numbers, hot = self.numbers[rows], self.hot_indices[rows]
        if not hot.shape[1]:
            return numbers
        inputs = np.zeros((len(numbers), self.width), numbers.dtype)
        inputs[:, self.number_indices] = numbers
        row, column = np.nonzero(hot >= 0)
        inputs[row, hot[row, column]] = 1.0
        return inputs

    def all_inputs(self) -> np.ndarray | Rows:
        """Return the inputs of all rows as `Network.fit` takes them: on demand if they would take too much memory."""
        if self.hot_indices.shape[1] and self.height * self.width > MAX_DENSE_INPUTS:
            return Rows((self.height, self.width), self.inputs)
        return self.inputs(slice(None))


def encode(columns: Sequence[NumberColumn | CategoryColumn], frame: Any, dtype: str) -> EncodedTable:
    """Encode the rows of a frame that has these columns, among others; ValueError if a number is too far from the mean."""
    *firsts, width = np.cumsum([0, *(column.width for column in columns)]).tolist()
    numbers = [column for column in columns if isinstance(column, NumberColumn)]
    number_indices = [first for column, first in zip(columns, firsts, strict=True) if isinstance(column, NumberColumn)]
    texts = [(column, first) for column, first in zip(columns, firsts, strict=True) if isinstance(column, CategoryColumn)]
    return EncodedTable(width, _standardize(numbers, frame, dtype), np.array(number_indices, int), _find_hot(texts, frame))


def _standardize(columns: Sequence[NumberColumn], frame: Any, dtype: str) -> np.ndarray:
    standardized = np.empty((frame.height, len(columns)), dtype)
    mean, scale = np.array([(column.mean, column.scale) for column in columns]).reshape(-1, 2).T
    for span, numbers in iter_numbers(frame, [column.name for column in columns]):
        scaled = np.nan_to_num((numbers - mean[span]) / scale[span], copy=False, nan=0.0)
        if (np.abs(scaled) > MAX_INPUT).any():
            row, index = np.unravel_index(np.abs(scaled).argmax(), scaled.shape)
            column = columns[span][int(index)]
            raise ValueError(
                f"column {column.name!r} has {frame[column.name][int(row)]!r}, too far from the mean of training, "
                f"{column.mean!r} with a standard deviation of {column.scale!r}: correct or clear that cell."
            )
        standardized[:, span] = scaled
    return standardized


def _find_hot(texts: Sequence[tuple[CategoryColumn, int]], frame: Any) -> np.ndarray:
    """Return the input that is 1 for each row and column of text, each column given with its first input."""
    polars = require("polars", "table")
    if not texts:
        return np.empty((frame.height, 0), np.int32)
    if frame.height <= MAX_PYTHON_ROWS:
        hot = np.empty((len(texts), frame.height), np.int32)
        selected = frame[[column.name for column, _ in texts]]
        for index, (series, (column, first)) in enumerate(zip(selected, texts, strict=True)):
            indices = {category: first + number for number, category in enumerate(column.categories)}
            hot[index] = [indices.get(cell, -1) for cell in series.cast(str).to_list()]
        return hot.T
    expressions = [
        polars.col(column.name)
        .cast(str)
        .replace_strict(list(column.categories), range(first, first + column.width), default=-1, return_dtype=polars.Int32)
        for column, first in texts
    ]
    return frame.select(expressions).to_numpy()
