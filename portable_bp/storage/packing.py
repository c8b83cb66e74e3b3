"""Split nested dicts, lists and tuples into named arrays and JSON, and put them together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from portable_bp.storage.json_depth import MAX_DEPTH

MARK = "$array"


def take_apart(
    tree: Any, fetch: Callable[[Any], np.ndarray], arrays: dict[str, np.ndarray], place: str = "", depth: int = 0
) -> Any:
    """Return a tree whose arrays are replaced by their names, and add the arrays to ``arrays`` under these names.

    ``fetch`` returns an array as a NumPy array; ``place`` and ``depth`` say where in a larger tree this one is. Other leaves
    may be numbers, strings, booleans and None.
    """
    if depth > MAX_DEPTH:
        raise ValueError(
            f"{place[1:61]}... is nested more than {MAX_DEPTH} levels deep, which a checkpoint cannot hold: flatten it."
        )
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    if isinstance(tree, tuple | list):
        return [take_apart(part, fetch, arrays, f"{place}.{number}", depth + 1) for number, part in enumerate(tree)]
    if isinstance(tree, dict) and all(isinstance(key, str) and key != MARK for key in tree):
        return {key: take_apart(part, fetch, arrays, f"{place}.{key}", depth + 1) for key, part in tree.items()}
    if not hasattr(tree, "shape") or not hasattr(tree, "dtype"):
        raise TypeError(
            f"{place[1:]} is of type {type(tree).__name__}, and a checkpoint can hold only arrays, numbers, strings, and "
            "lists, tuples and dicts of these: convert it."
        )
    if place[1:] in arrays:
        raise ValueError(f"two arrays would have the name {place[1:]}: use keys without dots in dicts.")
    arrays[place[1:]] = fetch(tree)
    return {MARK: place[1:]}


def put_together(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the tree that ``take_apart`` took apart, with lists for tuples; a missing array is a KeyError."""
    if isinstance(tree, list):
        return [put_together(part, arrays) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if MARK in tree:
        return arrays[tree[MARK]]
    return {key: put_together(part, arrays) for key, part in tree.items()}
