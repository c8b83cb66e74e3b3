"""Columns that only number or name the rows, such as an index of pandas."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from portable_bp.common.lookup import require
from portable_bp.storage import read_json
from portable_bp.tables.columns import iter_numbers, kind_of

# What pandas and dask call an index without a name, and what pandas calls it after reading it back from CSV.
UNNAMED = re.compile(r"__index_level_\d+__|__null_dask_index__|Unnamed: 0(\.\d+)*")
UNNAMED_LEVEL = re.compile(r"Unnamed: \d+(\.\d+)*")
# What pandas and polars call an index that was made a column; other columns may have these names too.
RESET = re.compile(r"index|level_\d+")


def name_index(names: Sequence[str]) -> list[str]:
    """Name the first columns of a CSV file as pandas does, if they have no name."""
    named, taken = list(names), set(names)
    for position in range(next((position for position, name in enumerate(names) if name), len(names))):
        tries = (f"Unnamed: {position}{f'.{number}' if number else ''}" for number in range(len(names) + 1))
        named[position] = next(name for name in tries if name not in taken)
        taken.add(named[position])
    return named


def find_index(path: str, frame: Any) -> list[str]:
    """Return the columns of a table that are an index of its rows.

    These are the index that pandas recorded in a Parquet file, columns with the names that pandas gives to an unnamed index,
    and columns called ``index`` or ``level_0`` with a different whole number in every row.
    """
    names: list[str] = frame.columns
    recorded = _read_pandas_index(path) if path.lower().endswith(".parquet") else set()
    levels = itertools.takewhile(UNNAMED_LEVEL.fullmatch, names)
    found = {name for name in names if name in recorded or UNNAMED.fullmatch(name)} | set(levels)
    reset = [name for name in names if RESET.fullmatch(name) and name not in found]
    found |= {name for name in reset if _is_unique_and_whole(frame[name])}
    return [name for name in names if name in found]


def find_row_numbers(frame: Any) -> list[str]:
    """Return the columns that number the rows from 0 or 1, in any order."""
    names = [name for name, dtype in frame.schema.items() if kind_of(dtype) == "number"]
    found = []
    for span, numbers in iter_numbers(frame, names):
        low, high = numbers.min(axis=0), numbers.max(axis=0)
        near = ((low == 0) | (low == 1)) & (high - low == frame.height - 1) & (frame.height > 1)
        found += [name for name, is_near in zip(names[span], near, strict=True) if is_near]
    return [name for name in found if _is_unique_and_whole(frame[name])]


def _is_unique_and_whole(series: Any) -> bool:
    """Return whether a series holds a different whole number from 0 up in every row."""
    if kind_of(series.dtype) != "number" or series.null_count():
        return False
    return bool(((series >= 0) & (series % 1 == 0)).all() and series.n_unique() == len(series))


def _read_pandas_index(path: str) -> set[str]:
    """Return the index columns that pandas recorded in a Parquet file; those that it does not store are dicts in its list."""
    polars = require("polars", "table")
    # Older versions of polars do not have it.
    read = getattr(polars, "read_parquet_metadata", None)
    try:
        recorded = read_json(read(path).get("pandas", "{}")) if read else {}
    except ValueError:
        return set()
    columns = recorded.get("index_columns") if isinstance(recorded, dict) else None
    return {name for name in columns if isinstance(name, str)} if isinstance(columns, list) else set()
