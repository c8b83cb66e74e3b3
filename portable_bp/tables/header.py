"""The first line of a CSV file: what separates its columns, and how they are called."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from typing import NamedTuple

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Enough for some lines of a wide table; a longer first line is none of names.
LOOKED_AT, LINES = 2**22, 10


class Header(NamedTuple):
    """How a CSV file begins.

    Attributes
    ----------
    separator : str
        The character between columns.
    names : list of str
        Of the columns, as the file has them.
    """

    separator: str
    names: list[str]


def read_header(path: str, expected: str) -> Header:
    """Return how a CSV file begins.

    Parameters
    ----------
    path : str
        Where it is.
    expected : str
        The separator that is taken where another fits as well.

    Raises
    ------
    ValueError
        If it is empty, no text in UTF-8, or does not begin with the names of columns.
    OSError
        If it cannot be read.
    """
    text = _read_start(path)
    try:
        header = Header(*max((_try(text, separator) for separator in SEPARATORS), key=lambda tried: _fits(tried, expected))[:2])
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file: {error} in its first lines.") from None
    if not any(name.strip() for name in header.names):
        raise ValueError(f"{path} begins with an empty line, and a table begins with the names of its columns: add them.")
    return header


def _read_start(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(LOOKED_AT)
    if not start.strip():
        raise ValueError(f"{path} is empty: give a table whose first line has the names of its columns.")
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8: save it as CSV in UTF-8.") from None
    if "\0" in text:
        raise ValueError(f"{path} is no text, but bytes of another kind: give a CSV or a Parquet file.")
    return text


def _try(text: str, separator: str) -> tuple[str, list[str], bool]:
    """Return a separator, the names that it gives, and whether the lines below have as many parts."""
    rows = list(itertools.islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), LINES))
    return separator, rows[0], all(len(row) in (0, len(rows[0])) for row in rows)


def _fits(tried: tuple[str, list[str], bool], expected: str) -> tuple[bool, int, bool]:
    separator, names, alike = tried
    return alike and len(names) > 1, len(names), separator == expected
