"""Samples on the device, or on the host and moved in chunks, with their targets and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled, spans
from portable_bp.checks import as_array
from portable_bp.estimators.sample_weights import SampleWeights

MAX_DENSE = 2**23  # how many numbers of a sparse matrix are made dense at once: 64 MiB


@dataclass(frozen=True)
class DeviceSamples:
    """Samples on the device, of shape (samples, features)."""

    inputs: Array
    backend: Backend

    rows = None  # a solver reads the inputs themselves

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.inputs.shape[0]

    def take(self, indices: np.ndarray) -> DeviceSamples:
        """Return the samples with these indices."""
        return DeviceSamples(take_rows(self.backend, self.inputs, indices), self.backend)

    def spans(self, width: int) -> list[slice]:
        """Return the slices to process one at a time, given how many numbers a sample takes in the widest layer."""
        return spans(self.count, width)

    def chunk(self, span: slice) -> Array:
        """Return the samples of a slice."""
        return self.inputs if span == slice(0, self.count) else self.inputs[span, :]


@dataclass(frozen=True)
class HostSamples:
    """Samples on the host, a NumPy array or sparse CSR matrix of shape (samples, features), moved in chunks."""

    matrix: Any
    backend: Backend

    inputs = None  # a solver asks for rows

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.matrix.shape[0]

    def rows(self, indices: np.ndarray) -> Array:
        """Return the samples with these indices, an array of any shape, on the device."""
        dense = _dense(self.matrix[indices.reshape(-1)])
        return as_array(self.backend, dense.reshape(*indices.shape, self.matrix.shape[1]), "X")

    def take(self, indices: np.ndarray) -> HostSamples:
        """Return the samples with these indices."""
        return HostSamples(self.matrix[indices], self.backend)

    def spans(self, width: int) -> list[slice]:
        """Return the slices to process one at a time, given how many numbers a sample takes in the widest layer."""
        return spans(self.count, width, MAX_DENSE if scipy.sparse.issparse(self.matrix) else None)

    def chunk(self, span: slice) -> Array:
        """Return the samples of a slice on the device."""
        return as_array(self.backend, _dense(self.matrix[span]), "X")


Samples = DeviceSamples | HostSamples


class Examples(NamedTuple):
    """Samples with their targets, of shape (samples, outputs) or (samples,) for class indices, and their weights."""

    samples: Samples
    target: Array
    sample_weight: SampleWeights

    def take(self, indices: np.ndarray) -> Examples:
        """Return the examples with these indices."""
        backend = self.samples.backend
        weight = self.sample_weight.array
        return Examples(
            self.samples.take(indices),
            take_rows(backend, self.target, indices),
            self.sample_weight._replace(array=None if weight is None else take_rows(backend, weight, indices)),
        )


def hold_samples(backend: Backend, x: Any) -> Samples:
    """Return checked samples to train on, all of them on the device, unless they are sparse."""
    return stream_samples(backend, x) if scipy.sparse.issparse(x) else DeviceSamples(as_array(backend, x, "X"), backend)


def stream_samples(backend: Backend, x: Any) -> HostSamples:
    """Return checked host samples, to be moved to the device in chunks."""
    return HostSamples(x.tocsr() if scipy.sparse.issparse(x) else x, backend)


def take_rows(backend: Backend, array: Array, indices: np.ndarray) -> Array:
    """Return the rows of an array with these indices."""
    return compiled(backend, _take)(array, backend.asarray(indices, "int32"))


def _take(array: Array, indices: Array) -> Array:
    return namespace(array).take(array, indices, axis=0)


def _dense(rows: Any) -> np.ndarray:
    return rows.toarray() if scipy.sparse.issparse(rows) else rows
