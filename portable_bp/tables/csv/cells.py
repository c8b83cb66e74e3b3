"""Columns of strings: a single one with counts of its distinct values, or a batch that polars processes together."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.csv.formats import MAX_PYTHON_STRINGS, MISSING_MARKERS
from portable_bp.tables.messages import counted

# Columns with at most this many cells are short: those of a batch are joined, and Python counts the values of one.
SHORT_COLUMN = 10_000


class TextColumn:
    """The strings of a column; its markers and distinct values are available once they have been counted.

    Attributes
    ----------
    cells : polars.Series of str
        Null where a cell is empty, or one of ``missing``.
    markers : dict of str to int
        The missing-value markers, and how many cells have each.
    values, counts : polars.Series of str, numpy.ndarray of int
        The distinct values that are not markers, in the order of the file, and how many cells have each.
    """

    def __init__(self, series: Any, missing: tuple[str, ...] = ()) -> None:
        self.name: str = series.name
        self.cells = series.replace(list(missing), None) if missing else series
        self.markers: dict[str, int] = {}

    def count_markers(self) -> None:
        """Count the missing-value markers alone."""
        few = self.cells if len(self.cells) <= SHORT_COLUMN else self.cells.filter(self.cells.is_in(list(MISSING_MARKERS)))
        self.markers = dict(collections.Counter(cell for cell in few.to_list() if cell in MISSING_MARKERS))

    def count_values(self) -> None:
        """Count the distinct values and the markers."""
        polars = require("polars", "table")
        filled = self.cells.drop_nulls()
        if len(filled) <= SHORT_COLUMN:
            found = collections.Counter(filled.to_list())
            values, counts = polars.Series(list(found), dtype=str), np.array(list(found.values()), dtype=int)
        else:
            grouped = filled.to_frame("value").group_by("value", maintain_order=True).len("count")
            values, counts = grouped["value"], grouped["count"].to_numpy()
        if len(values) > MAX_PYTHON_STRINGS:
            is_marker = values.is_in(list(MISSING_MARKERS)).to_numpy()
        else:
            is_marker = np.array([value in MISSING_MARKERS for value in values], bool)
        self.markers = dict(zip(values.filter(is_marker).to_list(), counts[is_marker].tolist(), strict=True))
        self.values, self.counts = values.filter(~is_marker) if is_marker.any() else values, counts[~is_marker]

    def count_cells(self, mask: np.ndarray) -> int:
        """Return how many cells have the values that a mask selects."""
        return int(self.counts[mask].sum())

    @property
    def cells_without_markers(self) -> Any:
        """The cells, null where they are missing if the column holds numbers, booleans or dates."""
        return self.cells.replace(list(self.markers), None) if self.markers else self.cells

    def describe_markers(self) -> str:
        """Say which missing-value markers there are, and how often."""
        return ", ".join(f"{marker!r} in {counted(count, 'cell')}" for marker, count in self.markers.items())


class ColumnBatch:
    """Columns of one dtype and different names, which polars processes together.

    Polars has an overhead of a tenth of a millisecond per column, so short ones are joined end to end.
    """

    def __init__(self, names: Sequence[str], height: int, parts: Any) -> None:
        self.names, self.height, self.parts = names, height, parts

    @classmethod
    def of(cls, frame: Any) -> ColumnBatch:
        """Return the columns of a frame."""
        if frame.height <= SHORT_COLUMN and frame.width:
            joined = require("polars", "table").concat([series.alias("") for series in frame], rechunk=True)
            return cls(frame.columns, frame.height, joined.to_frame())
        return cls(frame.columns, frame.height, frame)

    @property
    def is_joined(self) -> bool:
        """Whether ``parts`` holds all columns in one."""
        return self.height <= SHORT_COLUMN and bool(self.names)

    def map(self, expression: Any) -> ColumnBatch:
        """Apply an elementwise expression of polars.all() to every column."""
        return ColumnBatch(self.names, self.height, self.parts.select(expression))

    def count(self, expression: Any) -> np.ndarray:
        """Return for how many cells of each column an expression of polars.all() is true."""
        if self.is_joined:
            found = self.parts.select(expression.fill_null(False)).to_series().to_numpy()
            return found.reshape(len(self.names), self.height).sum(axis=1)
        return np.array(self.parts.select(expression.sum()).row(0) if self.names else (), int)

    def select(self, mask: np.ndarray) -> ColumnBatch:
        """Return the columns that a mask selects."""
        names = [name for name, is_selected in zip(self.names, mask.tolist(), strict=True) if is_selected]
        if self.is_joined and names:
            return ColumnBatch(names, self.height, self.parts.filter(np.repeat(mask, self.height)))
        return ColumnBatch(names, self.height, self.parts.select(names if not self.is_joined else []))

    def split(self) -> list[Any]:
        """Return each column as a series."""
        if not self.is_joined:
            return self.parts.get_columns()
        whole = self.parts.to_series()
        return [whole.slice(index * self.height, self.height).alias(name) for index, name in enumerate(self.names)]
