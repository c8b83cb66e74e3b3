"""How the cells of a CSV column are written, and the numbers, booleans and dates that they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.common.lookup import require

# Up to this many strings, Python is faster than a call of polars.
MAX_PYTHON_STRINGS = 1000
DECIMAL_MARKS, THOUSANDS_SEPARATORS, UNITS = ".,", ("", ",", ".", "'", " "), "%$€£¥₹"
# What stands for a missing number: the defaults of pandas, and what statistical offices, spreadsheets and databases write.
MISSING_MARKERS = frozenset(
    """
    #N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null ? - -- --- – — . .. ...
    * # na Na NAN Nan NONE Null nil NIL NaT n.a. N.A. N.a. n/d N/D n.d. N.D. k.A. missing Missing MISSING unknown Unknown
    UNKNOWN undefined (null) [null] <null> (blank) <missing> \\N #DIV/0! #NAME? #NULL! #NUM! #REF! #VALUE!
    """.split()  # noqa: SIM905
) | {"#N/A N/A", "n. a.", "k. A.", "not available"}
# How a number, a date or infinity begins; and a boolean.
NUMBER, BOOLEAN = r"^[^0-9]{0,3}[0-9]|^[+-]?(?i:inf)", r"^(?i:true|false)$"
DATE = r"^([0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4})(?:[ T][0-9].*)?$"
# A time of day or duration, and a date with the name of its month, in English or German: neither is read.
TIME = (
    r"^[0-9]{1,3}:[0-5][0-9](?::[0-5][0-9].*)?(?: ?[AaPp]\.?[Mm]\.?)?$"
    r"|^(?:[0-9]{1,4}[-. ]+)?(?i:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zä]*[-. ,]+[0-9]{1,4}\b"
)
DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
# Digits are a code if they begin with 0, or if there is an E among them: numbers are written 0.5, 1.5e-3 or 1e+20.
CODE, EXPONENT, MEASURED = r"^0[0-9]+$", r"^[0-9]+[eE][0-9]+$", r"[.,]|[eE][+-]|^[+-]"
LONG_NUMBER = r"^[0-9]{16,}$"


@dataclass(frozen=True)
class ColumnFormat:
    """How the cells of a column are written."""

    name: str
    kind: str  # what it holds, as kind_of gives it
    decimal: str = "."
    thousands: str = ""  # the separator between thousands; "" for none
    unit: str = ""  # the sign before or after each number; "" for none
    missing: tuple[str, ...] = ()  # what stands for a missing value, besides an empty cell

    @property
    def is_default(self) -> bool:
        """Whether the format says no more than the kind."""
        return self == ColumnFormat(self.name, self.kind)

    @property
    def pattern(self) -> str:
        """A regular expression that matches the numbers, without their unit."""
        decimal, thousands, power = re.escape(self.decimal), re.escape(self.thousands), "(?:[eE][+-]?[0-9]+)?"
        # Indian numbers have groups of two digits, separated by commas.
        size = "{2,3}" if self.thousands == "," else "{3}"
        groups = rf"|[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{size})*{thousands}[0-9]{{3}}" if thousands else ""
        return rf"^[+-]?(?:(?:[0-9]+{groups})(?:{decimal}[0-9]*)?{power}|{decimal}[0-9]+{power}|(?i:inf(?:inity)?))$"

    def to_numbers(self, text: Any) -> Any:
        """Convert a series of strings to int64 or float64, null where a string is not a number."""
        text = normalize(text, self.unit).str.extract(f"({self.pattern})")
        for mark, replacement in ((self.thousands, ""), (self.decimal, ".")):
            text = text.str.replace_all(mark, replacement, literal=True) if mark not in ("", replacement) else text
        whole = text.cast(int, strict=False)
        return whole if whole.null_count() == text.null_count() else text.str.to_lowercase().cast(float, strict=False)


def normalize(text: Any, unit: str = "") -> Any:
    """Return strings with plain spaces, apostrophes and minus signs, and without their unit; null where the unit is absent."""
    if contains(text, "[^ -~]").any():
        for typeset, plain in (("[\u00a0\u2009\u202f]", " "), ("\u2019", "'"), ("^\u2212", "-")):
            text = text.str.replace_all(typeset, plain)
    if not unit:
        return text
    sign = re.escape(unit)
    return text.str.extract(rf"^([+-]?\s*{sign}.*|.*{sign})$").str.replace(rf"\s*{sign}\s*", "")


def contains(text: Any, pattern: str) -> np.ndarray:
    """Return which strings contain a match of a regular expression, which must mean the same in Python and in Rust."""
    if len(text) > MAX_PYTHON_STRINGS:
        return text.str.contains(pattern).fill_null(False).to_numpy()
    search = re.compile(pattern).search
    return np.array([value is not None and search(value) is not None for value in text.to_list()], dtype=bool)


def find_code(values: Any) -> str | None:
    """Return the first of different strings that is a code of digits, such as a postal code; None if all may be numbers."""
    codes = values.filter(contains(values, CODE))
    if not contains(values, MEASURED).any():
        codes = codes.append(values.filter(contains(values, EXPONENT)))
    long = values.filter(contains(values, LONG_NUMBER))
    # Float64 cannot tell such numbers apart, or would lose digits of them, and int64 cannot hold them either.
    if len(long) and (
        long.cast(float).n_unique() < len(long) or (len(long) == len(values) and long.cast(int, strict=False).null_count())
    ):
        codes = codes.append(long)
    return codes[0] if len(codes) else None


def looks_boolean(text: str) -> bool:
    """Return whether a string is true or false, in any case."""
    return text.lower() in ("true", "false")


def looks_like_date(text: str) -> bool:
    """Return whether a string may be a date."""
    return re.search(DATE, text) is not None


def to_booleans(text: Any) -> Any:
    """Convert a series of strings to booleans, null where a string is neither true nor false."""
    return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=bool)


def to_dates(text: Any) -> Any:
    """Convert a series of strings, with or without times, to dates in the format that fits most, null where it does not fit."""
    days = text.str.extract(DATE)
    tries = [days.str.to_date(form, strict=False) for form in DATE_FORMATS] if days.null_count() < len(days) else []
    none = days.clear(len(days)).cast(require("polars", "table").Date)
    return min([none, *tries], key=lambda dates: dates.null_count())
