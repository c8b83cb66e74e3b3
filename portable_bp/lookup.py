"""Turn what a user names or hands over into the piece that it stands for."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

# Of the columns of a wide table no sentence has them all.
MOST_NAMED = 20


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Return ``known[name]``, or say which known name is nearest.

    Parameters
    ----------
    kind : str
        What the name stands for, as the message should call it.
    name : str
        The name to look up.
    known : mapping of str to object
        Everything that has a name.

    Raises
    ------
    ValueError
        If the name is not known.
    """
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "use one of the known names."
    more = f" and {len(known) - MOST_NAMED:,} more" if len(known) > MOST_NAMED else ""
    raise ValueError(
        f"unknown {kind} {name!r}: the known ones are {', '.join(itertools.islice(known, MOST_NAMED))}{more}; {hint}"
    )


def resolve(kind: str, given: Any, known: Mapping[str, Callable[[], Any]], pair: Any) -> Any:
    """Return the piece that a name, an object or a pair of functions stands for.

    Parameters
    ----------
    kind : str
        What the piece is, as the message should call it.
    given : str, object or tuple of two functions
        A known name, an object with the methods of the pair (or its class), or the two functions themselves.
    known : mapping of str to callable
        Makers of the named pieces.
    pair : NamedTuple class
        Its two fields name the functions that such a piece has.

    Raises
    ------
    ValueError
        If the name is not known.
    TypeError
        If what was given is none of the three.
    """
    if isinstance(given, str):
        return find(kind, given, known)()
    if isinstance(given, type):
        given = given()
    if has_parts(given, pair):
        return given
    if is_pair(given, pair):
        return pair(*given)
    raise TypeError(
        f"{given!r} is no {kind}: give a name ({', '.join(known)}), or an object or a pair of functions "
        f"with {pair._fields[0]} and {pair._fields[1]}."
    )


def has_parts(given: Any, pair: Any) -> bool:
    """Return whether something has the functions of a pair as its own.

    Parameters
    ----------
    given : object
        What a user handed over.
    pair : NamedTuple class
        Its two fields name the functions.
    """
    return all(callable(getattr(given, field, None)) for field in pair._fields)


def is_pair(given: Any, pair: Any) -> bool:
    """Return whether something is a tuple of two functions, neither of them a piece by itself.

    Parameters
    ----------
    given : object
        What a user handed over.
    pair : NamedTuple class
        Its two fields name the functions that a piece has.
    """
    return isinstance(given, tuple) and len(given) == 2 and all(callable(f) and not has_parts(f, pair) for f in given)
