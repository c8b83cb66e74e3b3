"""The text of a CSV file, whatever its encoding and line ends."""

from __future__ import annotations

import codecs

BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decode(path: str, raw: bytes) -> tuple[str, list[str]]:
    """Return the text of a file, with line feeds at its line ends, and what was assumed about its encoding."""
    mark, encoding = next(((mark, encoding) for mark, encoding in BYTE_ORDER_MARKS if raw.startswith(mark)), (b"", "utf-8"))
    if not mark and b"\0" in raw[:2]:
        encoding = "utf-16-be" if raw.startswith(b"\0") else "utf-16-le"
    assumptions = []
    try:
        text = raw[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        if encoding != "utf-8" or mark or _is_damaged(raw):
            raise ValueError(f"{path} is not valid {encoding.upper()} from line {line} on: save it as UTF-8.") from None
        try:
            text, encoding = raw.decode("cp1252"), "Windows-1252"
        except UnicodeDecodeError:
            text, encoding = raw.decode("latin-1"), "Latin-1"
        assumptions.append(f"{path} is not UTF-8 (see line {line}), and was read as {encoding}.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path} has a NUL character in line {line}, so it is not a text file: save it as CSV in UTF-8.")
    # Old spreadsheets end lines with CR alone.
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text, assumptions


def _is_damaged(raw: bytes) -> bool:
    """Return whether bytes are damaged UTF-8 or mix encodings; text of another encoding rarely contains valid UTF-8."""
    text = raw.decode("utf-8", errors="replace")
    return 2 * text.count("\ufffd") < sum(not character.isascii() for character in text)
