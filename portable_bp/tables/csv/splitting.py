"""CSV files split into cells: regular files by polars, all others by Python's csv module, as pandas reads them."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.tables.csv.decoding import decode
from portable_bp.tables.csv.document import Document, csv_reader, find_document, iter_lines
from portable_bp.tables.messages import counted

# Rows that are held as Python lists at a time.
BATCH_ROWS = 2**15
# A line that no file has, since NUL is refused: an unclosed quote swallows it.
END = "\0"


class Cells(NamedTuple):
    """The cells of a CSV file."""

    names: list[str]  # without spaces around them; one may be empty
    frame: Any  # a polars frame of strings; empty cells are null or ""
    separator: str
    find_line: Callable[[int], int]  # the line of the file in which a row begins
    assumptions: list[str]  # as sentences


def split_file(path: str, raw: bytes, default_separator: str) -> Cells:
    """Split a CSV file into cells; ``default_separator`` is used if no other separator is more likely."""
    text, assumptions = decode(path, raw)
    try:
        document = find_document(path, text, default_separator)
        cells = _split_regular(document) or _split_irregular(document)
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}; is a quote left unclosed?") from None
    assumptions += cells.assumptions + _describe_empty_rows(document)
    names, frame = cells.names, cells.frame
    # Some programs end every line with a separator, after which there is no column.
    while len(names) > 1 and not names[-1] and _is_empty(frame[:, -1]):
        names, frame = names[:-1], frame[:, :-1]
    return cells._replace(names=names, frame=frame, assumptions=assumptions)


def _describe_empty_rows(document: Document) -> list[str]:
    separator = document.separator
    if f"\n{separator}" not in document.text:
        return []
    empty = re.findall(rf"^{re.escape(separator)}[ \t{re.escape(separator)}]*$", document.text, re.MULTILINE)
    return [f"{document.path}: {counted(len(empty), 'row')} without any value (separators only)."] if empty else []


def _is_empty(series: Any) -> bool:
    return bool((series.fill_null("").str.strip_chars() == "").all())


def _split_regular(document: Document) -> Cells | None:
    """Split a file all of whose rows have as many fields as its header; return None if it is not such a file."""
    polars = require("polars", "table")
    names, separator, data = document.names, document.separator, document.text.encode()
    ends, quote = _find_row_ends(data, separator, len(names))
    if ends is None:
        return None

    def find_line(row: int) -> int:
        return data.count(b"\n", 0, int(ends[row])) + 2 + document.skipped

    if body := data[int(ends[0]) + 1 :]:
        # All as text: polars infers types slowly if it looks at every row, and takes ' 2.5' and '2,5' for text.
        frame = polars.read_csv(body, separator=separator, quote_char=quote, has_header=False, infer_schema_length=0)
    else:
        frame = polars.DataFrame(schema={str(index): str for index in range(len(names))})
    return Cells(names, frame, separator, find_line, [])


def _find_row_ends(data: bytes, separator: str, fields: int) -> tuple[np.ndarray | None, str | None]:
    """Return where each row ends, and the quote character if fields are quoted.

    The ends are None unless every row has ``fields`` fields, no line is blank, and all quotes are around fields.
    """
    array = np.frombuffer(data, np.uint8)
    if fields == 1 and re.search(rb"\n[ \t]*\n", data) or len(separator.encode()) > 1:
        return None, None
    ends = np.append(np.flatnonzero(array == ord("\n")), array.size)
    breaks = np.flatnonzero(array == ord(separator))
    quotes = np.flatnonzero(array == ord('"'))
    quote = '"' if quotes.size and _begins_field(array, quotes, separator) else None
    if quote:
        edges = np.frombuffer(f'{separator}\n"'.encode(), np.uint8)
        opening, closing = quotes[::2], quotes[1::2]
        before, after = array[opening[opening > 0] - 1], array[closing[closing < array.size - 1] + 1]
        if quotes.size % 2 or not (np.isin(before, edges).all() and np.isin(after, edges).all()):
            return None, quote
        # Outside of quotes, an even number of them comes before.
        ends, breaks = (found[np.searchsorted(quotes, found) % 2 == 0] for found in (ends, breaks))
    counts = np.diff(np.searchsorted(breaks, ends), prepend=0)
    return (ends if (counts == fields - 1).all() else None), quote


def _begins_field(array: np.ndarray, quotes: np.ndarray, separator: str) -> bool:
    """Return whether any quote begins a field, spaces aside; if none does, all are text, such as inches."""
    before = quotes - 1
    while (is_space := (before >= 0) & (array[before] == ord(" "))).any():
        before = before - is_space
    return bool(before.min() < 0 or np.isin(array[before], (ord(separator), ord("\n"))).any())


def _split_irregular(document: Document) -> Cells:
    """Split a file as Python's csv module and pandas do, whatever its rows look like."""
    polars = require("polars", "table")
    rows = _Rows(document)
    path, names, frame = document.path, document.names, rows.read()
    width, beyond = len(names), frame[:, len(names) :]
    filled = beyond.select(polars.any_horizontal(polars.all().str.contains(r"\S"))).to_series() if beyond.width else None
    if filled is None or not filled.any():
        frame = frame[:, :width]
    elif set(rows.lengths) == {width + 1}:
        # R does not name the first column, of row names.
        names = ["", *names]
    else:
        row = int(filled.arg_max())
        raise ValueError(
            f"{path} has {rows.lengths[row]} fields in line {rows.lines[row]}, but its header names "
            f"{counted(width, 'column')}: correct that line; text that contains {document.separator!r} must be quoted."
        )
    assumptions = []
    if rows.blank:
        assumptions.append(f"{path}: {counted(len(rows.blank), 'blank line')} skipped, such as line {rows.blank[0]}.")
    if short := [line for line, length in zip(rows.lines, rows.lengths, strict=True) if length < width]:
        assumptions.append(
            f"{path}: {counted(len(short), 'line')} with too few fields, such as line {short[0]}; the rest is missing."
        )
    return Cells(names, frame, document.separator, rows.lines.__getitem__, assumptions)


