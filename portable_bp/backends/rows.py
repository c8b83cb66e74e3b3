"""Samples that are made on the host when they are asked for, where all of them together would take too much memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from portable_bp.backends.chunks import spans
from portable_bp.backends.contract import Backend

# Numbers that are made at once: 32 MiB of float32.
MOST_AT_ONCE = 2**23


@dataclass(frozen=True)
class Rows:
    """Samples on demand.

    Parameters
    ----------
    shape : tuple of int
        How many samples there are, and how many inputs each has.
    make : callable
        Given row numbers, or a slice, returns these rows as a finite NumPy array.
    """

    shape: tuple[int, int]
    make: Callable[[np.ndarray | slice], np.ndarray]

    ndim = 2

    def take(self, backend: Backend, numbers: np.ndarray) -> object:
        """Return samples on the device, by numbers of any shape."""
        return backend.asarray(self.make(numbers.reshape(-1)).reshape(*numbers.shape, self.shape[1]))

    def parts(self, backend: Backend) -> Iterator[tuple[np.ndarray, object]]:
        """Yield the numbers of some samples, and these on the device, until all were there."""
        for span in spans(self.shape[0], self.shape[1], MOST_AT_ONCE):
            yield np.arange(span.start, span.stop), backend.asarray(self.make(span))
