"""How names, counts and shares are written in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_NAMED = 20


def quoted(names: Sequence[Any]) -> str:
    """Return names with quotes and commas; of very many, the first ones.

    Parameters
    ----------
    names : sequence of str
        They may hold anything: what a terminal would obey is escaped.
    """
    return listed([repr(name) for name in names])


def listed(parts: Sequence[str]) -> str:
    """Return parts with commas; of very many, the first ones.

    Parameters
    ----------
    parts : sequence of str
        As they are written.
    """
    told = ", ".join(parts[:MOST_NAMED])
    return told if len(parts) <= MOST_NAMED else f"{told} and {len(parts) - MOST_NAMED:,} more"


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, as in "1 row" and "1,599 rows".

    Parameters
    ----------
    number : int
        How many.
    noun : str
        What one is called.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_units(number: float) -> str:
    """Return a number with four digits, or with all of those before the point.

    Parameters
    ----------
    number : float
        Not negative.
    """
    return f"{number:,.0f}" if 1e4 <= number < 1e15 else f"{number:.4g}"


def named_ending(ending: str) -> str:
    """Return what to say of how a file is called, as in "ends in .xlsx".

    Parameters
    ----------
    ending : str
        From the point on; it may be empty.
    """
    return f"ends in {ending!r}" if ending else "has no ending"
