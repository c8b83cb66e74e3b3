"""Turn a name, an object or a pair of functions into a piece: an activation, a loss or an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portable_bp.common.lookup import find


def resolve(kind: str, given: Any, known: Mapping[str, Callable[[], Any]], pair: Any) -> Any:
    """Return a piece, given as a known name, an object (or its class) with the methods of a pair, or two functions."""
    if isinstance(given, str):
        return find(kind, given, known)()
    if isinstance(given, type):
        given = given()
    if has_methods(given, pair):
        return given
    if is_pair(given, pair):
        return pair(*given)
    raise TypeError(
        f"{given!r} cannot be used as {kind}: give a name ({', '.join(known)}), or an object or a pair of functions "
        f"with {pair._fields[0]} and {pair._fields[1]}."
    )


def has_methods(given: Any, pair: Any) -> bool:
    """Return whether an object has methods with the names of a pair's two fields."""
    return all(callable(getattr(given, field, None)) for field in pair._fields)


def is_pair(given: Any, pair: Any) -> bool:
    """Return whether something is a tuple of two functions, and not of two pieces."""
    return isinstance(given, tuple) and len(given) == 2 and all(callable(f) and not has_methods(f, pair) for f in given)
