"""CSV and Parquet files read, through polars, into columns on the host."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from portable_bp.extras import require
from portable_bp.lookup import find
from portable_bp.tables.columns import Column
from portable_bp.tables.header import SEPARATORS, read_header
from portable_bp.tables.words import named_ending, quoted

# The separator that each ending stands for; Parquet needs none.
ENDINGS = {".csv": ",", ".tsv": "\t", ".parquet": None}
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL"]


def read_frame(path: str, text: Collection[str] = (), say: Callable[[str], None] = lambda line: None) -> Any:
    """Return a table as a polars frame, whose types are inferred from the whole of it.

    Parameters
    ----------
    path : str
        A file that ends in .csv, .tsv or .parquet.
    text : collection of str
        Columns that hold text even where a CSV file has nothing but numbers in them.
    say : callable
        Told, in a line, what was found out about the file.

    Raises
    ------
    ImportError
        If polars is not installed.
    ValueError
        If it is no table with columns of different names.
    OSError
        If it cannot be read.
    """
    ending = find_ending(path)
    polars = require("polars", "table")
    with open(path, "rb"):
        pass
    try:
        frame = _read_parquet(path) if ending == ".parquet" else _read_csv(path, ENDINGS[ending], text, say)
    except polars.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0].strip()[:200]
        raise ValueError(f"{path} cannot be read as a {ending} table: {reason or type(error).__name__}.") from None
    if frame.height == 0:
        raise ValueError(f"{path} has the names of columns and no rows.")
    return frame


def find_ending(path: str) -> Any:
    """Return how the name of a table ends, in small letters.

    Parameters
    ----------
    path : str
        The file, which need not be there.

    Raises
    ------
    ValueError
        If it is no ending of a table.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path} {named_ending(ending)}, and a table ends in {', '.join(ENDINGS)}: rename or convert it.")
    return ending


def check_ignored(ignored: Sequence[str], names: Sequence[str]) -> set[str]:
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


def take_columns(path: str, frame: Any, names: Sequence[str]) -> dict[str, Column]:
    """Return some columns of a frame, on the host.

    Parameters
    ----------
    path : str
        What the message calls the table.
    frame : polars.DataFrame
        As `read_frame` returns it.
    names : sequence of str
        Which.

    Raises
    ------
    ValueError
        If one holds dates, lists or anything else that is no number, boolean or text, or infinity.
    """
    columns = {name: _to_column(frame.get_column(name)) for name in names}
    strange = [name for name in names if columns[name] is None]
    if strange:
        held = ", ".join(f"{name!r} ({frame.schema[name]})" for name in strange)
        raise ValueError(
            f"{path} has columns that are no numbers, booleans or text: {held}; leave them out with "
            f"--ignore {quoted(strange)}, or make numbers of them, such as year and month of a date."
        )
    found = {name: column for name, column in columns.items() if column is not None}
    infinite = [name for name in names if found[name].kind == "number" and np.isinf(found[name].values).any()]
    if infinite:
        raise ValueError(
            f"{path} has infinity in {quoted(infinite)}: clear those cells, or leave the columns out with --ignore."
        )
    return found


def _read_parquet(path: str) -> Any:
    return require("polars", "table").read_parquet(path, glob=False)


def _read_csv(path: str, expected: str, text: Collection[str], say: Callable[[str], None]) -> Any:
    polars = require("polars", "table")
    header = read_header(path, expected)
    names = _check_names(path, header.names)
    if header.separator != expected and len(names) > 1:
        say(f"{path}: {SEPARATORS[header.separator]} stand between its columns.")
    frame = polars.read_csv(
        path,
        separator=header.separator,
        infer_schema_length=None,
        try_parse_dates=True,
        null_values=MISSING,
        schema_overrides={raw: polars.String for raw, name in zip(header.names, names, strict=True) if name in text},
        glob=False,
    )
    if frame.width != len(names):
        raise ValueError(f"{path} has {len(names)} names in its first line and {frame.width} columns: it is no CSV file.")
    frame.columns = names
    tidied = frame.with_columns(
        _tidy(series, series.name in text, header.separator == ";") for series in frame if series.dtype == polars.String
    )
    commas = [name for name in names if tidied.schema[name] != frame.schema[name] and _has_comma(frame.get_column(name))]
    if commas:
        say(f"{path}: commas in {quoted(commas)} are taken as decimal points.")
    return tidied


def _has_comma(series: Any) -> bool:
    return bool(series.str.contains(",", literal=True).any())


def _check_names(path: str, raw: list[str]) -> list[str]:
    names = [name.strip() for name in raw]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has more than one column called {quoted(twice)}: give each a name of its own.")
    if "" in names:
        raise ValueError(
            f"{path} has no name for column {names.index('') + 1} of {len(names)}: give it one, or leave it out "
            "(pandas writes row numbers so, without index=False)."
        )
    return names


def _tidy(series: Any, is_text: bool, decimal_comma: bool) -> Any:
    """Return text without spaces around it, or numbers where it was nothing else: polars takes ' 2.5' and '2,5' for text."""
    polars = require("polars", "table")
    stripped = series.str.strip_chars()
    stripped = stripped.set(stripped.is_in(MISSING), None)
    if is_text:
        return stripped
    written = stripped.str.replace(",", ".", literal=True) if decimal_comma else stripped
    numbers = written.cast(polars.Float64, strict=False)
    return numbers if numbers.null_count() == stripped.null_count() else stripped


def _to_column(series: Any) -> Column | None:
    polars = require("polars", "table")
    dtype = series.dtype
    if series.null_count() == len(series):
        return Column("missing", np.full(len(series), np.nan))
    if dtype.is_numeric() or dtype == polars.Boolean:
        values = np.array(series.cast(polars.Float64).to_numpy(), dtype=np.float64)
        kind = "boolean" if dtype == polars.Boolean else "number"
        return Column("missing" if np.isnan(values).all() else kind, values)
    if dtype in (polars.String, polars.Categorical, polars.Enum):
        return Column("text", np.array(series.cast(polars.String).to_list(), dtype=object))
    return None
