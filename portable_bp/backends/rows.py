"""Samples generated on the host when needed, for data that would not fit into memory all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from portable_bp.backends.chunks import spans
from portable_bp.backends.contract import Backend

CHUNK_SIZE = 2**23  # numbers generated at a time: 32 MiB of float32


@dataclass(frozen=True)
class Rows:
    """Samples generated when needed; ``make`` returns those of some row numbers, or of a slice, as a finite NumPy array."""

    shape: tuple[int, int]  # (samples, features)
    make: Callable[[np.ndarray | slice], np.ndarray]

    ndim = 2

    def take(self, backend: Backend, numbers: np.ndarray) -> object:
        """Return the samples with these row numbers on the device, of shape (*numbers.shape, features)."""
        return backend.asarray(self.make(numbers.reshape(-1)).reshape(*numbers.shape, self.shape[1]))

    def chunks(self, backend: Backend) -> Iterator[tuple[np.ndarray, object]]:
        """Yield all samples in chunks: their row numbers, and an array on the device."""
        for span in spans(self.shape[0], self.shape[1], CHUNK_SIZE):
            yield np.arange(span.start, span.stop), backend.asarray(self.make(span))
