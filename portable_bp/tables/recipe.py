"""The recipe of a model of a table: how its columns become inputs, and its outputs a column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.columns import (
    ROUNDING,
    CategoryColumn,
    LeftOut,
    NumberColumn,
    advise_ignore,
    find_kind,
    iter_numbers,
    kind_of,
    quoted,
)
from portable_bp.tables.encoding import Encoded, encode
from portable_bp.tables.reading import Reading
from portable_bp.tables.targets import ClassTarget, NumberTarget

# What older versions took as missing in text too.
OLDER_MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL")


@dataclass(frozen=True)
class Recipe:
    """How the columns of a table become the inputs of a network, and its outputs the target.

    Parameters
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        In the order of the inputs.
    target : ClassTarget or NumberTarget
        What the outputs are.
    left_out : tuple of LeftOut
        Columns that were there in training and are no inputs.
    readings : tuple of Reading or None
        How those columns of a CSV file are read of which more has to be known than the kind; None in older models.
    """

    columns: tuple[NumberColumn | CategoryColumn, ...]
    target: ClassTarget | NumberTarget
    left_out: tuple[LeftOut, ...] = ()
    readings: tuple[Reading, ...] | None = ()

    @property
    def inputs(self) -> int:
        """How many inputs the columns make."""
        return sum(column.width for column in self.columns)

    @property
    def known(self) -> dict[str, Reading]:
        """How each column is read from a CSV file."""
        older = OLDER_MISSING if self.readings is None else ()
        columns = [column for column in (*self.columns, *self.left_out) if column.kind in ("number", "boolean", "text")]
        kinds = {column.name: Reading(column.name, column.kind, missing=older) for column in columns}
        return kinds | {reading.name: reading for reading in self.readings or ()}

    def encode(self, frame: Any, dtype: str) -> Encoded:
        """Return the rows of a frame, which has the recipe's columns in any order, for a network of a dtype.

        Raises
        ------
        ValueError
            If a number is too far from those that the recipe was learned from.
        """
        return encode(self.columns, frame, dtype)

    def refuse(self, path: str, frame: Any) -> None:
        """Raise ValueError, which calls the table `path`, unless a frame has the columns of the recipe and no others."""
        kinds = {name: kind_of(dtype) for name, dtype in frame.schema.items()}
        names = {column.name for column in self.columns}
        lacking = [column.name for column in self.columns if column.name not in kinds]
        besides = [name for name in kinds if name not in names]
        wrong = []
        if lacking:
            wrong.append(f"it lacks {quoted(lacking)}, which the model was trained with")
        if besides:
            wrong.append(f"the model was not trained with {quoted(besides)} (leave out with {advise_ignore(besides)})")
        for column in self.columns:
            kind = kinds.get(column.name, "missing")
            if kind not in (column.kind, "missing") and len(wrong) < 10:
                example = _example(frame[column.name])
                wrong.append(f"{column.name!r} is of kind {kind}{example}, and was of kind {column.kind} in training")
        if wrong:
            if len(lacking) == len(names):
                wrong.append("does its first line name the columns?")
            raise ValueError(f"{path} does not fit the model: {'; '.join(wrong)}{'' if wrong[-1].endswith('?') else '.'}")

    def find_unseen(self, frame: Any, encoded: Encoded) -> dict[str, list[str | None]]:
        """Return the categories in a frame that the recipe does not know, sorted, by column; None is a missing value."""
        names = [column.name for column in self.columns if isinstance(column, CategoryColumn)]
        unknown = {name: encoded.ones[:, place] < 0 for place, name in enumerate(names)}
        return {
            name: frame[name].cast(str).filter(rows).unique().sort().to_list() for name, rows in unknown.items() if rows.any()
        }

    def find_far(self, frame: Any) -> dict[str, tuple[float, float, float]]:
        """Return the numbers of a frame that are far outside those trained with, by column: the farthest and their bounds.

        Far is farther than these are from each other, and than ten standard deviations.
        """
        columns = [column for column in self.columns if isinstance(column, NumberColumn) and column.low is not None]
        low, high = np.array([(column.low, column.high) for column in columns], float).reshape(-1, 2).T
        near = np.maximum(high - low, [10.0 * column.scale for column in columns])
        found = {}
        for span, numbers in iter_numbers(frame, [column.name for column in columns]):
            below, above = low[span] - np.fmin.reduce(numbers, axis=0), np.fmax.reduce(numbers, axis=0) - high[span]
            for place in np.nonzero(np.fmax(below, above) > near[span])[0]:
                column = columns[span][int(place)]
                farthest = column.low - below[place] if below[place] > above[place] else column.high + above[place]
                found[column.name] = (float(farthest), column.low, column.high)
        return found

    def find_changed(self, frame: Any) -> dict[str, tuple[Any, Any]]:
        """Return which columns of a frame were constant in training and differ now, each with its value then and one now."""
        polars = require("polars", "table")
        known = {column.name: column for column in self.left_out if column.reason == "constant"}
        kinds = {name: kind_of(dtype) for name, dtype in frame.schema.items() if name in known}
        constant = {name: known[name] for name in kinds}
        if not constant:
            return {}
        others = []
        for name, column in constant.items():
            cell = polars.col(name)
            if column.kind != kinds[name]:
                differs = cell.is_not_null()
            elif column.kind in ("number", "boolean"):
                differs = (cell.cast(float) - float(column.value)).abs() > ROUNDING * abs(column.value)
            else:
                differs = cell.cast(str) != str(column.value)
            others.append(cell.filter(differs).first())
        now = zip(constant.items(), frame.select(others).row(0), strict=True)
        return {name: (column.value, value) for (name, column), value in now if value is not None}

    def tell(self) -> Iterator[str]:
        """Yield lines that say what the inputs and outputs of the network are, for whoever holds the network alone."""
        yield "Its inputs are the columns, prepared so:"
        first = 0
        for column in self.columns:
            last = first + column.width - 1
            yield f"  {first if last == first else f'{first} to {last}'}: {column.tell()}"
            first = last + 1
        yield f"Its output is {self.target.tell()}."


def _example(series: Any) -> str:
    """Return the first text that is no number, which says why a column is text."""
    if find_kind(series) != "text":
        return ""
    strange = series.filter(series.is_not_null() & series.cast(float, strict=False).is_null())
    return f" (such as {strange[0][:40]!r})" if len(strange) else ""
