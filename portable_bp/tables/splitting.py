"""CSV files split into cells: their encoding, their separator, and all that spreadsheets and pandas write or read besides."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import require

# The first of those that split every line alike is taken: commas are in numbers and texts, the others hardly ever.
SEPARATORS = "\t;|,"
# Where the header has a single name, a comma in a line is one within a number or a text.
NOTHING = "\x1f"
SAMPLE_LINES = 20
# Rows that are Python's lists at once.
BATCH = 2**15
MARKED = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# A line that no file has, since NUL is refused: it is swallowed by a quote that was never closed.
END = "\0"


class Cells(NamedTuple):
    """A CSV file as text.

    Attributes
    ----------
    names : list of str
        Of the columns, without spaces around them; one may be empty.
    frame : polars.DataFrame
        Columns of strings, null or empty where there is nothing.
    separator : str
        What stood between the columns.
    remarks : list of str
        What was assumed, as sentences.
    find_line : callable
        Given the number of a row, returns in which line of the file it begins.
    """

    names: list[str]
    frame: Any
    separator: str
    remarks: list[str]
    find_line: Callable[[int], int]


def split_file(path: str, raw: bytes, usual: str) -> Cells:
    """Return the cells of a CSV file.

    Parameters
    ----------
    path : str
        What the messages call it.
    raw : bytes
        All of it.
    usual : str
        The separator that is taken where no other one is likelier.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    text, remarks = _decode(path, raw)
    # Python's own reading of text knows these ends of lines; old ones of spreadsheets are CR alone.
    text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    start = _skip_blank(text, 0)
    if said := re.match(r'"?sep=([^\w"\n])"?[,;]*(?:\n|$)', text[start : start + 20], re.IGNORECASE):
        start = _skip_blank(text, start + said.end())
    skipped = text.count("\n", 0, start)
    text = text[start:].rstrip("\n \x1a")
    if not text:
        raise ValueError(f"{path} is empty: give a table whose first line names its columns.")
    try:
        separator = said[1] if said else _find_separator(text, usual)
        names = [name.strip() for name in next(csv.reader(_lines(text), delimiter=separator, skipinitialspace=True))]
        data = text.encode()
        ends, quote = _find_ends(data, separator, len(names))
        if ends is None:
            names, frame, find_line = _split_odd(path, text, separator, skipped, remarks)
        else:
            frame = _split_regular(data, ends, separator, quote, len(names))

            def find_line(row: int, /) -> int:
                return data.count(b"\n", 0, int(ends[row])) + 2 + skipped

    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a table of text: {error}; is a quote not closed?") from None
    if f"\n{separator}" in text:
        hollow = re.findall(rf"^{re.escape(separator)}[ \t{re.escape(separator)}]*$", text, re.MULTILINE)
        remarks += [f"{path}: {_count(hollow, 'row')} without a value, of separators alone."] if hollow else []
    # Where every line ends with a separator, as some programs write it, there is no column after it.
    while len(names) > 1 and not names[-1] and _is_empty(frame[:, -1]):
        names, frame = names[:-1], frame[:, :-1]
    return Cells(names, frame, separator, remarks, find_line)


