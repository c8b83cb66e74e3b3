"""Names of files, checked before any work is done, and tables written as files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from portable_bp.storage import replace_file

# The usual separator of each kind of file.
SEPARATORS = {".csv": ",", ".tsv": "\t", ".parquet": ""}
TABLE_EXTENSIONS = tuple(SEPARATORS)


def check_extension(path: str, extensions: Sequence[str]) -> str:
    """Return the extension of a file name in lower case, or raise ValueError if it is not one of these."""
    extension = os.path.splitext(path)[1].lower()
    if extension not in extensions:
        raise ValueError(f"{path} should end in {' or '.join(extensions)}: give another name.")
    return extension


def check_output(path: str, extensions: Sequence[str], kept: Sequence[str]) -> None:
    """Raise ValueError unless a file may be written at ``path``: with one of these extensions, and not over a kept file."""
    check_extension(path, extensions)
    target = os.path.realpath(path)
    if target in map(os.path.realpath, kept):
        raise ValueError(f"{path} would be overwritten, but it is needed: give another name.")
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ValueError(f"{path} cannot be written: give the name of a file in an existing folder that you may write to.")


def write_table(frame: Any, path: str) -> None:
    """Write a polars frame as CSV, TSV or Parquet; an existing file is replaced only once the new one is complete."""
    extension = check_extension(path, TABLE_EXTENSIONS)
    with io.BytesIO() as buffer:
        frame.write_parquet(buffer) if extension == ".parquet" else frame.write_csv(buffer, separator=SEPARATORS[extension])
        replace_file(path, buffer.getvalue())
