"""What a command writes, found to be writable before hours are spent on it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from typing import Any

from portable_bp.extras import require
from portable_bp.storage import replace_file
from portable_bp.tables.reading import find_ending
from portable_bp.tables.words import named_ending


def check_output(path: str, endings: Sequence[str], kept: Sequence[str]) -> None:
    """Raise unless a file may be written under a name.

    Parameters
    ----------
    path : str
        Where it should go.
    endings : sequence of str
        One of which its name should have.
    kept : sequence of str
        Files that must stay as they are.

    Raises
    ------
    ValueError
        If it has another ending, or is one of the others or a folder.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in endings:
        raise ValueError(f"{path} {named_ending(ending)}, and should end in {' or '.join(endings)}: give another name.")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: give the name of a file.")
    for other in kept:
        if os.path.realpath(path) == os.path.realpath(other):
            raise ValueError(f"{path} would be written over, and it is needed: give another name.")


def rehearse(path: str, write: Callable[[str], Any]) -> None:
    """Write a file beside where it will go, and take it away again.

    Parameters
    ----------
    path : str
        Where it will go.
    write : callable
        Writes it at the path that it is given.

    Raises
    ------
    OSError, ValueError
        If it cannot be written; nothing is left of it.
    """
    trial = f"{os.path.realpath(path)}.trial"
    try:
        write(trial)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({os.strerror(error.errno or 0)}): give the name of a file in a folder of your own."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            os.remove(trial)


def write_nothing(path: str) -> None:
    """Write an empty file.

    Parameters
    ----------
    path : str
        Where it goes.
    """
    replace_file(path, b"")


def write_table(columns: dict[str, list[Any]], path: str | None) -> str:
    """Write a table, or return it as CSV.

    Parameters
    ----------
    columns : dict of str to list
        All of one length.
    path : str or None
        A file that ends in .csv, .tsv or .parquet; None to return it.

    Returns
    -------
    str
        The CSV; nothing where a file was written.

    Raises
    ------
    OSError
        If it cannot be written; the file that was there is as it was.
    """
    frame = require("polars", "table").DataFrame(columns)
    if path is None:
        return frame.write_csv()
    ending = find_ending(path)
    if ending == ".parquet":
        with io.BytesIO() as buffer:
            frame.write_parquet(buffer)
            replace_file(path, buffer.getvalue())
    else:
        replace_file(path, frame.write_csv(separator="\t" if ending == ".tsv" else ",").encode())
    return ""
