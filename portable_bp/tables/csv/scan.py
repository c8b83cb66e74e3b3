"""A fast first look at all columns of a CSV file at once: which are plain numbers, and which are words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.csv.cells import ColumnBatch
from portable_bp.tables.csv.formats import BOOLEAN, CODE, EXPONENT, MISSING_MARKERS, NUMBER

# Float64 has all whole numbers below this one.
EXACT = 2.0**53
# A point that is not a thousands separator, and an exponent.
DECIMAL_POINT = r"\.(?:[0-9]{0,2}|[0-9]{4,})$|^[+-]?(?:0[0-9]*|[0-9]{4,})?\.|[eE]"


class PlainNumbers(NamedTuple):
    """A column of numbers as Python writes them, and what its cells contain."""

    numbers: Any  # int64 or float64 series
    has_codes: bool
    has_points: bool
    has_decimals: bool  # points that are not thousands separators
    has_large: bool  # numbers that float64 may have rounded


class Scan(NamedTuple):
    """Columns whose contents are clear at first sight, missing-value markers aside, and those that have such markers."""

    numbers: dict[str, PlainNumbers]
    words: set[str]  # columns with no number and no boolean
    marked: set[str]


def scan_columns(frame: Any) -> Scan:
    """Find the clear columns of a frame of strings."""
    every, columns = require("polars", "table").all(), ColumnBatch.of(frame)
    numbers = _find_numbers(columns)
    others = columns.select(np.array([name not in numbers for name in columns.names], bool))
    has_markers = others.count(every.is_in(list(MISSING_MARKERS))) > 0
    marked = others.select(has_markers).map(every.replace(list(MISSING_MARKERS), None))
    numbers |= _find_numbers(marked)
    words: set[str] = set()
    for batch in (others.select(~has_markers), marked):
        is_words = (batch.count(every.str.contains(f"{NUMBER}|{BOOLEAN}")) == 0) & (batch.count(every.is_not_null()) > 0)
        words.update(batch.select(is_words).names)
    return Scan(numbers, words, set(marked.names))


def _find_numbers(columns: ColumnBatch) -> dict[str, PlainNumbers]:
    every = require("polars", "table").all()
    numbers = columns.map(every.cast(float, strict=False))
    filled = columns.count(every.is_not_null())
    is_plain = (filled > 0) & (numbers.count(every.is_not_null()) == filled) & (numbers.count(every.is_nan()) == 0)
    cells, numbers = columns.select(is_plain), numbers.select(is_plain)
    whole = cells.map(every.cast(int, strict=False))
    is_whole = whole.count(every.is_not_null()) == filled[is_plain]
    values = [
        integers if each else floats for each, integers, floats in zip(is_whole, whole.split(), numbers.split(), strict=True)
    ]
    patterns = (f"{CODE}|{EXPONENT}", r"\.", DECIMAL_POINT)
    found = [(cells.count(every.str.contains(pattern)) > 0).tolist() for pattern in patterns]
    found.append((numbers.count(every.abs() >= EXACT) > 0).tolist())
    return {name: PlainNumbers(*each) for name, *each in zip(cells.names, values, *found, strict=True)}
