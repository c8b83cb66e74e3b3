"""Tables from files and to files, through polars: CSV and Parquet."""

from __future__ import annotations

import collections
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import find, require
from portable_bp.storage import replace_file
from portable_bp.tables.columns import LARGEST, advise_ignore, find_kind, iter_numbers, listed, quoted
from portable_bp.tables.index import name_index
from portable_bp.tables.inference import REMARKS, Column, Options, read_columns
from portable_bp.tables.reading import Reading
from portable_bp.tables.splitting import split_file

# The separator that each ending stands for, unless another one is more often in the first line.
TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}
# Types of whole numbers, which int64 has all of.
WHOLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32")
KINDS = {"number": "Numbers", "boolean": "True or false", "text": "Text"}


class Table(NamedTuple):
    """A table, and how it was read.

    Attributes
    ----------
    path : str
        What the messages call it.
    frame : polars.DataFrame
        Its values. Numbers that int64 cannot hold are float64, without NaN, and columns without a value have the type Null.
    columns : dict of str to Column
        Of a CSV file, how each was read.
    remarks : list of str
        What was assumed of the file, as sentences.
    """

    path: str
    frame: Any
    columns: dict[str, Column]
    remarks: list[str]

    def refuse(self, names: Sequence[str]) -> None:
        """Raise ValueError if some of the columns cannot be read."""
        problems = [self.columns[name].problem for name in names if name in self.columns and self.columns[name].problem]
        if problems:
            more = f" {len(problems) - 1:,} more columns are like that." if len(problems) > 1 else ""
            raise ValueError(f"{self.path} {problems[0]}{more}")

    def tell_kinds(self, names: Sequence[str]) -> Iterator[str]:
        """Yield lines that say what some columns hold, as `find_kind` finds it."""
        for kind, told in KINDS.items():
            if found := [name for name in names if find_kind(self.frame[name]) == kind]:
                yield f"{told}: {quoted(found)}."

    def tell_remarks(self, names: Sequence[str]) -> Iterator[str]:
        """Yield lines that say what was assumed of the file, and of some columns."""
        yield from self.remarks
        yield from self.tell_assumed(names, REMARKS)

    def tell_assumed(self, names: Sequence[str], kinds: Collection[str]) -> Iterator[str]:
        """Yield lines that say what was assumed of some columns, of some kinds in `REMARKS`."""
        columns = [self.columns[name] for name in names if name in self.columns]
        for kind in kinds:
            said = [f"{column.reading.name!r} ({column.remarks[kind]})" for column in columns if kind in column.remarks]
            if said:
                yield f"{REMARKS[kind]}: {listed(said)}."

    def readings(self, names: Sequence[str]) -> tuple[Reading, ...]:
        """Return how some columns were read, of those for which there is more to know than what they hold."""
        readings = [self.columns[name].reading for name in names if name in self.columns]
        return tuple(reading for reading in readings if not reading.is_plain)


