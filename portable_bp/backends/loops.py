"""A loop over batches, written once as a Python loop; the backends of libraries that can do better have their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# loop(constants) returns run(carry, items, steps, expected), which returns the carry after carry = function(carry, constants,
# item) for every item, and is told how many such items there are to be in all.
Loop = Callable[..., Callable[[Any, Any, int], Any]]


def plain_loop(function: Callable[[Any, Any, Any], Any]) -> Loop:
    """Return the loop that calls a function once for each item.

    Parameters
    ----------
    function : callable
        ``function(carry, constants, item)`` returns the next carry.
    """

    def loop(constants: Any) -> Callable[..., Any]:
        def run(carry: Any, items: Any, steps: int, expected: float = 1) -> Any:
            for number in range(steps):
                carry = function(carry, constants, item(items, number))
            return carry

        return run

    return loop


def item(items: Any, number: int) -> Any:
    """Return one of the items.

    Parameters
    ----------
    items : nested tuples and lists of arrays
        Each with one more leading axis than an item has.
    number : int
        Which one.
    """
    return map_leaves(lambda array: array[number, ...], items)


def leaves(tree: Any) -> list[Any]:
    """Return what nested tuples and lists hold, in order, without the Nones.

    Parameters
    ----------
    tree : nested tuples and lists
        Named tuples too.
    """
    if isinstance(tree, tuple | list):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [] if tree is None else [tree]


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to everything that nested tuples and lists hold, but None.

    Parameters
    ----------
    function : callable
        Of one leaf.
    tree : nested tuples and lists
        The result is nested in the same way.
    """
    if isinstance(tree, tuple | list):
        branches = [map_leaves(function, branch) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return None if tree is None else function(tree)
