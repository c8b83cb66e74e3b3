"""Samples on the device, or sparse on the host, and what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled
from portable_bp.inputs import as_array

MOST_DENSE = 2**23  # numbers of a sparse matrix are made dense at once: 64 MiB


@dataclass(frozen=True)
class Dense:
    """Samples on the device.

    Parameters
    ----------
    inputs : array, shape (samples, features)
        All of them.
    backend : Backend
        Where they are.
    """

    inputs: Array
    backend: Backend

    rows = None  # a solver takes the inputs themselves

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.inputs.shape[0]

    def take(self, numbers: np.ndarray) -> Dense:
        """Return some of the samples, by their numbers."""
        return Dense(take_rows(self.backend, self.inputs, numbers), self.backend)

    def spans(self) -> list[slice]:
        """Return the parts that are used one at a time: here one."""
        return [slice(0, self.count)]

    def dense(self, span: slice) -> Array:
        """Return the samples of a part on the device."""
        return self.inputs


@dataclass(frozen=True)
class Sparse:
    """Samples in a sparse matrix on the host: some of its rows at a time are made dense on the device.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix or csr_array, shape (samples, features)
        All of them.
    backend : Backend
        Where they are used.
    """

    matrix: Any
    backend: Backend

    inputs = None  # a solver takes rows

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.matrix.shape[0]

    def rows(self, numbers: np.ndarray) -> Array:
        """Return samples on the device, by numbers of any shape."""
        dense = self.matrix[numbers.reshape(-1)].toarray()
        return self.backend.asarray(dense.reshape(*numbers.shape, self.matrix.shape[1]))

    def take(self, numbers: np.ndarray) -> Sparse:
        """Return some of the samples, by their numbers."""
        return Sparse(self.matrix[numbers], self.backend)

    def spans(self) -> list[slice]:
        """Return the parts that are used one at a time."""
        height = max(1, MOST_DENSE // self.matrix.shape[1])
        return [slice(start, min(start + height, self.count)) for start in range(0, self.count, height)]

    def dense(self, span: slice) -> Array:
        """Return the samples of a part on the device."""
        return self.backend.asarray(self.matrix[span].toarray())


def hold(backend: Backend, x: Any) -> Dense | Sparse:
    """Return checked samples where they are used.

    Parameters
    ----------
    backend : Backend
        Where they are used.
    x : array or sparse matrix, shape (samples, features)
        The samples.
    """
    if scipy.sparse.issparse(x):
        return Sparse(x.tocsr(), backend)
    return Dense(as_array(backend, x, "X"), backend)


def take_rows(backend: Backend, array: Array, numbers: np.ndarray) -> Array:
    """Return rows of an array, by their numbers.

    Parameters
    ----------
    backend : Backend
        Where it is.
    array : array
        What to take from.
    numbers : numpy.ndarray of int
        Which rows.
    """
    return compiled(backend, _taken)(array, backend.asarray(numbers, "int32"))


def _taken(array: Array, numbers: Array) -> Array:
    return namespace(array).take(array, numbers, axis=0)


class Examples(NamedTuple):
    """Samples with what belongs to them.

    Attributes
    ----------
    samples : Dense or Sparse
        What goes in.
    target : array, shape (samples, outputs), or (samples,) of integer classes
        What should come out.
    sample_weight : array, shape (samples,), or None
        What each sample counts for.
    """

    samples: Dense | Sparse
    target: Array
    sample_weight: Array | None

    def take(self, numbers: np.ndarray) -> Examples:
        """Return some of the examples, by their numbers."""
        backend = self.samples.backend
        weight = self.sample_weight
        return Examples(
            self.samples.take(numbers),
            take_rows(backend, self.target, numbers),
            None if weight is None else take_rows(backend, weight, numbers),
        )