class _Rows:
    """The rows below the header, as Python's csv module reads them.

    Attributes
    ----------
    lines, lengths : list of int
        The line in which each row begins, and how many fields it has.
    blank : list of int
        The lines that are blank, and so are not rows.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.lines: list[int] = []
        self.lengths: list[int] = []
        self.blank: list[int] = []
        self._last_line = ""

    def read(self) -> Any:
        """Return the rows as a polars frame, null where a row has too few fields."""
        polars = require("polars", "table")
        parts, rows, width = [], self._iter_rows(), len(self.document.names)
        next(rows)  # the header
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            lines, fields = zip(*batch, strict=True)
            lengths = list(map(len, fields))
            self.lines += lines
            self.lengths += lengths
            longest = max(width, *lengths)
            columns = zip(*(row + [None] * (longest - len(row)) for row in fields), strict=True)
            parts.append(polars.DataFrame([polars.Series(str(index), cells, str) for index, cells in enumerate(columns)]))
        return polars.concat(parts, how="diagonal") if parts else polars.DataFrame(schema={str(k): str for k in range(width)})

    def _iter_rows(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the line in which each row begins, and its fields."""
        document = self.document
        reader = csv_reader(map(self._remember, itertools.chain(iter_lines(document.text), [END])), document.separator)
        line = document.skipped + 1
        for row in reader:
            if self._last_line == END:
                if line < reader.line_num + document.skipped:
                    raise ValueError(
                        f"{document.path} has an unclosed quote in line {line}: close it, or double it if it is text."
                    )
            elif not row or not self._last_line.strip(" \t\n".replace(document.separator, "")):
                self.blank.append(line)
            else:
                yield line, row
            line = reader.line_num + document.skipped + 1

    def _remember(self, line: str) -> str:
        self._last_line = line
        return line
