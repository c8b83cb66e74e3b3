"""Which samples each step learns from: drawn on the host by NumPy, so that a seed gives the same batches everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Array
from portable_bp.algorithm.dropout import draw_mask
from portable_bp.training.step import Batch


def draw_order(generator: np.random.Generator, samples: int, batch_size: int) -> np.ndarray | None:
    """Draw an epoch's order of the samples; None where one batch holds them all.

    Parameters
    ----------
    generator : numpy.random.Generator
        Where the random numbers come from.
    samples : int
        How many samples there are.
    batch_size : int
        How many a batch holds.
    """
    return generator.permutation(samples) if batch_size < samples else None


def draw_batches(
    backend: Any,
    generator: Any,
    order: np.ndarray | None,
    samples: int,
    batch_size: int,
    widths: Sequence[int],
    rates: Sequence[float],
    at_once: int,
    rows: Callable[..., Array] | None = None,
    made: int = 0,
    every: int | None = None,
) -> Iterator[tuple[Batch, int, int]]:
    """Draw the batches of one epoch: every sample once.

    Parameters
    ----------
    backend : Backend
        Where the indices and masks go.
    generator : numpy.random.Generator or numpy.random.RandomState
        Where the random numbers of the masks come from.
    order : numpy.ndarray, shape (samples,), or None
        The order in which samples come; None where one batch holds them all.
    samples : int
        How many samples there are.
    batch_size : int
        How many a batch holds; the last one holds what is left.
    widths : sequence of int
        The number of neurons of each hidden layer.
    rates : sequence of float
        The dropout rate of each hidden layer; zero draws no mask.
    at_once : int
        How many batches are drawn together, at most.
    rows : callable, optional
        Gives inputs by their numbers, where they are not on the device.
    made : int
        How many batches were learned from before: they are drawn again, and not given.
    every : int, optional
        Batches before and after one whose number is a multiple of this are not given together.

    Yields
    ------
    Batch
        Some batches of one size, along a leading axis.
    int
        How many.
    int
        How many of this size the epoch has.
    """
    if order is None and rows is not None:
        order = np.arange(samples)
    layers = list(zip(widths, rates, strict=True))
    start = number = 0
    while start < samples:
        size = min(batch_size, samples - start)
        until = made if number < made else number + every - number % every if every else samples
        steps = min(at_once, (samples - start) // size, until - number)
        stop = start + steps * size
        # Step by step, so that it does not matter how many are drawn at once.
        drawn = [[_draw_mask(generator, rate, (size, width)) for width, rate in layers] for _ in range(steps)]
        if number >= made:
            masks = tuple(None if each[0] is None else backend.asarray(np.stack(each)) for each in zip(*drawn, strict=True))
            numbers = None if order is None else order[start:stop].reshape(steps, size)
            indices = None if numbers is None else backend.asarray(numbers, "int32")
            alike = samples // batch_size if size == batch_size else 1
            yield Batch(indices, masks, None if rows is None else rows(numbers)), steps, alike
        start, number = stop, number + steps


def _draw_mask(generator: Any, rate: float, shape: tuple[int, int]) -> np.ndarray | None:
    return draw_mask(generator, rate, shape) if rate else None
