"""Nested dicts, lists and tuples of arrays and of what JSON can say: taken apart for a file, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from portable_bp.storage.nesting import DEEPEST

MARK = "$array"


def take_apart(
    tree: Any, fetch: Callable[[Any], np.ndarray], arrays: dict[str, np.ndarray], place: str = "", depth: int = 0
) -> Any:
    """Return a tree with names in the place of its arrays, which are put under these names into ``arrays``.

    Parameters
    ----------
    tree : dict, list, tuple or leaf
        Its leaves are arrays, numbers, strings, booleans and None.
    fetch : callable
        Returns an array as one of NumPy.
    arrays : dict
        Where the arrays go.
    place : str
        Where in a larger tree this one is.
    depth : int
        How deep in that.

    Raises
    ------
    TypeError
        If something in it is none of these.
    ValueError
        If two arrays would have one name, or it is nested too deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"{place[1:61]}... is nested deeper than {DEEPEST}, which is the most that a checkpoint keeps.")
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    if isinstance(tree, tuple | list):
        return [take_apart(part, fetch, arrays, f"{place}.{number}", depth + 1) for number, part in enumerate(tree)]
    if isinstance(tree, dict) and all(isinstance(key, str) and key != MARK for key in tree):
        return {key: take_apart(part, fetch, arrays, f"{place}.{key}", depth + 1) for key, part in tree.items()}
    if not hasattr(tree, "shape") or not hasattr(tree, "dtype"):
        raise TypeError(
            f"{place[1:]} is of type {type(tree).__name__}, and a checkpoint keeps arrays, numbers, strings, and lists, tuples "
            "and dicts of these."
        )
    if place[1:] in arrays:
        raise ValueError(f"{place[1:]} would be the name of two arrays: leave out dots in the keys of dicts.")
    arrays[place[1:]] = fetch(tree)
    return {MARK: place[1:]}


def put_together(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the tree that was taken apart; its tuples are lists now.

    Parameters
    ----------
    tree : dict, list or leaf
        As `take_apart` gives it; it may be anything.
    arrays : mapping of str to array
        By name, where they were.

    Raises
    ------
    KeyError
        If an array that is named is not there.
    """
    if isinstance(tree, list):
        return [put_together(part, arrays) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if MARK in tree:
        return arrays[tree[MARK]]
    return {key: put_together(part, arrays) for key, part in tree.items()}
