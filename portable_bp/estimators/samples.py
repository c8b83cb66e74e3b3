"""Samples on the device, or sparse on the host, and what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled, spans
from portable_bp.checks import as_array
from portable_bp.estimators.sample_weights import SampleWeights

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

    def spans(self, width: int) -> list[slice]:
        """Return the parts that are used one at a time, where a sample takes so many numbers at its widest."""
        return spans(self.count, width)

    def dense(self, span: slice) -> Array:
        """Return the samples of a part on the device."""
        return self.inputs if span == slice(0, self.count) else self.inputs[span, :]


@dataclass(frozen=True)
class Hosted:
    """Samples on the host: some rows at a time are put on the device.

    Parameters
    ----------
    matrix : numpy.ndarray, scipy.sparse.csr_matrix or csr_array, shape (samples, features)
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
        dense = _dense(self.matrix[numbers.reshape(-1)])
        return as_array(self.backend, dense.reshape(*numbers.shape, self.matrix.shape[1]), "X")

    def take(self, numbers: np.ndarray) -> Hosted:
        """Return some of the samples, by their numbers."""
        return Hosted(self.matrix[numbers], self.backend)

    def spans(self, width: int) -> list[slice]:
        """Return the parts that are used one at a time, where a sample takes so many numbers at its widest."""
        return spans(self.count, width, MOST_DENSE if scipy.sparse.issparse(self.matrix) else None)

    def dense(self, span: slice) -> Array:
        """Return the samples of a part on the device."""
        return as_array(self.backend, _dense(self.matrix[span]), "X")


def _dense(rows: Any) -> np.ndarray:
    return rows.toarray() if scipy.sparse.issparse(rows) else rows


def hold(backend: Backend, x: Any) -> Dense | Hosted:
    """Return checked samples to learn from, all where they are used, but those of a sparse matrix.

    Parameters
    ----------
    backend : Backend
        Where they are used.
    x : array or sparse matrix, shape (samples, features)
        The samples.
    """
    return stream(backend, x) if scipy.sparse.issparse(x) else Dense(as_array(backend, x, "X"), backend)


def stream(backend: Backend, x: Any) -> Hosted:
    """Return checked samples of the host that are used where they are to be some at a time.

    Parameters
    ----------
    backend : Backend
        Where they are used.
    x : numpy.ndarray or sparse matrix, shape (samples, features)
        The samples.
    """
    return Hosted(x.tocsr() if scipy.sparse.issparse(x) else x, backend)


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
    samples : Dense or Hosted
        What goes in.
    target : array, shape (samples, outputs), or (samples,) of integer classes
        What should come out.
    sample_weight : SampleWeights
        What each sample counts for.
    """

    samples: Dense | Hosted
    target: Array
    sample_weight: SampleWeights

    def take(self, numbers: np.ndarray) -> Examples:
        """Return some of the examples, by their numbers."""
        backend = self.samples.backend
        weight = self.sample_weight.array
        return Examples(
            self.samples.take(numbers),
            take_rows(backend, self.target, numbers),
            self.sample_weight._replace(array=None if weight is None else take_rows(backend, weight, numbers)),
        )
