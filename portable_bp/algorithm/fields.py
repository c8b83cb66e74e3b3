"""Check the numbers that a user gives, and convert them to Python numbers.

A NumPy float64 scalar would turn float32 arrays into float64.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np


class Range(NamedTuple):
    """A range of allowed numbers.

    Attributes
    ----------
    description : str
        Describes the range in error messages.
    holds : callable
        Returns whether a finite float is in the range.
    kind : callable
        Converts the number; ``int`` takes 3.0 too, ``operator.index`` only integers.
    or_function : bool
        Whether a function, such as a schedule, is allowed too.
    or_none : bool
        Whether None is allowed too.
    """

    description: str
    holds: Callable[[float], bool]
    kind: Callable[[Any], float] = float
    or_function: bool = False
    or_none: bool = False


ANY = Range("a finite number", lambda number: True)
POSITIVE = Range("a number above 0", lambda number: number > 0.0)
RATE = Range("a number above 0, or a schedule", POSITIVE.holds, or_function=True)
NOT_NEGATIVE = Range("a number from 0 up", lambda number: number >= 0.0)
COUNT = Range("a whole number from 1 up", lambda number: number >= 1.0 and number == int(number), int)
SEED = Range(
    "a whole number from 0 up, a generator of numpy.random.default_rng, or None",
    lambda number: number >= 0,
    operator.index,
    or_none=True,
)
DECIMALS = Range("a whole number from 0 to 15, or None", lambda number: 0 <= number <= 15, operator.index, or_none=True)
SHARE = Range("a number from 0 to below 1", lambda number: 0.0 <= number < 1.0)
UNIT_INTERVAL = Range("a number from 0 to 1", lambda number: 0.0 <= number <= 1.0)
INSIDE = Range("a number between 0 and 1", lambda number: 0.0 < number < 1.0)


def check_number(given: Any, name: str, allowed: Range) -> Any:
    """Return a Python number, or raise a ValueError that says what the named argument should be."""
    if is_in(given, allowed):
        return allowed.kind(given)
    if (allowed.or_none and given is None) or (allowed.or_function and callable(given) and not isinstance(given, type)):
        return given
    raise ValueError(f"{name} is {given!r}, and should be {allowed.description}.")


def is_in(given: Any, allowed: Range) -> bool:
    """Return whether something is a finite real number in a range; booleans are not numbers."""
    if not isinstance(given, Real) or isinstance(given, bool):
        return False
    if allowed.kind is not float and isinstance(given, Integral):
        return allowed.holds(int(given))
    if allowed.kind is operator.index:
        return False
    try:
        return math.isfinite(given) and allowed.holds(float(given))
    except OverflowError:  # an integer larger than any float
        return False


def validate_fields(piece: Any, **allowed: Range) -> None:
    """Check the named fields of a dataclass instance, and convert their numbers."""
    for field, field_range in allowed.items():
        number = check_number(getattr(piece, field), f"{field} of {type(piece).__name__}", field_range)
        object.__setattr__(piece, field, number)


def validate_member_fields(piece: Any, **allowed: Range) -> None:
    """Check the named fields as ``validate_fields`` does; each may also hold one number for each member of a population.

    Such numbers become a tuple.
    """
    for field, field_range in allowed.items():
        given = getattr(piece, field)
        if isinstance(given, np.ndarray) and given.ndim == 1:
            given = given.tolist()
        if not isinstance(given, list | tuple):
            validate_fields(piece, **{field: field_range})
            continue
        each = field_range._replace(description=field_range.description.removesuffix(", or a schedule"), or_function=False)
        name = f"{field} of {type(piece).__name__}"
        numbers = tuple(check_number(number, f"{name} for member {member}", each) for member, number in enumerate(given))
        object.__setattr__(piece, field, numbers)


def check_members(piece: Any, members: int | None) -> None:
    """Raise a ValueError if a piece holds numbers for members of a population that has another number of them, or is none."""
    for name, given in _fields_of(piece):
        if not _is_of_members(given):
            check_members(given, members)
        elif members is None:
            raise ValueError(
                f"{name} of {type(piece).__name__} holds {len(given)} numbers, one for each member of a population, and this "
                "is a single network: give one number, or make the network with population."
            )
        elif len(given) != members:
            raise ValueError(
                f"{name} of {type(piece).__name__} holds {len(given)} numbers, and the population has {members} members: give "
                "one number for all, or one for each."
            )


def of_members(piece: Any, members: Sequence[int]) -> Any:
    """Return a piece for some members of a population, whose numbers it keeps."""
    return _with_numbers(piece, lambda numbers: tuple(numbers[member] for member in members))


def of_member(piece: Any, member: int) -> Any:
    """Return a piece for a member as a single network."""
    return _with_numbers(piece, lambda numbers: numbers[member])


def _with_numbers(piece: Any, choose: Callable[[tuple[float, ...]], Any]) -> Any:
    """Return a piece with others in place of the numbers of all members."""
    kept: dict[str, Any] = {}
    for name, given in _fields_of(piece):
        chosen = choose(given) if _is_of_members(given) else _with_numbers(given, choose)
        if chosen is not given:
            kept[name] = chosen
    return dataclasses.replace(piece, **kept) if kept else piece


def _is_of_members(given: Any) -> bool:
    """Return whether a field holds one number for each member; a piece that is made of functions is a named tuple."""
    return isinstance(given, tuple) and not hasattr(given, "_fields")


def _fields_of(piece: Any) -> list[tuple[str, Any]]:
    """Return the names and values of the fields of a piece of this package; of another one, none."""
    is_ours = type(piece).__module__.startswith("portable_bp.") and dataclasses.is_dataclass(piece)
    return [(field.name, getattr(piece, field.name)) for field in dataclasses.fields(piece)] if is_ours else []
