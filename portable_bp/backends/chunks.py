"""Rows that go through a network some at a time, so that neither they nor what is made of them need be there at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace

from portable_bp.backends.compiled import compiled
from portable_bp.backends.contract import Backend

# So many numbers of the widest layer at once: 256 MiB of float32, of which a pass holds some four. A device that is given so
# much at a time does not notice that it is given more than once.
MOST_NUMBERS = 2**26


def spans(rows: int, width: int, most: int | None = None) -> list[slice]:
    """Return the parts that rows are used in: all of one height, but for the last, so that few shapes need compiling.

    Parameters
    ----------
    rows : int
        How many there are.
    width : int
        How many numbers a row takes at its widest.
    most : int, optional
        How many numbers a part may have, where that is less than elsewhere.
    """
    height = max(1, (most or MOST_NUMBERS) // width)
    return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]


def joined(backend: Backend, parts: Sequence[Any]) -> Any:
    """Return the rows of all parts in one array.

    Parameters
    ----------
    backend : Backend
        Where they are.
    parts : sequence of array, each of shape (rows, ...)
        At least one.
    """
    return parts[0] if len(parts) == 1 else compiled(backend, _concatenated)(list(parts))


def _concatenated(parts: Sequence[Any]) -> Any:
    return array_namespace(parts[0]).concat(parts, axis=0)
