"""Infer what the columns of a CSV file hold from all of their cells, and record what was assumed."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.csv.cells import ColumnBatch, TextColumn
from portable_bp.tables.csv.formats import (
    DECIMAL_MARKS,
    NUMBER,
    THOUSANDS_SEPARATORS,
    TIME,
    UNITS,
    ColumnFormat,
    contains,
    find_code,
    looks_boolean,
    looks_like_date,
    normalize,
    to_booleans,
    to_dates,
)
from portable_bp.tables.csv.scan import PlainNumbers, Scan, scan_columns
from portable_bp.tables.csv.splitting import Cells
from portable_bp.tables.options import CsvOptions

# Above the first share of numbers, the other cells are mistakes; above the second, the user is told why the column is text.
MISTAKE_SHARE, MIXED_SHARE = 0.9, 0.5
# What may be assumed about a column, as the beginning of a line that continues with the columns and an example of each.
ASSUMPTIONS = {
    "format": "Numbers with a decimal comma or thousands separators",
    "ambiguous": "Ambiguous numbers, read as shown (--decimal overrides this)",
    "changed": "Numbers written differently than in training",
    "point": "Ambiguous numbers, read with a decimal point as in training",
    "mark": "Numbers with another decimal mark than --decimal says, read as shown",
    "unit": "Numbers with a unit, which is dropped",
    "missing": "Read as missing, like empty cells",
    "marker": "Read as text, not as missing values (--missing overrides this)",
    "code": "Read as text, because they look like codes (--numbers overrides this)",
    "time": "Read as text, although they look like times or dates: each is a category (convert them to numbers first)",
    "mixed": "Read as text, although most of the values are numbers",
}


class CsvColumn(NamedTuple):
    """A column that was read."""

    series: Any  # polars.Series
    format: ColumnFormat
    assumptions: Mapping[str, str] = {}  # an example for each key of ASSUMPTIONS that applies
    problem: str = ""  # why the column cannot be used: a sentence without the path that begins it


class Candidate(NamedTuple):
    """A format for the numbers of a column, which of its different values fit it, and how many cells those are."""

    format: ColumnFormat
    fits: np.ndarray
    cells: int


def read_columns(cells: Cells, options: CsvOptions, known: Mapping[str, ColumnFormat]) -> dict[str, CsvColumn]:
    """Read the columns of a file, by name; those in ``known`` are read as those of another file were."""
    polars = require("polars", "table")
    frame = cells.frame.rename(dict(zip(cells.frame.columns, cells.names, strict=True)))
    series = ColumnBatch.of(frame).map(polars.all().str.strip_chars().replace("", None)).split()
    texts = [TextColumn(each, known[each.name].missing if each.name in known else options.missing) for each in series]
    scan = scan_columns(polars.DataFrame([text.cells for text in texts]))
    for text in texts:
        if text.name in scan.marked:
            text.count_markers()
    reader = _ColumnReader(cells, options, known, scan)
    columns = {text.name: reader.read_clear(text) for text in texts}
    doubtful = [text for text in texts if columns[text.name] is None]
    # All candidates come first: the decimal marks of the other columns decide where one is ambiguous.
    candidates = [reader.find_candidates(text) for text in doubtful]
    for text, found in zip(doubtful, candidates, strict=True):
        columns[text.name] = reader.read_doubtful(text, found)
    read = {name: column for name, column in columns.items() if column}
    if reader.decimals == {","}:
        # Whole numbers of such a file may have points between thousands in another file.
        for name, column in read.items():
            if name not in known and column.format == ColumnFormat(name, "number", missing=column.format.missing):
                read[name] = column._replace(format=replace(column.format, decimal=",", thousands="."))
    return read


@dataclass
class _ColumnReader:
    """Reads the columns of a file one by one, and remembers which decimal marks they certainly have."""

    cells: Cells
    options: CsvOptions
    known: Mapping[str, ColumnFormat]
    scan: Scan
    decimals: set[str] = field(default_factory=set)

    def read_clear(self, text: TextColumn) -> CsvColumn | None:
        """Read a column that is certainly text, empty or plain numbers; return None for any other."""
        name, cells = text.name, text.cells
        known = self.known.get(name, ColumnFormat(name, "number", missing=self.options.missing))
        if name in self.options.text or known.kind == "text":
            return CsvColumn(cells, replace(known, kind="text"))
        if cells.null_count() == len(cells):
            return CsvColumn(cells, replace(known, kind="missing"))
        if name in self.scan.words and not self._must_be_numbers(name):
            return CsvColumn(cells, ColumnFormat(name, "text", missing=known.missing), _assume_text(text))
        plain = self.scan.numbers.get(name)
        if plain is None or known.decimal != "." or known.unit or self._is_doubtful(text, plain):
            return None
        self.decimals |= {"."} if plain.has_points else set()
        assumptions = _assume("missing", text)
        if name in self.known and self.cells.separator == ";" and plain.has_points and not plain.has_decimals:
            # Whole numbers in training leave the decimal mark open, and semicolons suggest that it is a comma.
            row = int((cells.str.contains(r"\.") & plain.numbers.is_not_null()).arg_max())
            assumptions["point"] = f"{cells[row]!r} is {plain.numbers[row]!r}"
        known = replace(known, kind="number", missing=(*known.missing, *text.markers))
        return CsvColumn(plain.numbers, known, assumptions)

    def find_candidates(self, text: TextColumn) -> list[Candidate]:
        """Return the best format of a column for each decimal mark; none if no value begins like a number."""
        text.count_values()
        known, values = self.known.get(text.name, ColumnFormat(text.name, "number")), text.values
        if not contains(values, NUMBER).any():
            return []
        # In a known column, 50% is not the number 50.
        units = UNITS if text.name not in self.known else ()
        unit = known.unit or next(
            (unit for unit in units if unit in values[0] and not normalize(values, unit).null_count()), ""
        )
        plain, candidates = normalize(values, unit), []
        for decimal in DECIMAL_MARKS:
            tried = []
            for thousands in sorted(THOUSANDS_SEPARATORS, key=lambda mark: mark != known.thousands):
                if thousands != decimal:
                    missing = known.missing or self.options.missing
                    tried_format = ColumnFormat(text.name, "number", decimal, thousands, unit, missing)
                    fits = contains(plain, tried_format.pattern)
                    tried.append(Candidate(tried_format, fits, text.count_cells(fits)))
            candidates.append(max(tried, key=operator.attrgetter("cells")))
        certain = [candidate.format.decimal for candidate in candidates if candidate.cells == text.counts.sum()]
        self.decimals |= set(certain) if len(certain) == 1 else set()
        return candidates

    def read_doubtful(self, text: TextColumn, candidates: Sequence[Candidate]) -> CsvColumn:
        """Read a column as what most of it suggests: numbers in one of the candidate formats, booleans, dates or text."""
        name, values = text.name, text.values
        missing = (*self._given_missing(name), *text.markers)
        if values.is_empty():
            if len(text.markers) == 1 or self._must_be_numbers(name):
                return CsvColumn(
                    text.cells_without_markers, ColumnFormat(name, "missing", missing=missing), _assume("missing", text)
                )
            return self._read_as_text(text, None)
        best, is_ambiguous = self._choose(text, candidates) if candidates else (None, False)
        if best and best.cells == text.counts.sum() and (self._must_be_numbers(name) or not find_code(values)):
            numbers = best.format.to_numbers(text.cells_without_markers)
            assumptions = _assume("missing", text) | self._format_assumptions(best.format, values, is_ambiguous)
            return CsvColumn(numbers, replace(best.format, missing=missing), assumptions)
        for kind, looks_so, convert in (("boolean", looks_boolean, to_booleans), ("", looks_like_date, to_dates)):
            if looks_so(values[0]) and not convert(values).null_count():
                converted = convert(text.cells_without_markers)
                return CsvColumn(converted, ColumnFormat(name, kind, missing=missing), _assume("missing", text))
        return self._read_as_text(text, best)

    def _must_be_numbers(self, name: str) -> bool:
        return name in self.options.numbers or (name in self.known and self.known[name].kind == "number")

    def _given_missing(self, name: str) -> tuple[str, ...]:
        return self.known[name].missing if name in self.known else self.options.missing

    def _is_doubtful(self, text: TextColumn, plain: PlainNumbers) -> bool:
        """Return whether plain numbers may be codes after all, or whether their points may separate thousands."""
        is_known, has_markers = text.name in self.known, bool(text.markers)
        if (plain.has_codes or plain.has_large) and (has_markers or not is_known) and not self._must_be_numbers(text.name):
            return True
        if plain.has_points:
            is_ambiguous = self.options.decimal == "," or not plain.has_decimals
        else:
            is_ambiguous = has_markers and (self.options.decimal == "," or self.cells.separator == ";")
        return is_ambiguous and not is_known

    def _choose(self, text: TextColumn, candidates: Sequence[Candidate]) -> tuple[Candidate, bool]:
        """Return the candidate that fits most cells, and whether it is a guess between two."""
        most = max(candidate.cells for candidate in candidates)
        best = {candidate.format.decimal: candidate for candidate in candidates if candidate.cells == most}
        if len(best) == 1:
            return next(iter(best.values())), False
        if text.name in self.known:
            return best[self.known[text.name].decimal], False
        is_guess = not self.options.decimal and _has(text.values, *DECIMAL_MARKS)
        return best[self.options.decimal or self._guess_decimal(text.values)], is_guess

    def _guess_decimal(self, values: Any) -> str:
        """Return the more likely decimal mark of numbers that fit both."""
        if len(self.decimals) == 1:
            return next(iter(self.decimals))
        has_long, has_short = (contains(values, digits).any() for digits in (r"^[+-]?[0-9]{4,}$", r"^[+-]?[0-9]{1,3}$"))
        if contains(values, ",").any():
            # In a column with 5678, the comma of 1,234 does not separate thousands.
            return "," if has_long else "."
        # In a column with 999, the point of 1.234 does, if the file's semicolons suggest decimal commas.
        return "," if self.cells.separator == ";" and has_short and not has_long else "."

    def _format_assumptions(self, found: ColumnFormat, values: Any, is_ambiguous: bool) -> dict[str, str]:
        """Return what is assumed about numbers that are not written as Python does, or as in training."""
        marks = [mark for mark in (found.thousands, found.decimal) if mark]
        shown = values.filter(contains(values, f"[{re.escape(''.join(marks))}]"))
        known = self.known.get(found.name)
        assumptions = {"unit": repr(found.unit)} if found.unit and not known else {}
        if len(shown) and (is_ambiguous or known or marks != ["."] or self.options.decimal == ","):
            is_other = not known and self.options.decimal not in ("", found.decimal) and _has(shown, found.decimal)
            kind = "ambiguous" if is_ambiguous else "changed" if known else "mark" if is_other else "format"
            if not known or (known.decimal, known.thousands) != (found.decimal, found.thousands):
                assumptions[kind] = f"{shown[0]!r} is {found.to_numbers(shown.head(1))[0]!r}"
        return assumptions

    def _read_as_text(self, text: TextColumn, best: Candidate | None) -> CsvColumn:
        """Read a column as text; say why if it might be expected to hold numbers, and refuse it if nearly all are."""
        name, assumptions = text.name, _assume_text(text)
        column = CsvColumn(text.cells, ColumnFormat(name, "text", missing=self._given_missing(name)), assumptions)
        must_be_numbers = self._must_be_numbers(name)
        if not must_be_numbers and (code := find_code(text.values)):
            return column._replace(assumptions=assumptions | {"code": repr(code)})
        total = int(text.counts.sum())
        share = best.cells / total if best and total else 0.0
        if not total or (share <= MIXED_SHARE and not must_be_numbers):
            return column
        strange = text.values.filter(~best.fits)[0] if best else text.values[0]
        example = repr(strange[:40])
        line = self.cells.find_line(int((text.cells == strange).arg_max() or 0))
        if name not in self.known and not must_be_numbers and share < MISTAKE_SHARE:
            return column._replace(assumptions=assumptions | {"mixed": f"such as {example} in line {line}"})
        return column._replace(problem=f"has {example} in column {name!r}, line {line}, {self._advise(name, example)}")

    def _advise(self, name: str, example: str) -> str:
        """Say why numbers are expected in a column, and what to do about a cell that is not one."""
        if name in self.known:
            unit = f" with {self.known[name].unit!r}" if self.known[name].unit else ""
            return f"where training had numbers{unit}: correct or clear that cell."
        reason = "but --numbers was given for it" if name in self.options.numbers else "where most of the values are numbers"
        return (
            f"{reason}: correct that cell, or give --missing {example} if it means a missing value, --text {name!r} if the "
            f"column is text, or --ignore {name!r}."
        )


def _has(values: Any, *marks: str) -> bool:
    """Return whether one of the marks is in one of the strings."""
    return bool(contains(values, f"[{re.escape(''.join(marks))}]").any())


def _assume(kind: str, text: TextColumn) -> dict[str, str]:
    return {kind: text.describe_markers()} if text.markers else {}


def _assume_text(text: TextColumn) -> dict[str, str]:
    """Return what is assumed about a column that is read as text."""
    filled = text.cells_without_markers.drop_nulls()
    is_time = len(filled) and contains(filled.head(1), TIME).all() and contains(filled, TIME).all()
    return _assume("marker", text) | ({"time": repr(filled[0])} if is_time else {})
