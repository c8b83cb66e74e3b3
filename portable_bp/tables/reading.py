"""How the cells of a column of a CSV file are read, and the values that come of it."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.common.lookup import require

# Of so few strings Python is faster than a call of polars, and of so many cells.
FEW, MANY = 1000, 10_000
DECIMALS, THOUSANDS, UNITS = ".,", ("", ",", ".", "'", " "), "%$€£¥₹"
# What stands for a missing number: pandas's defaults, and what statistical offices, spreadsheets and databases write.
MARKS = frozenset(
    """
    #N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null ? - -- --- – — . .. ...
    * # na Na NAN Nan NONE Null nil NIL NaT n.a. N.A. N.a. n/d N/D n.d. N.D. k.A. missing Missing MISSING unknown Unknown
    UNKNOWN undefined (null) [null] <null> (blank) <missing> \\N #DIV/0! #NAME? #NULL! #NUM! #REF! #VALUE!
    """.split()  # noqa: SIM905
) | {"#N/A N/A", "n. a.", "k. A.", "not available"}
DATE = r"^([0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4})(?:[ T][0-9].*)?$"
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")


@dataclass(frozen=True)
class Reading:
    """How a column is read.

    Parameters
    ----------
    name : str
        Of the column.
    kind : {"number", "boolean", "text", "missing", ""}
        What it holds, as `find_kind` says it.
    decimal, thousands, unit : str
        Of numbers: the decimal mark, what is between thousands, and a sign beside each of them; "" for none.
    missing : tuple of str
        What stands for a missing value, besides an empty cell.
    """

    name: str
    kind: str
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    missing: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it says no more than the kind."""
        return self == Reading(self.name, self.kind)

    @property
    def pattern(self) -> str:
        """A regular expression of the numbers, without their unit."""
        decimal, thousands, power = re.escape(self.decimal), re.escape(self.thousands), "(?:[eE][+-]?[0-9]+)?"
        # India has groups of two, with commas.
        size = "{2,3}" if self.thousands == "," else "{3}"
        groups = rf"|[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{size})*{thousands}[0-9]{{3}}" if thousands else ""
        return rf"^[+-]?(?:(?:[0-9]+{groups})(?:{decimal}[0-9]*)?{power}|{decimal}[0-9]+{power}|(?i:inf(?:inity)?))$"

    def to_numbers(self, text: Any) -> Any:
        """Return the numbers of a series of strings, int64 or float64, null for all that are none."""
        text = tidy(text, self.unit).str.extract(f"({self.pattern})")
        for mark, replacement in ((self.thousands, ""), (self.decimal, ".")):
            text = text.str.replace_all(mark, replacement, literal=True) if mark not in ("", replacement) else text
        return cast_numbers(text)


def cast_numbers(text: Any) -> Any:
    """Return the numbers that a series of strings holds as Python writes them, int64 if all are whole and it can."""
    whole = text.cast(int, strict=False)
    return whole if whole.null_count() == text.null_count() else text.str.to_lowercase().cast(float, strict=False)


def tidy(text: Any, unit: str = "") -> Any:
    """Return strings with plain spaces, apostrophes and minus signs, and without a unit; null where they lack it."""
    if contains(text, "[^ -~]").any():
        for typeset, plain in (("[\u00a0\u2009\u202f]", " "), ("\u2019", "'"), ("^\u2212", "-")):
            text = text.str.replace_all(typeset, plain)
    if not unit:
        return text
    sign = re.escape(unit)
    return text.str.extract(rf"^([+-]?\s*{sign}.*|.*{sign})$").str.replace(rf"\s*{sign}\s*", "")


