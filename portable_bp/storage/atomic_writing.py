"""Write a file completely or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import Any


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace a file, or raise an OSError and leave the existing one unchanged; links are followed.

    The content is written to another file, flushed to the disk and renamed, so that a process killed at any moment leaves
    either the old file or the new one. The partial file of a killed process is overwritten the next time.
    """
    target = os.path.realpath(path)
    partial = f"{target}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # there may be no old file
            os.chmod(partial, os.stat(target).st_mode)
        os.replace(partial, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(partial)
        if isinstance(error, OSError):
            raise _explain(error, path) from None
        raise
    # The rename is on the disk once the folder is flushed; not every system can open a folder.
    with contextlib.suppress(OSError), _opened_folder(os.path.dirname(target)) as folder:
        os.fsync(folder)


@contextlib.contextmanager
def _opened_folder(path: str) -> Any:
    folder = os.open(path, os.O_RDONLY)
    try:
        yield folder
    finally:
        os.close(folder)


def _explain(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Return an error of the same kind that names the file, and says whether an old one is still there."""
    kept = "the existing file is unchanged" if os.path.exists(path) else "nothing was left behind"
    return type(error)(error.errno, f"{os.fspath(path)} could not be written ({error.strerror}); {kept}")
