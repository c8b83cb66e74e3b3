"""What the columns of a CSV file hold, judged by all of their cells, and what of it is assumed."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.reading import (
    DECIMALS,
    MARKS,
    THOUSANDS,
    UNITS,
    Columns,
    Reading,
    Text,
    contains,
    looks_boolean,
    looks_date,
    tidy,
    to_booleans,
    to_dates,
)
from portable_bp.tables.splitting import Cells

# Where so many cells are numbers, the others are mistakes; where so many are, it is said why all of it is text.
NEARLY_ALL, MOST = 0.9, 0.5
# Digits alone are a code where they begin with 0, or have an E among them: numbers are written 0.5, 1.5e-3 or 1e+20.
CODE, EXPONENT, MEASURED = r"^0[0-9]+$", r"^[0-9]+[eE][0-9]+$", r"[.,]|[eE][+-]|^[+-]"
# Float64 has all whole numbers below, and not all of these.
EXACT, LONG = 2.0**53, r"^[0-9]{16,}$"
# What a mark of thousands is never followed or preceded by.
DECIMAL_POINT = r"\.(?:[0-9]{0,2}|[0-9]{4,})$|^[+-]?(?:0[0-9]*|[0-9]{4,})?\.|[eE]"
# What a number, or a date, begins with.
NUMBER, BOOLEAN = r"^[^0-9]{0,3}[0-9]|^[+-]?(?i:inf)", r"^(?i:true|false)$"
REMARKS = {
    "style": "Numbers with a decimal comma, or with marks between thousands",
    "guess": "Numbers that can be read in two ways, read so (--decimal says otherwise)",
    "changed": "Numbers that are written in another way than in training",
    "point": "Numbers that can be read in two ways, read with a decimal point, as in training",
    "unit": "Numbers with a unit, which is left out",
    "missing": "Taken as missing, as empty cells are",
    "mark": "Taken as text, not as missing (--missing says otherwise)",
    "code": "Taken as text, as codes are (--numbers says otherwise)",
    "mixed": "Taken as text, though most of it are numbers",
}


@dataclass(frozen=True)
class Options:
    """What the user says of a CSV file.

    Parameters
    ----------
    decimal : {"", ".", ","}
        The decimal mark; "" to judge by the numbers.
    numbers, text : collection of str
        Columns that hold numbers, whatever they look like, and text.
    missing : tuple of str
        What stands for a missing value in every column.
    """

    decimal: str = ""
    numbers: Collection[str] = ()
    text: Collection[str] = ()
    missing: tuple[str, ...] = ()


class Column(NamedTuple):
    """A column that was read.

    Attributes
    ----------
    series : polars.Series
        Its values.
    reading : Reading
        How they were read.
    remarks : dict of str to str
        What was assumed: a key of `REMARKS`, and an example.
    problem : str
        Why it cannot be used, as a sentence without the path at its beginning, or "".
    """

    series: Any
    reading: Reading
    remarks: Mapping[str, str] = {}
    problem: str = ""


class Style(NamedTuple):
    """A way to read numbers, which of the different values are such, and in how many cells."""

    reading: Reading
    fits: np.ndarray
    cells: int


class Plain(NamedTuple):
    """A column of numbers as Python writes them, and what there is in its cells."""

    numbers: Any
    has_codes: bool
    has_points: bool
    has_decimals: bool
    has_large: bool


def read_columns(cells: Cells, options: Options, known: Mapping[str, Reading]) -> dict[str, Column]:
    """Return the columns of a file by name.

    Parameters
    ----------
    cells : Cells
        Of the file; every column has a name of its own.
    options : Options
        What the user says.
    known : dict of str to Reading
        Columns that are read as those of another file were.
    """
    polars = require("polars", "table")
    reader = _Reader(cells.separator, cells.find_line, options, known)
    frame = cells.frame.rename(dict(zip(cells.frame.columns, cells.names, strict=True)))
    series = Columns.of(frame).map(polars.all().str.strip_chars().replace("", None)).split()
    texts = [Text(each, known[each.name].missing if each.name in known else options.missing) for each in series]
    plain, words, marked = _find_clear(polars.DataFrame([text.cells for text in texts]))
    for text in texts:
        if text.name in marked:
            text.find_marks()
    columns = {text.name: reader.read_certain(text, plain.get(text.name), text.name in words) for text in texts}
    doubtful = [text for text in texts if columns[text.name] is None]
    styles = [reader.find_styles(text) for text in doubtful]
    # What the other columns are like decides where one can be read in two ways.
    for text, found in zip(doubtful, styles, strict=True):
        columns[text.name] = reader.read(text, found)
    read = {name: column for name, column in columns.items() if column}
    if reader.decimals == {","}:
        # So may whole numbers have marks between thousands in another file.
        for name, column in read.items():
            if name not in known and column.reading == Reading(name, "number", missing=column.reading.missing):
                read[name] = column._replace(reading=replace(column.reading, decimal=",", thousands="."))
    return read


@dataclass
class _Reader:
    """Reads the columns of a file.

    Parameters
    ----------
    separator : str
        Between its columns.
    find_line : callable
        Given a row, returns its line.
    options, known : Options, dict of str to Reading
        As `read_columns` takes them.
    decimals : set of str
        The decimal marks that columns of it certainly have.
    """

    separator: str
    find_line: Callable[[int], int]
    options: Options
    known: Mapping[str, Reading]
    decimals: set[str] = field(default_factory=set)

    def read_certain(self, text: Text, plain: Plain | None, is_words: bool) -> Column | None:
        """Return a column of text that is known as such or has no numbers, or of plain numbers; None for all else."""
        name, cells = text.name, text.cells
        reading = self.known.get(name, Reading(name, "number", missing=self.options.missing))
        if name in self.options.text or reading.kind == "text":
            return Column(cells, replace(reading, kind="text"))
        if cells.null_count() == len(cells):
            return Column(cells, replace(reading, kind="missing"))
        is_number = name in self.options.numbers or (name in self.known and reading.kind == "number")
        if is_words and not is_number:
            remarks = {"mark": text.tell_marks()} if text.marks else {}
            return Column(cells, Reading(name, "text", missing=reading.missing), remarks)
        if plain is None or reading.decimal != "." or reading.unit:
            return None
        is_known, has_marks = name in self.known, bool(text.marks)
        is_code = not is_number and (has_marks or not is_known) and (plain.has_codes or plain.has_large)
        if plain.has_points:
            is_guess = self.options.decimal == "," or not plain.has_decimals
        else:
            is_guess = has_marks and (self.options.decimal == "," or self.separator == ";")
        if is_code or (is_guess and not is_known):
            return None
        self.decimals |= {"."} if plain.has_points else set()
        remarks = {"missing": text.tell_marks()} if text.marks else {}
        if name in self.known and self.separator == ";" and plain.has_points and not plain.has_decimals:
            # Whole numbers in training do not say which mark fractions have, and semicolons say that commas are in use.
            row = int((cells.str.contains(r"\.") & plain.numbers.is_not_null()).arg_max())
            remarks["point"] = f"{cells[row]!r} is {plain.numbers[row]!r}"
        return Column(plain.numbers, replace(reading, kind="number", missing=(*reading.missing, *text.marks)), remarks)

    def find_styles(self, text: Text) -> list[Style]:
        """Return the best way to read a column's numbers for each decimal mark, where some of them are numbers."""
        text.count()
        known, values = self.known.get(text.name, Reading(text.name, "number")), text.values
        # 50% is not the number 50 of another table.
        units = UNITS if text.name not in self.known else ()
        if not contains(values, NUMBER).any():
            return []
        unit = known.unit or next((unit for unit in units if unit in values[0] and not tidy(values, unit).null_count()), "")
        plain, styles = tidy(values, unit), []
        for decimal in DECIMALS:
            tried = []
            for thousands in sorted(THOUSANDS, key=lambda mark: mark != known.thousands):
                if thousands != decimal:
                    reading = Reading(text.name, "number", decimal, thousands, unit, known.missing or self.options.missing)
                    fits = contains(plain, reading.pattern)
                    tried.append(Style(reading, fits, text.count_cells(fits)))
            styles.append(max(tried, key=operator.attrgetter("cells")))
        certain = [style.reading.decimal for style in styles if style.cells == text.counts.sum()]
        self.decimals |= set(certain) if len(certain) == 1 else set()
        return styles

    def read(self, text: Text, styles: Sequence[Style]) -> Column:
        """Return a column, of which `find_styles` found the styles."""
        name, values = text.name, text.values
        known = self.known.get(name)
        given = known.missing if known else self.options.missing
        reading = Reading(name, "missing", missing=(*given, *text.marks))
        remarks = {"missing": text.tell_marks()} if text.marks else {}
        is_number = name in self.options.numbers or bool(known and known.kind == "number")
        if values.is_empty():
            if len(text.marks) == 1 or is_number:
                return Column(text.filled, reading, remarks)
            return self._read_text(text, None, given)
        best, is_guess = self._choose(text, styles) if styles else (None, False)
        if best and best.cells == text.counts.sum() and (is_number or not _find_code(values)):
            numbers = best.reading.to_numbers(text.filled)
            remarks |= self._tell_style(best.reading, values, is_guess)
            return Column(numbers, replace(best.reading, missing=reading.missing), remarks)
        for kind, looks, convert in (("boolean", looks_boolean, to_booleans), ("", looks_date, to_dates)):
            if looks(values[0]) and not convert(values).null_count():
                return Column(convert(text.filled), replace(reading, kind=kind), remarks)
        return self._read_text(text, best, given)

    def _choose(self, text: Text, styles: Sequence[Style]) -> tuple[Style, bool]:
        """Return the style that most numbers have, and whether it is a guess which one of two that is."""
        most = max(style.cells for style in styles)
        best = {style.reading.decimal: style for style in styles if style.cells == most}
        if len(best) == 1:
            return next(iter(best.values())), False
        if text.name in self.known:
            return best[self.known[text.name].decimal], False
        is_guess = not self.options.decimal and bool(contains(text.values, "[.,]").any())
        return best[self.options.decimal or self._guess(text.values)], is_guess

    def _guess(self, values: Any) -> str:
        """Return the likelier decimal mark of numbers that can be read with both."""
        if len(self.decimals) == 1:
            return next(iter(self.decimals))
        has_long, has_short = (contains(values, digits).any() for digits in (r"^[+-]?[0-9]{4,}$", r"^[+-]?[0-9]{1,3}$"))
        if contains(values, ",").any():
            # With 5678 beside it, 1,234 has no mark between thousands.
            return "," if has_long else "."
        # With 999 beside it, 1.234 has no fractions, if the semicolons say that commas are in use.
        return "," if self.separator == ";" and has_short and not has_long else "."

    def _tell_style(self, reading: Reading, values: Any, is_guess: bool) -> dict[str, str]:
        """Return the remarks on numbers that are not written as Python writes them, or not as they were in training."""
        marks = [mark for mark in (reading.thousands, reading.decimal) if mark]
        shown = values.filter(contains(values, f"[{re.escape(''.join(marks))}]"))
        known = self.known.get(reading.name)
        remarks = {"unit": repr(reading.unit)} if reading.unit and not known else {}
        if len(shown) and (is_guess or known or marks != ["."]):
            kind = "guess" if is_guess else "style" if not known else "changed"
            if not known or (known.decimal, known.thousands) != (reading.decimal, reading.thousands):
                remarks[kind] = f"{shown[0]!r} is {reading.to_numbers(shown.head(1))[0]!r}"
        return remarks

    def _read_text(self, text: Text, best: Style | None, missing: tuple[str, ...]) -> Column:
        """Return a column of text, and why it is none of numbers where one might think so."""
        name, known = text.name, self.known.get(text.name)
        remarks = {"mark": text.tell_marks()} if text.marks else {}
        column = Column(text.cells, Reading(name, "text", missing=missing), remarks)
        is_number = name in self.options.numbers or bool(known and known.kind == "number")
        if not is_number and (code := _find_code(text.values)):
            return column._replace(remarks=remarks | {"code": repr(code)})
        total = int(text.counts.sum())
        share = best.cells / total if best and total else 0.0
        if share <= MOST and not is_number or not total:
            return column
        strange = text.values.filter(~best.fits) if best else text.values
        example = repr(strange[0][:40])
        line = self.find_line(int((text.cells == strange[0]).arg_max() or 0))
        if known:
            unit = f" with {known.unit!r}" if known.unit else ""
            problem = (
                f"has {example} in column {name!r}, line {line}, and numbers{unit} in training: correct or clear that cell."
            )
        elif is_number or share >= NEARLY_ALL:
            problem = (
                f"has {example} in column {name!r}, line {line}, where {'you said that' if is_number else 'most'} are numbers: "
                f"correct it, or say --missing {example} if it is a missing value, --text {name!r} if all of it is text, or "
                f"--ignore {name!r}."
            )
        else:
            return column._replace(remarks=remarks | {"mixed": f"such as {example} in line {line}"})
        return column._replace(problem=problem)