class Columns:
    """Columns of one type and of different names, on which polars works all together.

    Polars takes a tenth of a millisecond to begin with a column: many short ones are joined end to end.
    """

    def __init__(self, names: Sequence[str], height: int, parts: Any) -> None:
        self.names, self.height, self.parts = names, height, parts

    @classmethod
    def of(cls, frame: Any) -> Columns:
        """Return the columns of a frame."""
        if frame.height <= MANY and frame.width:
            joined = require("polars", "table").concat([series.alias("") for series in frame], rechunk=True)
            return cls(frame.columns, frame.height, joined.to_frame())
        return cls(frame.columns, frame.height, frame)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_joined(self) -> bool:
        """Whether all are one."""
        return self.height <= MANY and bool(self.names)

    def map(self, expression: Any) -> Columns:
        """Return them after an expression of polars.all() that takes each cell by itself."""
        return Columns(self.names, self.height, self.parts.select(expression))

    def count(self, expression: Any) -> np.ndarray:
        """Return of how many cells of each an expression of polars.all() is true."""
        if self.is_joined:
            found = self.parts.select(expression.fill_null(False)).to_series().to_numpy()
            return found.reshape(len(self), self.height).sum(axis=1)
        return np.array(self.parts.select(expression.sum()).row(0) if self.names else (), int)

    def select(self, mask: np.ndarray) -> Columns:
        """Return those for which a mask is true."""
        names = [name for name, is_in in zip(self.names, mask.tolist(), strict=True) if is_in]
        if self.is_joined and names:
            return Columns(names, self.height, self.parts.filter(np.repeat(mask, self.height)))
        return Columns(names, self.height, self.parts.select(names if not self.is_joined else []))

    def split(self) -> list[Any]:
        """Return each as a series."""
        if not self.is_joined:
            return self.parts.get_columns()
        whole = self.parts.to_series()
        return [whole.slice(place * self.height, self.height).alias(name) for place, name in enumerate(self.names)]


def contains(text: Any, pattern: str) -> np.ndarray:
    """Return in which strings of a series a regular expression is found, which has the same sense in Python and in Rust."""
    if len(text) > FEW:
        return text.str.contains(pattern).fill_null(False).to_numpy()
    search = re.compile(pattern).search
    return np.array([value is not None and search(value) is not None for value in text.to_list()], dtype=bool)


def looks_boolean(text: str) -> bool:
    """Return whether a string says true or false."""
    return text.lower() in ("true", "false")


def looks_date(text: str) -> bool:
    """Return whether a string may be a date."""
    return re.search(DATE, text) is not None


def to_booleans(text: Any) -> Any:
    """Return the booleans of a series of strings, null for all that are none."""
    return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=bool)


def to_dates(text: Any) -> Any:
    """Return the dates of a series of strings, null for all that are none; with times or without, in the likeliest order."""
    days = text.str.extract(DATE)
    tries = [days.str.to_date(form, strict=False) for form in DATES] if days.null_count() < len(days) else []
    none = days.clear(len(days)).cast(require("polars", "table").Date)
    return min([none, *tries], key=lambda dates: dates.null_count())


class Text:
    """The text of a column, and the different values in it.

    Parameters
    ----------
    series : polars.Series
        Strings without spaces around them; null where there is nothing.
    missing : sequence of str
        What stands for a missing value, whatever the others are.

    Attributes
    ----------
    cells : polars.Series
        Null where they are missing.
    values, counts : polars.Series, array
        Those that are not in `MARKS`, in the order of the file, and in how many cells each is.
    marks : dict of str to int
        Those in `MARKS`, and in how many cells each is.
    """

    def __init__(self, series: Any, missing: tuple[str, ...] = ()) -> None:
        self.name: str = series.name
        self.cells = series.replace(list(missing), None) if missing else series
        self.marks: dict[str, int] = {}

    def find_marks(self) -> None:
        """Find the marks alone."""
        few = self.cells if len(self.cells) <= MANY else self.cells.filter(self.cells.is_in(list(MARKS)))
        self.marks = dict(collections.Counter(cell for cell in few.to_list() if cell in MARKS))

    def count(self) -> None:
        """Find the different values, and the marks."""
        polars = require("polars", "table")
        filled = self.cells.drop_nulls()
        if len(filled) <= MANY:
            found = collections.Counter(filled.to_list())
            values, counts = polars.Series(list(found), dtype=str), np.array(list(found.values()), dtype=int)
        else:
            counted = filled.to_frame("value").group_by("value", maintain_order=True).len("count")
            values, counts = counted["value"], counted["count"].to_numpy()
        is_mark = (
            values.is_in(list(MARKS)).to_numpy() if len(values) > FEW else np.array([value in MARKS for value in values], bool)
        )
        self.marks = dict(zip(values.filter(is_mark).to_list(), counts[is_mark].tolist(), strict=True))
        self.values, self.counts = values.filter(~is_mark) if is_mark.any() else values, counts[~is_mark]

    def count_cells(self, mask: np.ndarray) -> int:
        """Return in how many cells those values are for which a mask is true."""
        return int(self.counts[mask].sum())

    @property
    def filled(self) -> Any:
        """The cells, null where they are missing if all others are numbers, booleans or dates."""
        return self.cells.replace(list(self.marks), None) if self.marks else self.cells

    def tell_marks(self) -> str:
        """Return which marks there are, and how often."""
        return ", ".join(f"{mark!r} in {count:,} cell{'s' if count > 1 else ''}" for mark, count in self.marks.items())
