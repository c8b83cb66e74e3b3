"""Which samples each step learns from: drawn on the host by NumPy, so that a seed gives the same batches everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.dropout import draw_mask
from portable_bp.training.step import Batch


def draw_batches(
    backend: Any, generator: np.random.Generator, samples: int, batch_size: int, widths: Sequence[int], rates: Sequence[float]
) -> Iterator[Batch]:
    """Draw the batches of one epoch: every sample once, in an order of its own.

    Parameters
    ----------
    backend : Backend
        Where the indices and masks go.
    generator : numpy.random.Generator
        Where the random numbers come from.
    samples : int
        How many samples there are.
    batch_size : int
        How many a batch holds; the last one holds what is left.
    widths : sequence of int
        The number of neurons of each hidden layer.
    rates : sequence of float
        The dropout rate of each hidden layer; zero draws no mask.
    """
    order = None
    if batch_size < samples:
        order = backend.asarray(generator.permutation(samples), "int32")
    for start in range(0, samples, batch_size):
        stop = min(start + batch_size, samples)
        masks = tuple(
            backend.asarray(draw_mask(generator, rate, (stop - start, width))) if rate else None
            for width, rate in zip(widths, rates, strict=True)
        )
        yield Batch(None if order is None else order[start:stop], masks)