def read_table(path: str, known: Mapping[str, Reading] | None = None, options: Options | None = None) -> Table:
    """Return a table.

    Parameters
    ----------
    path : str
        A file that ends in .csv, .tsv or .parquet.
    known : dict of str to Reading, optional
        Columns of a CSV file that are read as those of another file were.
    options : Options, optional
        What the user says of a CSV file.

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
    with open(path, "rb") as file:
        if ending != ".parquet":
            table = _read_csv(path, file.read(), known or {}, options or Options())
        elif options not in (None, Options()):
            raise ValueError(
                f"{path} says by itself what it holds: --decimal, --numbers, --text and --missing are for CSV files."
            )
        else:
            try:
                table = Table(path, _simplify(polars.read_parquet(file)), {}, [])
            except polars.exceptions.PolarsError as error:
                reason = str(error).partition("\n")[0][:200]
                raise ValueError(f"{path} cannot be read as a {ending} table: {reason}.") from None
    if table.frame.height == 0:
        raise ValueError(f"{path} has the names of columns and no rows.")
    return table._replace(frame=_without_type(table.frame))


def take_columns(table: Table, names: Sequence[str], needed: Collection[str] = ()) -> Any:
    """Return some columns of a table, which a network can take, as a polars frame.

    Parameters
    ----------
    table : Table
        As `read_table` returns it.
    names : sequence of str
        Which.
    needed : collection of str
        Those that the messages do not advise to leave out.

    Raises
    ------
    ValueError
        If one cannot be read, or holds dates, lists or anything else that is no number, boolean or text, or numbers too
        large to reckon with.
    """
    table.refuse(names)
    path, frame = table.path, table.frame
    chosen = frame[names]
    strange = [series.name for series in chosen if not find_kind(series)]
    if strange:
        held = listed([f"{name!r} ({frame.schema[name]})" for name in strange])
        spare = [name for name in strange if name not in needed]
        raise ValueError(
            f"{path} has columns that are no numbers, booleans or text: {held}; "
            + (
                f"leave {'them' if spare == strange else 'what is not needed'} out with {advise_ignore(spare)}, or "
                if spare
                else ""
            )
            + "make numbers of them, such as year and month of a date."
        )
    numbers = [series.name for series in chosen if find_kind(series) == "number"]
    large = []
    for span, values in iter_numbers(chosen, numbers):
        large += [numbers[span][place] for place in np.nonzero((np.abs(values) > LARGEST).any(axis=0))[0]]
    if large:
        advice = "" if set(large) <= set(needed) else ", or leave the columns out with --ignore"
        raise ValueError(f"{path} has infinity, or numbers beyond {LARGEST:g}, in {quoted(large)}: clear those cells{advice}.")
    return chosen


def find_ignored(ignored: Sequence[str], names: Sequence[str], kind: str = "column to ignore") -> set[str]:
    """Return the columns to leave out.

    Parameters
    ----------
    ignored : sequence of str
        Each the name of a column, or several with commas between them.
    names : sequence of str
        Those that there are.
    kind : str
        What the message calls one.

    Raises
    ------
    ValueError
        If one is not there; the message says which is nearest.
    """
    known = {name: name for name in names}
    given = [part for entry in ignored for part in ([entry] if entry in known else entry.split(","))]
    return {find(kind, name.strip(), known) for name in given}


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


def _read_csv(path: str, raw: bytes, known: Mapping[str, Reading], options: Options) -> Table:
    cells = split_file(path, raw, TABLES[os.path.splitext(path)[1].lower()])
    cells = cells._replace(names=name_index(cells.names))
    _check_names(path, cells.names)
    for kind in ("numbers", "text"):
        names = find_ignored(list(getattr(options, kind)), cells.names, f"column of {kind}")
        options = replace(options, **{kind: names})
    if both := set(options.numbers) & set(options.text):
        raise ValueError(f"{quoted(sorted(both))} cannot be of numbers and of text: give one of --numbers and --text.")
    columns = read_columns(cells, options, known)
    polars = require("polars", "table")
    return Table(path, polars.DataFrame([column.series for column in columns.values()]), columns, cells.remarks)


def _check_names(path: str, names: list[str]) -> None:
    twice = sorted(name for name, count in collections.Counter(names).items() if name and count > 1)
    if twice:
        raise ValueError(f"{path} has more than one column called {quoted(twice)}: give each a name of its own.")
    if "" in names:
        raise ValueError(
            f"{path} has no name for column {names.index('') + 1} of {len(names)}: give it one, or leave it out "
            "(pandas writes row numbers so, without index=False)."
        )


def _simplify(frame: Any) -> Any:
    polars = require("polars", "table")
    kinds = polars.selectors
    return frame.with_columns(
        (kinds.numeric() - kinds.by_dtype(*(getattr(polars, name) for name in WHOLE))).cast(float).fill_nan(None),
        kinds.by_dtype(polars.Categorical, polars.Enum).cast(str),
    )


def _without_type(frame: Any) -> Any:
    """Return a frame whose columns without a value have the type Null."""
    polars = require("polars", "table")
    nothing = polars.Series([None] * frame.height, dtype=polars.Null)
    return polars.DataFrame([nothing.alias(series.name) if series.null_count() == len(series) else series for series in frame])
