"""Columns that number or name the rows: an index of pandas, which says nothing of a row but where it stood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from portable_bp.common.lookup import require
from portable_bp.storage import read_json
from portable_bp.tables.columns import iter_numbers, kind_of

# What pandas and dask call an index without a name, and what pandas calls it once it was read back as a column.
UNNAMED = re.compile(r"__index_level_\d+__|__null_dask_index__|Unnamed: 0(\.\d+)*")
UNNAMED_LEVEL = re.compile(r"Unnamed: \d+(\.\d+)*")
# What it is called where it was made a column, by pandas or polars; other columns may be called so too.
RESET = re.compile(r"index|level_\d+")


def name_index(names: Sequence[str]) -> list[str]:
    """Return the names of a CSV file's columns, where the first ones that have none are called as pandas calls them."""
    named, taken = list(names), set(names)
    for place, name in enumerate(names):
        if name:
            break
        tries = (f"Unnamed: {place}{f'.{number}' if number else ''}" for number in range(len(names) + 1))
        named[place] = next(given for given in tries if given not in taken)
        taken.add(named[place])
    return named


def find_index(path: str, frame: Any) -> list[str]:
    """Return the columns of a table that are an index of its rows.

    These are what pandas says of a Parquet file that it wrote, the names that it gives to an index without one, and columns
    called ``index`` or ``level_0`` whose whole numbers are different in every row.
    """
    names: list[str] = frame.columns
    said = _read_pandas(path) if path.lower().endswith(".parquet") else set()
    levels = next((place for place, name in enumerate(names) if not UNNAMED_LEVEL.fullmatch(name)), len(names))
    found = {name for name in names if name in said or UNNAMED.fullmatch(name)} | set(names[:levels])
    reset = [name for name in names if RESET.fullmatch(name) and name not in found]
    found |= {name for name in reset if _is_whole(frame[name]) and frame[name].n_unique() == frame.height}
    return [name for name in names if name in found]


def find_counting(frame: Any) -> list[str]:
    """Return the columns whose numbers count the rows, from 0 or from 1, in any order."""
    names = [name for name, dtype in frame.schema.items() if kind_of(dtype) == "number"]
    found = []
    for span, numbers in iter_numbers(frame, names):
        low, high = numbers.min(axis=0), numbers.max(axis=0)
        near = ((low == 0) | (low == 1)) & (high - low == frame.height - 1) & (frame.height > 1)
        found += [name for name, is_near in zip(names[span], near, strict=True) if is_near]
    return [name for name in found if _is_whole(frame[name]) and frame[name].n_unique() == frame.height]


def _is_whole(series: Any) -> bool:
    """Return whether a series holds whole numbers from 0 up, none of them missing."""
    return bool(kind_of(series.dtype) == "number" and not series.null_count() and ((series >= 0) & (series % 1 == 0)).all())


def _read_pandas(path: str) -> set[str]:
    """Return the columns that a Parquet file says are an index; pandas lists those that it does not store as dicts."""
    polars = require("polars", "table")
    # Older versions of polars do not read it.
    read = getattr(polars, "read_parquet_metadata", None)
    try:
        said = read_json(read(path).get("pandas", "{}")) if read else {}
    except ValueError:
        return set()
    columns = said.get("index_columns") if isinstance(said, dict) else None
    return {name for name in columns if isinstance(name, str)} if isinstance(columns, list) else set()
