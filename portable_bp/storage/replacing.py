"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import Any


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, in the place of the old one where there is one.

    It is written beside it, flushed to the disk and renamed, so that whoever is interrupted, at whatever moment, has the old
    file or the new one. What a killed process left beside it is overwritten by the next one.

    Parameters
    ----------
    path : path
        Where it goes; a link is followed.
    content : bytes
        All of it.

    Raises
    ------
    OSError
        If it cannot be written; the old file is as it was.
    """
    target = os.path.realpath(path)
    partial = f"{target}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # there may be no old one
            os.chmod(partial, os.stat(target).st_mode)
        os.replace(partial, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(partial)
        if isinstance(error, OSError):
            raise _told(error, path) from None
        raise
    # The new name is on the disk once the folder is. Not every system lets a folder be opened.
    with contextlib.suppress(OSError), _opened_folder(os.path.dirname(target)) as folder:
        os.fsync(folder)


@contextlib.contextmanager
def _opened_folder(path: str) -> Any:
    folder = os.open(path, os.O_RDONLY)
    try:
        yield folder
    finally:
        os.close(folder)


def _told(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Return an error of the same kind that says what was to be written, and what became of the file that was there."""
    kept = "the file that was there is as it was" if os.path.exists(path) else "no part of it is left"
    return type(error)(error.errno, f"{os.fspath(path)} could not be written ({error.strerror}); {kept}")
