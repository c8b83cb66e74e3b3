"""A CSV file from its header on: where it begins, and what separates its columns."""

from __future__ import annotations

import csv
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# In order of preference: numbers and texts often contain commas, but rarely the others.
CANDIDATES = "\t;|,"
# Never found in a text: if the header is a single name, commas belong to the numbers or texts below it.
NO_SEPARATOR = "\x1f"
SAMPLE_LINES = 20


@dataclass(frozen=True)
class Document:
    """The text of a CSV file from its header on."""

    path: str
    text: str
    separator: str
    skipped: int  # lines above the header

    @functools.cached_property
    def names(self) -> list[str]:
        """The names in the header, without spaces around them; one may be empty."""
        return [name.strip() for name in next(csv_reader(iter_lines(self.text), self.separator))]


def find_document(path: str, text: str, default_separator: str) -> Document:
    """Find the header of a file, and the separator of its columns, which a line such as "sep=;" above it may give."""
    start = _skip_blank(text, 0)
    if given := re.match(r'"?sep=([^\w"\n])"?[,;]*(?:\n|$)', text[start : start + 20], re.IGNORECASE):
        start = _skip_blank(text, start + given.end())
    skipped = text.count("\n", 0, start)
    # Old DOS programs end a file with Ctrl-Z.
    text = text[start:].rstrip("\n \x1a")
    if not text:
        raise ValueError(f"{path} is empty: give a table whose first line names its columns.")
    return Document(path, text, given[1] if given else _find_separator(text, default_separator), skipped)


def csv_reader(lines: Iterable[str], separator: str) -> Any:
    """Return Python's reader of CSV, which ignores spaces after a separator."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def iter_lines(text: str) -> Iterator[str]:
    """Yield lines with their line feeds, one by one, so that a long text is not copied at once."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _skip_blank(text: str, start: int) -> int:
    """Return where the first line that is not blank begins."""
    blank = re.compile(r"(?:[ \t]*\n)*").match(text, start)
    return blank.end() if blank else start


def _find_separator(text: str, default: str) -> str:
    """Return what splits the first lines into equally many columns, or else the header into the most."""
    widths, too_long = {}, None
    for separator in dict.fromkeys([default, *CANDIDATES] if default != "," else CANDIDATES):
        rows = csv_reader(iter_lines(text), separator)
        try:
            first = [len(row) for row in itertools.islice(filter(None, rows), SAMPLE_LINES)]
        except csv.Error as error:
            # A line of very many columns is longer than a field may be, if another character separates them.
            too_long = error
            continue
        if first[0] > 1 and len(set(first)) == 1:
            return separator
        widths[separator] = first[0]
    most = max(widths.values(), default=1)
    if most == 1 and too_long:
        raise too_long
    return NO_SEPARATOR if most == 1 else max(widths, key=lambda separator: (widths[separator], separator == default))
