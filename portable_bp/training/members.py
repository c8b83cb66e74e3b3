"""Some members of a population: their part of every array with a leading axis of members, and of the others all."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.algorithm.fields import of_members
from portable_bp.algorithm.losses import target_axes
from portable_bp.backends import Backend, compiled
from portable_bp.common.trees import map_leaves, zip_leaves
from portable_bp.training.settings import Dataset
from portable_bp.training.step import Batch, Pieces


def pieces_of(pieces: Pieces, members: np.ndarray) -> Pieces:
    """Return the pieces of a step with the numbers of some members."""
    numbers = members.tolist()
    return pieces._replace(objective=of_members(pieces.objective, numbers), optimizer=of_members(pieces.optimizer, numbers))


def take_members(backend: Backend, tree: Any, members: np.ndarray, population: int) -> Any:
    """Return the part of some members of nested arrays, such as layers and a state."""
    numbers = backend.asarray(members, "int32")
    take = compiled(backend, _take, 0)
    return map_leaves(lambda array: take(array, numbers) if _has_members(array, population) else array, tree)


def data_of(backend: Backend, data: Dataset, members: np.ndarray) -> Dataset:
    """Return the data of some members."""
    numbers, take = backend.asarray(members, "int32"), compiled(backend, _take, 0)
    return Dataset(*(take(array, numbers) if is_own else array for array, is_own in _own(data)))


def has_own_data(data: Dataset) -> bool:
    """Return whether members have data of their own."""
    return any(is_own for _, is_own in _own(data))


def _own(data: Dataset) -> list[tuple[Any, bool]]:
    """Return each array of the data, and whether it has an axis of members."""
    axes = 2, target_axes(data.target), 1
    return [(array, array is not None and array.ndim > own) for array, own in zip(data, axes, strict=True)]


def batches_of(backend: Backend, batches: Batch, members: np.ndarray) -> Batch:
    """Return the part of some members of consecutive batches, whose first axis is that of the steps."""
    numbers, take = backend.asarray(members, "int32"), compiled(backend, _take, 1)

    def part(array: Array | None, axes: int) -> Array | None:
        return array if array is None or array.ndim == axes + 1 else take(array, numbers)

    return Batch(part(batches.indices, 1), tuple(part(mask, 2) for mask in batches.masks), part(batches.inputs, 2))


def with_own_indices(backend: Backend, batches: Batch, samples: int) -> Batch:
    """Return consecutive batches with row numbers of the data that each member has of its own, if members have orders too."""
    if batches.indices is None or batches.indices.ndim == 2:
        return batches
    first = samples * np.arange(batches.indices.shape[1])[:, None]
    return batches._replace(own_indices=compiled(backend, operator.add)(batches.indices, backend.asarray(first, "int32")))


def merge(backend: Backend, members: np.ndarray, new: Any, old: Any) -> Any:
    """Return nested arrays with the new numbers of some members, given as booleans, and the old ones of the others.

    Arrays without an axis of members, such as a count of updates, are the new ones.
    """
    members = np.asarray(members)
    if members.all() or not members.any():
        return new if members.all() else old
    chosen = backend.asarray(members.astype(np.int32), "int32")
    select = compiled(backend, _select)

    def merged(fresh: Array, kept: Array) -> Array:
        return select(chosen, fresh, kept) if _has_members(fresh, len(members)) else fresh

    return zip_leaves(merged, new, old)


def spread(backend: Backend, part: Any, members: np.ndarray, population: int) -> Any:
    """Return nested arrays of all members in which the given ones have their part; the numbers of the others are arbitrary."""
    places = np.zeros(population, int)
    places[members] = np.arange(len(members))
    return take_members(backend, part, places, len(members))


def _has_members(array: Array, members: int) -> bool:
    return getattr(array, "ndim", 0) > 0 and array.shape[0] == members


def _take(axis: int, array: Array, numbers: Array) -> Array:
    return namespace(array).take(array, numbers, axis=axis)


def _select(members: Array, new: Array, old: Array) -> Array:
    chosen = members[(..., *[None] * (new.ndim - 1))] != 0
    return namespace(new).where(chosen, new, old)
