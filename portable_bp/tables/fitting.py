"""How columns become inputs, learned from the training rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.columns import (
    MAX_NUMBER,
    NUMERIC_KINDS,
    ROUNDING,
    CategoryColumn,
    LeftOut,
    NumberColumn,
    iter_numbers,
    kind_of,
)


class Statistics(NamedTuple):
    """Statistics of each column of numbers, arrays of shape (columns,); NaN for a column without any number."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray  # of a constant column, one of its numbers
    scale: np.ndarray  # the standard deviation; of a constant column, 1
    constant: np.ndarray  # bool: whether all numbers are equal up to rounding, or there are none


def compute_statistics(numbers: np.ndarray) -> Statistics:
    """Return the statistics of numbers of shape (rows, columns), in which NaN is a missing one."""
    # Contiguous columns, which NumPy sums pairwise.
    values = np.ascontiguousarray(numbers.T)
    low, high = np.fmin.reduce(values, axis=-1), np.fmax.reduce(values, axis=-1)
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=-1), 1)
    mean = np.where(present, values, 0.0).sum(axis=-1) / count
    scale = np.sqrt((np.where(present, values - mean[:, None], 0.0) ** 2).sum(axis=-1) / count)
    constant = ~(high - low > ROUNDING * np.maximum(np.abs(low), np.abs(high))) | (scale < 1.0 / MAX_NUMBER)
    return Statistics(low, high, np.where(constant, low, mean), np.where(constant, 1.0, scale), constant)


def fit_columns(frame: Any) -> tuple[tuple[NumberColumn | CategoryColumn, ...], tuple[LeftOut, ...]]:
    """Return how the columns of a frame become inputs, and those that are left out because they are constant or empty.

    A missing number is replaced by the mean, so a column of one number and missing ones is constant; missing text is a
    category of its own.
    """
    kinds = {name: kind_of(dtype) for name, dtype in frame.schema.items()}
    fitted: dict[str, Any] = {}
    numeric = [name for name, kind in kinds.items() if kind in NUMERIC_KINDS]
    for span, numbers in iter_numbers(frame, numeric):
        statistics = zip(*(part.tolist() for part in compute_statistics(numbers)), strict=True)
        for name, (low, high, mean, scale, constant) in zip(numeric[span], statistics, strict=True):
            if not constant:
                fitted[name] = NumberColumn(name, kinds[name], mean, scale, low, high)
    for name, categories in _find_categories(frame, [name for name, kind in kinds.items() if kind == "text"]).items():
        if len(categories) > 1:
            fitted[name] = CategoryColumn(name, tuple(categories))
    columns = tuple(fitted[name] for name in kinds if name in fitted)
    return columns, tuple(leave_out_constant(frame, [name for name in kinds if name not in fitted]))


def _find_categories(frame: Any, names: list[str]) -> dict[str, list[str | None]]:
    """Return the different texts of each column, sorted; None comes first if one is missing."""
    polars = require("polars", "table")
    return frame.select(polars.col(names).unique().sort().implode()).row(0, named=True) if names else {}


def leave_out_constant(frame: Any, names: list[str]) -> list[LeftOut]:
    """Return columns that have one value, or none, as left out."""
    polars = require("polars", "table")
    if not names:
        return []
    chosen = frame[names]
    kinds = {name: kind_of(dtype) for name, dtype in chosen.schema.items()}
    plain = [name for name, kind in kinds.items() if kind]
    # Dates become text.
    readable = chosen.with_columns(polars.exclude(plain).cast(str)) if len(plain) < len(names) else chosen
    values = readable.select(polars.all().drop_nulls().first()).row(0)
    # A column without a value may have any dtype.
    return [
        LeftOut(name, "constant", "missing" if value is None else kinds[name], value)
        for name, value in zip(names, values, strict=True)
    ]
