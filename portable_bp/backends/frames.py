"""Data frames of pandas and polars, and their single columns, as arrays; neither library is imported."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np

NUMBER = bool | int | float | np.number | np.bool_
MOST_NAMED = 3  # columns in one message
REMEDIES = {
    "text": "encode it as numbers",
    "dates": "convert it to numbers, such as days since a date",
    "durations": "convert it to numbers, such as seconds",
    "missing values": "fill them, or drop their rows",
}


def find_columns(data: Any) -> list[tuple[Any, Any]] | None:
    """Return the names and columns of a data frame, or of a single column; None for what NumPy reads as well as a whole."""
    if hasattr(data, "iloc"):  # of pandas: names may occur twice, so columns are taken by position
        dtypes = {data.dtype} if data.ndim == 1 else set(data.dtypes)
        if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and dtype.kind in "biuf":
            return None
        if data.ndim == 1:
            return [(data.name, data)]
        return [(name, data.iloc[:, number]) for number, name in enumerate(data.columns)]
    if hasattr(data, "get_columns"):  # of polars
        return [(column.name, column) for column in data.get_columns()]
    return [(data.name, data)] if hasattr(data, "null_count") and hasattr(data, "dtype") else None


def read_columns(data: Any, columns: list[tuple[Any, Any]], dtype: str, check: Callable[[np.ndarray], None]) -> np.ndarray:
    """Return a data frame as an array of a dtype: of numbers and booleans, also sparse and nullable ones without gaps.

    Parameters
    ----------
    data : data frame or series
        What was given.
    columns : list of tuple
        As `find_columns` gives them.
    dtype : str
        The NumPy name of the dtype.
    check : callable
        Raises for an array of numbers that the dtype cannot hold.

    Raises
    ------
    TypeError
        If a column holds something else; the message names it and its dtype.
    """
    arrays, refused = [], []
    for name, column in columns:
        array = np.asarray(column)
        if array.dtype.kind not in "biuf" or _has_gaps(column):
            refused.append(_refused(data, name, column, array))
            continue
        try:
            check(array)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{_named(name, column)} {str(error).removeprefix('it ')}") from None
        arrays.append(array.astype(dtype))
    if refused:
        more = f"; and {len(refused) - MOST_NAMED} more columns" if len(refused) > MOST_NAMED else ""
        raise TypeError(f"{'; '.join(refused[:MOST_NAMED])}{more}.")
    if not hasattr(data, "columns"):
        return arrays[0]
    return np.column_stack(arrays) if arrays else np.empty(data.shape, dtype)


def _has_gaps(column: Any) -> bool:
    """Return whether values are missing that would become NaN in silence; NaN itself is looked for elsewhere."""
    if hasattr(column, "null_count"):
        return column.null_count() > 0
    nullable = not isinstance(getattr(column.dtype, "na_value", 0.0), float)
    return nullable and bool(column.isna().any())


def _refused(data: Any, name: Any, column: Any, array: np.ndarray) -> str:
    kind = _kind(column, array)
    drop = ", or leave it out" if hasattr(data, "columns") and kind != "missing values" else ""
    return f"{_named(name, column)} holds {kind}: {REMEDIES.get(kind, 'convert it to int or float')}{drop}"


def _named(name: Any, column: Any) -> str:
    return f"{'it' if name in (None, '') else f'column {name!r}'} ({column.dtype})"


def _kind(column: Any, array: np.ndarray) -> str:
    """Return what a column holds that is no array of numbers, by the first of its values that is no number."""
    kinds = {"U": "text", "S": "text", "M": "dates", "m": "durations", "c": "complex numbers"}
    if array.dtype.kind in kinds:
        return kinds[array.dtype.kind]
    present = column.dropna() if hasattr(column, "dropna") else column.drop_nulls()
    odd = next((value for value in present if not isinstance(value, NUMBER)), None)
    if isinstance(odd, str | bytes):
        return "text"
    if isinstance(odd, datetime.date | datetime.time):
        return "dates"
    if isinstance(odd, datetime.timedelta):
        return "durations"
    if odd is not None:
        return f"Python objects ({type(odd).__name__})"
    return "missing values" if len(present) < len(column) else "numbers as Python objects"
