"""Convert data frames and series of pandas and polars to arrays; neither library is imported."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np

NUMBERS = bool | int | float | np.number | np.bool_
MAX_NAMES = 3  # columns named in a message
REMEDIES = {
    "text": "encode it as numbers",
    "dates": "convert it to numbers, such as days since a date",
    "durations": "convert it to numbers, such as seconds",
    "missing values": "fill them, or drop their rows",
}


def find_columns(data: Any) -> list[tuple[Any, Any]] | None:
    """Return the names and columns of a data frame or series; None for what NumPy converts as a whole."""
    if hasattr(data, "iloc"):  # pandas: column names may repeat, so select by position
        dtypes = {data.dtype} if data.ndim == 1 else set(data.dtypes)
        if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and dtype.kind in "biuf":
            return None
        if data.ndim == 1:
            return [(data.name, data)]
        return [(name, data.iloc[:, number]) for number, name in enumerate(data.columns)]
    if hasattr(data, "get_columns"):  # polars
        return [(column.name, column) for column in data.get_columns()]
    return [(data.name, data)] if hasattr(data, "null_count") and hasattr(data, "dtype") else None


def read_columns(data: Any, columns: list[tuple[Any, Any]], dtype: str, check: Callable[[np.ndarray], None]) -> np.ndarray:
    """Return a data frame or series as an array of a dtype, given the result of ``find_columns``.

    Columns may be numeric or boolean, also sparse, or nullable without missing values. A TypeError names others with their
    dtypes. ``check(array)`` raises an error if the dtype cannot represent a column.
    """
    arrays, problems = [], []
    for name, column in columns:
        array = np.asarray(column)
        if array.dtype.kind not in "biuf" or _has_missing(column):
            problems.append(_problem(data, name, column, array))
            continue
        try:
            check(array)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{_label(name, column)} {str(error).removeprefix('it ')}") from None
        arrays.append(array.astype(dtype))
    if problems:
        more = f"; and {len(problems) - MAX_NAMES} more columns" if len(problems) > MAX_NAMES else ""
        raise TypeError(f"{'; '.join(problems[:MAX_NAMES])}{more}.")
    if not hasattr(data, "columns"):
        return arrays[0]
    return np.column_stack(arrays) if arrays else np.empty(data.shape, dtype)


def _has_missing(column: Any) -> bool:
    """Return whether values are missing that conversion would silently turn into NaN; NaN itself is checked elsewhere."""
    if hasattr(column, "null_count"):
        return column.null_count() > 0
    nullable = not isinstance(getattr(column.dtype, "na_value", 0.0), float)
    return nullable and bool(column.isna().any())


def _problem(data: Any, name: Any, column: Any, array: np.ndarray) -> str:
    content = _content(column, array)
    drop = ", or leave it out" if hasattr(data, "columns") and content != "missing values" else ""
    return f"{_label(name, column)} holds {content}: {REMEDIES.get(content, 'convert it to int or float')}{drop}"


def _label(name: Any, column: Any) -> str:
    return f"{'it' if name in (None, '') else f'column {name!r}'} ({column.dtype})"


def _content(column: Any, array: np.ndarray) -> str:
    """Return what a column that is not numeric holds, by its first value that is not a number."""
    kinds = {"U": "text", "S": "text", "M": "dates", "m": "durations", "c": "complex numbers"}
    if array.dtype.kind in kinds:
        return kinds[array.dtype.kind]
    present = column.dropna() if hasattr(column, "dropna") else column.drop_nulls()
    other = next((value for value in present if not isinstance(value, NUMBERS)), None)
    if isinstance(other, str | bytes):
        return "text"
    if isinstance(other, datetime.date | datetime.time):
        return "dates"
    if isinstance(other, datetime.timedelta):
        return "durations"
    if other is not None:
        return f"Python objects ({type(other).__name__})"
    return "missing values" if len(present) < len(column) else "numbers as Python objects"
