"""Read tables from CSV and Parquet files, and record what was assumed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.columns import MAX_NUMBER, iter_numbers, kind_of
from portable_bp.tables.csv import ASSUMPTIONS, ColumnFormat, CsvColumn, read_csv
from portable_bp.tables.files import TABLE_EXTENSIONS, check_extension
from portable_bp.tables.messages import counted, ignore_option, listed, quoted
from portable_bp.tables.options import CsvOptions

# Integer types whose values all fit int64.
INTEGERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32")
KINDS = {"number": "Numbers", "boolean": "True or false", "text": "Text"}


class Table(NamedTuple):
    """A table, and how it was read."""

    path: str
    frame: Any  # a polars frame; numbers that int64 cannot hold are float64 without NaN, empty columns have the dtype Null
    columns: dict[str, CsvColumn] = {}  # only of a CSV file
    assumptions: Sequence[str] = ()  # of the file as a whole, as sentences

    def check_readable(self, names: Sequence[str]) -> None:
        """Raise ValueError if some of the columns could not be read."""
        problems = [self.columns[name].problem for name in names if name in self.columns and self.columns[name].problem]
        if problems:
            more = f" {counted(len(problems) - 1, 'more column')} cannot be read either." if len(problems) > 1 else ""
            raise ValueError(f"{self.path} {problems[0]}{more}")

    def select(self, names: Sequence[str], needed: Collection[str] = ()) -> Any:
        """Return some columns as a polars frame.

        Raises ValueError if one cannot be read, has dates, lists or other types that a network cannot take, or numbers beyond
        ``MAX_NUMBER``. The message does not advise to leave out the columns in ``needed``.
        """
        self.check_readable(names)
        chosen = self.frame[names]
        schema = chosen.schema
        unusable = [name for name, dtype in schema.items() if not kind_of(dtype)]
        if unusable:
            optional = [name for name in unusable if name not in needed]
            what = "them" if optional == unusable else "what is not needed"
            leave_out = f"leave {what} out with {ignore_option(optional)}, or " if optional else ""
            raise ValueError(
                f"{self.path} has columns that are not numbers, booleans or text: "
                f"{listed([f'{name!r} ({schema[name]})' for name in unusable])}; {leave_out}"
                "convert them to numbers, such as the year and month of a date."
            )
        numbers = [name for name, dtype in schema.items() if kind_of(dtype) == "number"]
        large = []
        for span, values in iter_numbers(chosen, numbers):
            large += [numbers[span][index] for index in np.nonzero((np.abs(values) > MAX_NUMBER).any(axis=0))[0]]
        if large:
            leave_out = "" if set(large) <= set(needed) else ", or leave the columns out with --ignore"
            raise ValueError(
                f"{self.path} has infinity, or numbers beyond {MAX_NUMBER:g}, in {quoted(large)}: clear those cells{leave_out}."
            )
        return chosen

    def formats(self, names: Sequence[str]) -> tuple[ColumnFormat, ...]:
        """Return how some columns are written, except those in the default format of their kind."""
        formats = [self.columns[name].format for name in names if name in self.columns]
        return tuple(form for form in formats if not form.is_default)

    def describe_kinds(self, names: Sequence[str]) -> Iterator[str]:
        """Say which columns hold numbers, booleans and text."""
        # polars builds a schema anew at every access.
        schema = self.frame.schema
        for kind, title in KINDS.items():
            if found := [name for name in names if kind_of(schema[name]) == kind]:
                yield f"{title}: {quoted(found)}."

    def describe_assumptions(self, names: Sequence[str], kinds: Collection[str] = tuple(ASSUMPTIONS)) -> Iterator[str]:
        """Say what was assumed about some columns; ``kinds`` are keys of ``ASSUMPTIONS``."""
        columns = [self.columns[name] for name in names if name in self.columns]
        for kind in kinds:
            examples = [
                f"{column.format.name!r} ({column.assumptions[kind]})" for column in columns if kind in column.assumptions
            ]
            if examples:
                yield f"{ASSUMPTIONS[kind]}: {listed(examples)}."


def read_table(path: str, known: Mapping[str, ColumnFormat] | None = None, options: CsvOptions | None = None) -> Table:
    """Read a table from a .csv, .tsv or .parquet file.

    Parameters
    ----------
    path : str
        The file.
    known : dict of str to ColumnFormat, optional
        The formats that columns had in another file; the same columns of a CSV file are read in these formats.
    options : CsvOptions, optional
        The user's options for a CSV file.

    Raises
    ------
    ImportError
        If polars is not installed.
    ValueError
        If the file is not a table with rows, or two of its columns have the same name.
    OSError
        If the file cannot be read.
    """
    extension = check_extension(path, TABLE_EXTENSIONS)
    polars = require("polars", "table")
    with open(path, "rb") as file:
        if extension != ".parquet":
            columns, assumptions = read_csv(path, file.read(), known or {}, options or CsvOptions())
            table = Table(path, polars.DataFrame([column.series for column in columns.values()]), columns, assumptions)
        elif options not in (None, CsvOptions()):
            raise ValueError(
                f"{path} stores the types of its columns: --decimal, --numbers, --text and --missing are only for CSV files."
            )
        else:
            table = Table(path, _read_parquet(path, file))
    if table.frame.height == 0:
        raise ValueError(f"{path} has column names but no rows: give a table with rows.")
    return table._replace(frame=_mark_empty(table.frame))


def _read_parquet(path: str, file: Any) -> Any:
    polars = require("polars", "table")
    try:
        frame = polars.read_parquet(file)
    except polars.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as a .parquet table: {reason}.") from None
    selectors = polars.selectors
    return frame.with_columns(
        (selectors.numeric() - selectors.by_dtype(*(getattr(polars, name) for name in INTEGERS))).cast(float).fill_nan(None),
        selectors.by_dtype(polars.Categorical, polars.Enum).cast(str),
    )


def _mark_empty(frame: Any) -> Any:
    """Give columns without any value the dtype Null."""
    polars = require("polars", "table")
    empty = polars.Series([None] * frame.height, dtype=polars.Null)
    return polars.DataFrame([empty.alias(series.name) if series.null_count() == len(series) else series for series in frame])
