"""How columns become inputs, learned from the rows that a network is trained with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.columns import (
    LARGEST,
    NUMBERS,
    ROUNDING,
    CategoryColumn,
    LeftOut,
    NumberColumn,
    iter_numbers,
    kind_of,
)


class Spread(NamedTuple):
    """How numbers are spread, each column's by itself; NaN where a column has none.

    Attributes
    ----------
    low, high, mean, scale : numpy.ndarray, shape (columns,)
        The smallest, the largest, the mean and the standard deviation.
    constant : numpy.ndarray of bool, shape (columns,)
        Whether they are one number, but for rounding, or none; the mean is then a number of them, and the scale 1.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    constant: np.ndarray


def measure_spread(numbers: np.ndarray) -> Spread:
    """Return how numbers of shape (rows, columns) are spread; NaN is a missing one."""
    # One column after the other in memory, which NumPy adds up pairwise.
    values = np.ascontiguousarray(numbers.T)
    low, high = np.fmin.reduce(values, axis=-1), np.fmax.reduce(values, axis=-1)
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=-1), 1)
    mean = np.where(there, values, 0.0).sum(axis=-1) / count
    scale = np.sqrt((np.where(there, values - mean[:, None], 0.0) ** 2).sum(axis=-1) / count)
    constant = ~(high - low > ROUNDING * np.maximum(np.abs(low), np.abs(high))) | (scale < 1.0 / LARGEST)
    return Spread(low, high, np.where(constant, low, mean), np.where(constant, 1.0, scale), constant)


def learn_columns(frame: Any) -> tuple[tuple[NumberColumn | CategoryColumn, ...], tuple[LeftOut, ...]]:
    """Return how the columns of a frame become inputs, and those that are left out, since they hold one value or none.

    A number that is missing is taken as the mean, so that one number and missing values are one value; a missing text is a
    category by itself.
    """
    kinds = {name: kind_of(dtype) for name, dtype in frame.schema.items()}
    learned: dict[str, Any] = {}
    numbers = [name for name, kind in kinds.items() if kind in NUMBERS]
    for span, values in iter_numbers(frame, numbers):
        for name, low, high, mean, scale, constant in zip(
            numbers[span], *(part.tolist() for part in measure_spread(values)), strict=True
        ):
            learned[name] = None if constant else NumberColumn(name, kinds[name], mean, scale, low, high)
    for name, categories in find_texts(frame, [name for name, kind in kinds.items() if kind == "text"]).items():
        learned[name] = None if len(categories) == 1 else CategoryColumn(name, tuple(categories))
    constant = [name for name in kinds if learned.get(name) is None]
    return (
        tuple(learned[name] for name in kinds if learned.get(name) is not None),
        tuple(leave_out_constant(frame, constant)),
    )


def find_texts(frame: Any, names: list[str]) -> dict[str, list[str | None]]:
    """Return the different texts of each column, sorted; None, first, where one is missing."""
    polars = require("polars", "table")
    return frame.select(polars.col(names).unique().sort().implode()).row(0, named=True) if names else {}


def leave_out_constant(frame: Any, names: list[str]) -> list[LeftOut]:
    """Return columns of a frame, each of one value or none, as left out."""
    polars = require("polars", "table")
    if not names:
        return []
    chosen = frame[names]
    plain = [name for name, dtype in chosen.schema.items() if kind_of(dtype)]
    written = chosen.with_columns(polars.exclude(plain).cast(str)) if len(plain) < len(names) else chosen
    values = written.select(polars.all().drop_nulls().first()).row(0)
    # A column without a value may have any type.
    return [
        LeftOut(name, "constant", "missing" if value is None else kind_of(chosen.schema[name]), value)
        for name, value in zip(names, values, strict=True)
    ]
