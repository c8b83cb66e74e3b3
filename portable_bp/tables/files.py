"""Tables from files and to files, through polars: CSV and Parquet."""

from __future__ import annotations

import collections
import csv
import io
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from portable_bp.extras import require
from portable_bp.lookup import find
from portable_bp.storage import replace_file
from portable_bp.tables.columns import LARGEST, advise_ignore, find_kind, iter_numbers, listed, quoted
from portable_bp.tables.index import name_index

# The separator that each ending stands for, unless another one is more often in the first line.
TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}
SEPARATORS = ",;\t|"
# Types of whole numbers, which int64 has all of.
WHOLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32")
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL"]


def read_table(path: str, text: Collection[str] = ()) -> Any:
    """Return a table as a polars frame.

    Numbers that int64 cannot hold are float64 in it, without NaN, and columns without a value have the type Null.

    Parameters
    ----------
    path : str
        A file that ends in .csv, .tsv or .parquet.
    text : collection of str
        Columns that hold text even where a CSV file has nothing but numbers in them.

    Raises
    ------
    ImportError
        If polars is not installed.
    ValueError
        If it is no table with rows, and columns of different names.
    OSError
        If it cannot be read.
    """
    ending = check_ending(path, list(TABLES))
    polars = require("polars", "table")
    try:
        with open(path, "rb") as file:
            frame = _simplify(polars.read_parquet(file) if ending == ".parquet" else _read_csv(path, file, text))
    except (polars.exceptions.PolarsError, csv.Error, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as a {ending} table: {reason}.") from None
    if frame.height == 0:
        raise ValueError(f"{path} has the names of columns and no rows.")
    return frame


def take_columns(path: str, frame: Any, names: Sequence[str]) -> Any:
    """Return some columns of a frame, which a network can take.

    Parameters
    ----------
    path : str
        What the message calls the table.
    frame : polars.DataFrame
        As `read_table` returns it.
    names : sequence of str
        Which.

    Raises
    ------
    ValueError
        If one holds dates, lists or anything else that is no number, boolean or text, or numbers too large to reckon with.
    """
    chosen = frame[names]
    strange = [series.name for series in chosen if not find_kind(series)]
    if strange:
        held = listed([f"{name!r} ({frame.schema[name]})" for name in strange])
        raise ValueError(
            f"{path} has columns that are no numbers, booleans or text: {held}; leave them out with "
            f"{advise_ignore(strange)}, or make numbers of them, such as year and month of a date."
        )
    numbers = [series.name for series in chosen if find_kind(series) == "number"]
    large = []
    for span, values in iter_numbers(chosen, numbers):
        large += [numbers[span][place] for place in np.nonzero((np.abs(values) > LARGEST).any(axis=0))[0]]
    if large:
        raise ValueError(
            f"{path} has infinity, or numbers beyond {LARGEST:g}, in {quoted(large)}: clear those cells, or leave the columns "
            "out with --ignore."
        )
    return chosen


def find_ignored(ignored: Sequence[str], names: Sequence[str]) -> set[str]:
    """Return the columns to leave out.

    Parameters
    ----------
    ignored : sequence of str
        Each the name of a column, or several with commas between them.
    names : sequence of str
        Those that there are.

    Raises
    ------
    ValueError
        If one is not there; the message says which is nearest.
    """
    known = {name: name for name in names}
    given = [part for entry in ignored for part in ([entry] if entry in known else entry.split(","))]
    return {find("column to ignore", name.strip(), known) for name in given}


def check_ending(path: str, endings: Sequence[str]) -> str:
    """Return how the name of a file ends, in small letters, or raise ValueError if it should end otherwise."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in endings:
        raise ValueError(f"{path} should end in {' or '.join(endings)}: give another name.")
    return ending


def check_output(path: str, endings: Sequence[str], kept: Sequence[str]) -> None:
    """Raise unless a file may be written under a name.

    Parameters
    ----------
    path : str
        Where it should go.
    endings : sequence of str
        One of which its name should have.
    kept : sequence of str
        Files that must stay as they are.

    Raises
    ------
    ValueError
        If it has another ending, is one of the others, or cannot be written.
    """
    check_ending(path, endings)
    target = os.path.realpath(path)
    if target in map(os.path.realpath, kept):
        raise ValueError(f"{path} would be written over, and it is needed: give another name.")
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ValueError(
            f"{path} cannot be written: give the name of a file, in a folder that is there and that you may change."
        )


def write_table(frame: Any, path: str) -> None:
    """Write a polars frame as a file that ends in .csv, .tsv or .parquet; an old one is replaced once the new one is whole."""
    ending = check_ending(path, list(TABLES))
    with io.BytesIO() as buffer:
        frame.write_parquet(buffer) if ending == ".parquet" else frame.write_csv(buffer, separator=TABLES[ending])
        replace_file(path, buffer.getvalue())


def _read_csv(path: str, file: Any, text: Collection[str]) -> Any:
    polars = require("polars", "table")
    separator, raw = _read_header(path)
    names = name_index([name.strip() for name in raw])
    _check_names(path, names)
    # All as text: its own inference is slow where it looks at every row, and takes ' 2.5' and '2,5' for text.
    frame = polars.read_csv(file, separator=separator, infer_schema_length=0)
    if frame.width != len(names):
        raise ValueError(f"{path} has {len(names)} names in its first line and {frame.width} columns: it is no CSV file.")
    frame.columns = names
    return frame.with_columns(_read_text(series, series.name in text, separator == ";") for series in frame)


def _read_header(path: str) -> tuple[str, list[str]]:
    """Return what separates the columns of a CSV file, and their names."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        usual = TABLES[os.path.splitext(path)[1].lower()]
        separator = max(SEPARATORS, key=lambda separator: (first.count(separator), separator == usual))
        file.seek(0)
        return separator, next(csv.reader(file, delimiter=separator), [])


def _check_names(path: str, names: list[str]) -> None:
    twice = sorted(name for name, count in collections.Counter(names).items() if name and count > 1)
    if twice:
        raise ValueError(f"{path} has more than one column called {quoted(twice)}: give each a name of its own.")
    if "" in names:
        raise ValueError(
            f"{path} has no name for column {names.index('') + 1} of {len(names)}: give it one, or leave it out "
            "(pandas writes row numbers so, without index=False)."
        )


def _read_text(series: Any, is_text: bool, decimal_comma: bool) -> Any:
    """Return what text says, in the first of the kinds that all of it can be read as."""
    text = series.str.strip_chars().replace(MISSING, None)
    if is_text:
        return text
    return next(values for values in _readings(text, decimal_comma) if values.null_count() == text.null_count())


def _readings(text: Any, decimal_comma: bool) -> Iterator[Any]:
    yield text.cast(int, strict=False)
    yield (text.str.replace(",", ".", literal=True) if decimal_comma else text).cast(float, strict=False)
    yield text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=bool)
    # Dates, and dates with a time, which are refused by name.
    yield text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    yield text


def _simplify(frame: Any) -> Any:
    polars = require("polars", "table")
    kinds = polars.selectors
    simple = frame.with_columns(
        (kinds.numeric() - kinds.by_dtype(*(getattr(polars, name) for name in WHOLE))).cast(float).fill_nan(None),
        kinds.by_dtype(polars.Categorical, polars.Enum).cast(str),
    )
    return simple.with_columns(polars.lit(None).alias(series.name) for series in simple if series.null_count() == len(series))
