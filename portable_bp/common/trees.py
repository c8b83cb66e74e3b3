"""Nested tuples and lists of arrays, such as a network's layers or an optimizer's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """Return everything that nested tuples and lists hold, in order, without the Nones."""
    if isinstance(tree, tuple | list):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [] if tree is None else [tree]


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to everything but None that nested tuples and lists hold, and return the results, nested alike."""
    if isinstance(tree, tuple | list):
        branches = [map_leaves(function, branch) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return None if tree is None else function(tree)


def item(trees: Any, number: int) -> Any:
    """Index the leading axis of every array in nested tuples and lists."""
    return map_leaves(lambda array: array[number, ...], trees)


def zip_leaves(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Apply a function to everything but None at the same places of several trees, and return the results, nested alike."""
    places = zip(*map(leaves, (first, *others)), strict=True)
    return map_leaves(lambda _: function(*next(places)), first)