def _find_code(values: Any) -> str | None:
    """Return the first of different values that is a code of digits, or None where they may be numbers."""
    codes = values.filter(contains(values, CODE))
    if not contains(values, MEASURED).any():
        codes = codes.append(values.filter(contains(values, EXPONENT)))
    long = values.filter(contains(values, LONG))
    # Numbers that float64 cannot tell apart, or of which it would lose digits that int64 has no room for either.
    if len(long) and (
        long.cast(float).n_unique() < len(long) or (len(long) == len(values) and long.cast(int, strict=False).null_count())
    ):
        codes = codes.append(long)
    return codes[0] if len(codes) else None


def _find_clear(frame: Any) -> tuple[dict[str, Plain], set[str], set[str]]:
    """Return, besides marks, which columns of strings are plain numbers, and which text alone; and which have marks."""
    every, columns = require("polars", "table").all(), Columns.of(frame)
    plain = _find_plain(columns)
    others = columns.select(np.array([name not in plain for name in columns.names], bool))
    has_marks = others.count(every.is_in(list(MARKS))) > 0
    marked = others.select(has_marks).map(every.replace(list(MARKS), None))
    plain |= _find_plain(marked)
    words: set[str] = set()
    for some in (others.select(~has_marks), marked):
        is_words = (some.count(every.str.contains(f"{NUMBER}|{BOOLEAN}")) == 0) & (some.count(every.is_not_null()) > 0)
        words.update(some.select(is_words).names)
    return plain, words, set(marked.names)


def _find_plain(columns: Columns) -> dict[str, Plain]:
    """Return those of some columns of strings that are numbers as Python writes them."""
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
    return {name: Plain(*each) for name, *each in zip(cells.names, values, *found, strict=True)}
