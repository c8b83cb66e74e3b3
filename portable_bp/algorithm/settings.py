"""The numbers that pieces of the algorithm are set up with: checked where they are given, and made Python's own.

A NumPy scalar left in place would turn float32 arrays into float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple


class Range(NamedTuple):
    """What a number should be.

    Attributes
    ----------
    said : str
        In words.
    holds : callable
        Whether a finite float is.
    kind : type
        What it is kept as.
    or_function : bool
        Whether a function, such as a schedule, may stand in its place.
    """

    said: str
    holds: Callable[[float], bool]
    kind: type[int] | type[float] = float
    or_function: bool = False


ANY = Range("a finite number", lambda number: True)
POSITIVE = Range("a number above 0", lambda number: number > 0.0)
RATE = Range("a number above 0, or a schedule", POSITIVE.holds, or_function=True)
NOT_NEGATIVE = Range("a number from 0 up", lambda number: number >= 0.0)
COUNT = Range("a whole number from 1 up", lambda number: number >= 1.0 and number == int(number), int)
SHARE = Range("a number from 0 to below 1", lambda number: 0.0 <= number < 1.0)
UNIT_INTERVAL = Range("a number from 0 to 1", lambda number: 0.0 <= number <= 1.0)
INSIDE = Range("a number between 0 and 1", lambda number: 0.0 < number < 1.0)


def is_number(given: Any) -> bool:
    """Return whether something is a real number, and no boolean.

    Parameters
    ----------
    given : object
        What a user handed over.
    """
    return isinstance(given, Real) and not isinstance(given, bool)


def _is_finite(given: Any) -> bool:
    try:
        return math.isfinite(given)
    except OverflowError:  # an integer that no float comes near
        return False


def settle(piece: Any, **wanted: Range) -> None:
    """Check the numbers of a dataclass, and make them Python's own.

    Parameters
    ----------
    piece : dataclass instance
        A piece that is being made.
    **wanted : Range
        For each field, what its number should be.

    Raises
    ------
    ValueError
        If a field is no such number.
    """
    for field, wanted_range in wanted.items():
        given = getattr(piece, field)
        if is_number(given) and _is_finite(given) and wanted_range.holds(float(given)):
            object.__setattr__(piece, field, wanted_range.kind(given))
        elif isinstance(given, type) or not (wanted_range.or_function and callable(given)):
            raise ValueError(f"{field} of {type(piece).__name__} is {given!r}, and should be {wanted_range.said}.")