def _decode(path: str, raw: bytes) -> tuple[str, list[str]]:
    """Return the text of a file, and what was assumed for it."""
    mark, encoding = next(((mark, encoding) for mark, encoding in MARKED if raw.startswith(mark)), (b"", "utf-8"))
    if not mark and b"\0" in raw[:2]:
        encoding = "utf-16-be" if raw.startswith(b"\0") else "utf-16-le"
    remarks = []
    try:
        text = raw[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        text = raw.decode("utf-8", errors="replace")
        line = raw.count(b"\n", 0, error.start) + 1
        strange = text.count("\ufffd")
        # Text of another encoding is hardly ever right UTF-8, so that these are damaged, or glued together.
        if encoding != "utf-8" or mark or 2 * strange < sum(not character.isascii() for character in text):
            raise ValueError(f"{path} is not all {encoding.upper()}, from line {line} on: save it as UTF-8.") from None
        try:
            text, encoding = raw.decode("cp1252"), "Windows-1252"
        except UnicodeDecodeError:
            text, encoding = raw.decode("latin-1"), "Latin-1"
        remarks.append(f"{path} is not UTF-8 (see line {line}), and was read as {encoding}.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path} has a NUL in line {line}, which no text has: save it as a CSV file in UTF-8.")
    return text, remarks


def _skip_blank(text: str, start: int) -> int:
    """Return where the first line begins that is not blank."""
    blank = re.compile(r"(?:[ \t]*\n)*").match(text, start)
    return blank.end() if blank else start


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _find_separator(text: str, usual: str) -> str:
    """Return what separates the columns: what splits the first lines alike, or else the header most often."""
    widths, too_long = {}, None
    for separator in dict.fromkeys([usual, *SEPARATORS] if usual != "," else SEPARATORS):
        rows = csv.reader(_lines(text), delimiter=separator, skipinitialspace=True)
        try:
            first = [len(row) for row in itertools.islice(filter(None, rows), SAMPLE_LINES)]
        except csv.Error as error:
            # A line of very many columns is longer than a field may be, where the separator is another one.
            too_long = error
            continue
        if first[0] > 1 and len(set(first)) == 1:
            return separator
        widths[separator] = first[0]
    most = max(widths.values(), default=1)
    if most == 1 and too_long:
        raise too_long
    return NOTHING if most == 1 else max(widths, key=lambda separator: (widths[separator], separator == usual))


def _find_ends(data: bytes, separator: str, fields: int) -> tuple[np.ndarray | None, str | None]:
    """Return where each row ends, and what quotes fields.

    The rows are None where one has not so many fields, is blank, or has a quote within a field beside fields in quotes.
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
        # What has an even number of quotes before it is outside of them.
        ends, breaks = (places[np.searchsorted(quotes, places) % 2 == 0] for places in (ends, breaks))
    counts = np.diff(np.searchsorted(breaks, ends), prepend=0)
    return (ends if (counts == fields - 1).all() else None), quote


def _begins_field(array: np.ndarray, quotes: np.ndarray, separator: str) -> bool:
    """Return whether a quote is the first of a field but for spaces; all others are nothing but text, such as inches."""
    before = quotes - 1
    while (is_space := (before >= 0) & (array[before] == ord(" "))).any():
        before = before - is_space
    return bool(before.min() < 0 or np.isin(array[before], (ord(separator), ord("\n"))).any())


def _split_regular(data: bytes, ends: np.ndarray, separator: str, quote: str | None, fields: int) -> Any:
    polars = require("polars", "table")
    body = data[int(ends[0]) + 1 :]
    if not body:
        return polars.DataFrame(schema={str(place): str for place in range(fields)})
    # All as text: its own inference is slow where it looks at every row, and takes ' 2.5' and '2,5' for text.
    return polars.read_csv(body, separator=separator, quote_char=quote, has_header=False, infer_schema_length=0)


def _split_odd(
    path: str, text: str, separator: str, skipped: int, remarks: list[str]
) -> tuple[list[str], Any, Callable[[int], int]]:
    """Return names, cells and the lines of rows, as Python's csv module and pandas read what is not regular."""
    polars = require("polars", "table")
    rows = _read_rows(path, text, separator, skipped, blank := [])
    names = [name.strip() for name in next(rows)[1]]
    parts, lines, lengths = [], [], []
    while batch := list(itertools.islice(rows, BATCH)):
        lines += [line for line, _ in batch]
        lengths += [len(row) for _, row in batch]
        width = max(len(names), *lengths[-len(batch) :], 0)
        columns = zip(*(row + [None] * (width - len(row)) for _, row in batch), strict=True)
        parts.append(polars.DataFrame([polars.Series(str(place), cells, str) for place, cells in enumerate(columns)]))
    frame = (
        polars.concat(parts, how="diagonal")
        if parts
        else polars.DataFrame(schema=dict.fromkeys(map(str, range(len(names))), str))
    )
    known, beyond = len(names), frame[:, len(names) :]
    filled = beyond.select(polars.any_horizontal(polars.all().str.contains(r"\S"))).to_series() if beyond.width else None
    if filled is None or not filled.any():
        frame = frame[:, :known]
    elif set(lengths) == {known + 1}:
        # R names every column but the first, of row names.
        names = ["", *names]
    else:
        row = int(filled.arg_max())
        raise ValueError(
            f"{path} has {lengths[row]} fields in line {lines[row]}, and names {known} columns in its first line: correct that "
            f"line; a text with {separator!r} in it needs quotes around it."
        )
    if blank:
        remarks.append(f"{path}: {_count(blank, 'blank line')} skipped, such as line {blank[0]}.")
    if short := [line for line, length in zip(lines, lengths, strict=True) if length < known]:
        remarks.append(f"{path}: {_count(short, 'line')} with too few fields, such as line {short[0]}: the others are missing.")
    return names, frame, lines.__getitem__


def _read_rows(path: str, text: str, separator: str, skipped: int, blank: list[int]) -> Iterator[tuple[int, list[str]]]:
    """Yield in which line each row begins, and its fields; add the lines that are blank to a list."""
    last = ""

    def follow(current: str) -> str:
        nonlocal last
        last = current
        return current

    given = map(follow, itertools.chain(_lines(text), [END]))
    line, reader = skipped + 1, csv.reader(given, delimiter=separator, skipinitialspace=True)
    for row in reader:
        if last == END:
            if line < reader.line_num + skipped:
                raise ValueError(f"{path} has a quote in line {line} that is not closed: close it, or double it.")
        elif not row or not last.strip(" \t\n".replace(separator, "")):
            blank.append(line)
        else:
            yield line, row
        line = reader.line_num + skipped + 1


def _count(lines: Sequence[Any], noun: str) -> str:
    return f"{len(lines):,} {noun}{'s' if len(lines) > 1 else ''}"


def _is_empty(series: Any) -> bool:
    return bool((series.fill_null("").str.strip_chars() == "").all())
