"""The recipe of a model: how the columns of a table become inputs, and how outputs become predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.columns import ROUNDING, CategoryColumn, LeftOut, NumberColumn, iter_numbers, kind_of
from portable_bp.tables.csv import ColumnFormat
from portable_bp.tables.encoding import EncodedTable, encode
from portable_bp.tables.messages import ignore_option, quoted
from portable_bp.tables.targets import ClassTarget, NumberTarget

# What older versions read as missing, in text too.
OLDER_MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL")
# A message lists no more problems than these.
MAX_PROBLEMS = 10


@dataclass(frozen=True)
class Recipe:
    """How the columns of a table become the inputs of a network, and its outputs the target.

    Parameters
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        The columns of the inputs, in their order.
    target : ClassTarget or NumberTarget
        The column of the outputs.
    left_out : tuple of LeftOut
        The other columns of the training table.
    formats : tuple of ColumnFormat or None
        How columns of a CSV file are written, if not in the default format of their kind; None in older models.
    """

    columns: tuple[NumberColumn | CategoryColumn, ...]
    target: ClassTarget | NumberTarget
    left_out: tuple[LeftOut, ...] = ()
    formats: tuple[ColumnFormat, ...] | None = ()

    @property
    def inputs(self) -> int:
        """The number of inputs."""
        return sum(column.width for column in self.columns)

    @property
    def known_formats(self) -> dict[str, ColumnFormat]:
        """How to read each column of a CSV file, by name."""
        missing = OLDER_MISSING if self.formats is None else ()
        columns = [column for column in (*self.columns, *self.left_out) if column.kind in ("number", "boolean", "text")]
        defaults = {column.name: ColumnFormat(column.name, column.kind, missing=missing) for column in columns}
        return defaults | {column_format.name: column_format for column_format in self.formats or ()}

    def encode(self, frame: Any, dtype: str) -> EncodedTable:
        """Encode the rows of a frame that has the recipe's columns, in any order, as inputs of a dtype."""
        return encode(self.columns, frame, dtype)

    def check_columns(self, path: str, frame: Any) -> None:
        """Raise ValueError, in which ``path`` is the table's name, unless a frame has the recipe's columns and no others."""
        kinds = {name: kind_of(dtype) for name, dtype in frame.schema.items()}
        names = {column.name for column in self.columns}
        absent = [column.name for column in self.columns if column.name not in kinds]
        unknown = [name for name in kinds if name not in names]
        problems = []
        if absent:
            problems.append(f"it lacks {quoted(absent)}, which the model was trained with")
        if unknown:
            problems.append(f"the model was not trained with {quoted(unknown)} (leave out with {ignore_option(unknown)})")
        for column in self.columns:
            kind = kinds.get(column.name, "missing")
            if kind not in (column.kind, "missing") and len(problems) < MAX_PROBLEMS:
                example = _find_non_number(frame[column.name])
                problems.append(f"{column.name!r} has values of kind {kind}{example}, but had kind {column.kind} in training")
        if problems:
            if len(absent) == len(names):
                problems.append("does its first line name the columns?")
            end = "" if problems[-1].endswith("?") else "."
            raise ValueError(f"{path} does not fit the model: {'; '.join(problems)}{end}")

    def find_unseen(self, frame: Any, encoded: EncodedTable) -> dict[str, list[str | None]]:
        """Return the categories of a frame that training did not have, sorted, by column; None is a missing value."""
        names = [column.name for column in self.columns if isinstance(column, CategoryColumn)]
        unseen = {name: rows for name, rows in zip(names, (encoded.hot_indices < 0).T, strict=True) if rows.any()}
        return {name: frame[name].cast(str).filter(rows).unique().sort().to_list() for name, rows in unseen.items()}

    def find_far(self, frame: Any) -> dict[str, tuple[float, float, float]]:
        """Return the farthest number and the training bounds of columns with numbers far outside of these, by name.

        Far means farther outside than the distance between the bounds, and than ten standard deviations.
        """
        columns = [column for column in self.columns if isinstance(column, NumberColumn) and column.low is not None]
        low, high = np.array([(column.low, column.high) for column in columns], float).reshape(-1, 2).T
        near = np.maximum(high - low, [10.0 * column.scale for column in columns])
        found = {}
        for span, numbers in iter_numbers(frame, [column.name for column in columns]):
            below, above = low[span] - np.fmin.reduce(numbers, axis=0), np.fmax.reduce(numbers, axis=0) - high[span]
            for index in np.nonzero(np.fmax(below, above) > near[span])[0]:
                column = columns[span][int(index)]
                farthest = column.low - below[index] if below[index] > above[index] else column.high + above[index]
                found[column.name] = (float(farthest), column.low, column.high)
        return found

    def find_changed(self, frame: Any) -> dict[str, tuple[Any, Any]]:
        """Return the columns that were constant in training and have another value now, each with both values, by name."""
        polars = require("polars", "table")
        schema = frame.schema
        constant = {column.name: column for column in self.left_out if column.reason == "constant"}
        columns = [constant[name] for name in schema if name in constant]
        if not columns:
            return {}
        others = []
        for column in columns:
            cell = polars.col(column.name)
            if column.kind != kind_of(schema[column.name]):
                differs = cell.is_not_null()
            elif column.kind in ("number", "boolean"):
                differs = (cell.cast(float) - float(column.value)).abs() > ROUNDING * abs(column.value)
            else:
                differs = cell.cast(str) != str(column.value)
            others.append(cell.filter(differs).first())
        now = zip(columns, frame.select(others).row(0), strict=True)
        return {column.name: (column.value, value) for column, value in now if value is not None}

    def describe(self) -> Iterator[str]:
        """Say, line by line, what the inputs and outputs of the network are, for users of the network alone."""
        yield "Its inputs are the columns, prepared as follows:"
        first = 0
        for column in self.columns:
            last = first + column.width - 1
            yield f"  {first if last == first else f'{first} to {last}'}: {column.describe()}"
            first = last + 1
        yield f"Its output is {self.target.describe()}."


def _find_non_number(series: Any) -> str:
    """Return the first text that is not a number, in brackets, which shows why a column is text."""
    if kind_of(series.dtype) != "text":
        return ""
    found = series.filter(series.is_not_null() & series.cast(float, strict=False).is_null())
    return f" (such as {found[0][:40]!r})" if len(found) else ""
