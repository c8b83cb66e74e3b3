"""Batches, drawn on the host by NumPy, so that a seed gives the same ones on every backend.

In a population, each member draws from a generator of its own what it would draw alone. A member that has ended has None in
place of its generator, and is given arbitrary batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Layer, sizes_of
from portable_bp.algorithm.dropout import draw_mask
from portable_bp.training.settings import Settings, draw_order
from portable_bp.training.step import Batch

# The limits of a chunk: a number of batches, of products (some seconds on one core), and of drawn numbers (64 MiB of float64).
MAX_BATCHES, MAX_PRODUCTS, MAX_NUMBERS = 256, 4e11, 2**23


class Chunk(NamedTuple):
    """Consecutive batches of one size.

    Attributes
    ----------
    batches : Batch
        All of them, along a leading axis.
    steps : int
        The number of batches.
    same_size : int
        How many batches of this size the epoch has.
    """

    batches: Batch
    steps: int
    same_size: int


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch: every sample once, with a dropout mask for each hidden layer that has a rate.

    Parameters
    ----------
    settings : Settings
        The settings of the training.
    samples : int
        The number of samples.
    hidden : sequence of int
        The number of neurons of each hidden layer.
    chunk : int
        How many batches are drawn and learned from together, at most.
    """

    settings: Settings
    samples: int
    hidden: Sequence[int]
    chunk: int

    @classmethod
    def of(cls, settings: Settings, layers: Sequence[Layer], samples: int) -> Batches:
        """Return the batches of a training, in chunks that suit the size of its network."""
        products = settings.batch_size * sum(math.prod(layer.weight.shape) for layer in layers)
        numbers = settings.batch_size * settings.numbers_per_sample(layers)
        chunk = min(MAX_BATCHES, MAX_PRODUCTS // products, MAX_NUMBERS // (numbers or 1))
        return cls(settings, samples, sizes_of(layers)[1:-1], max(1, int(chunk)))

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return math.ceil(self.samples / self.settings.batch_size)

    def count_drawing(self, members: int) -> int:
        """Return how many of the members' generators draw something: all, the first one, or none."""
        if any(self.settings.rates) or self.settings.draw_order is not draw_order:
            return members
        return 0 if self.settings.batch_size >= self.samples else 1 if self.settings.shared_order else members

    def draw(self, generator: Any, skip: int = 0) -> Iterator[Chunk]:
        """Yield the batches of an epoch in chunks, without the first few, which were learned before a checkpoint."""
        order = self._draw_order(generator)
        if order is None and self.settings.rows is not None:
            order = np.arange(self.samples)
        number = 0
        while number < len(self):
            chunk = range(number, self._end_of_chunk(number, skip))
            # Masks are drawn batch by batch, for skipped ones too, so that the random numbers do not depend on the chunks.
            # Without dropout there are none, and one list of them says so for the whole chunk.
            masks = [self._draw_masks(generator, self._size_of(number)) for _ in (chunk if any(self.settings.rates) else [0])]
            if number >= skip:
                yield self._stack(chunk, order, masks)
            number = chunk.stop

    def _size_of(self, number: int) -> int:
        batch_size = self.settings.batch_size
        return min(batch_size, self.samples - number * batch_size)

    def _end_of_chunk(self, number: int, skip: int) -> int:
        """Return where a chunk from this batch on ends: where skipping ends, the size changes, or a checkpoint is due."""
        whole = self.samples // self.settings.batch_size
        ends = [number + self.chunk, whole if number < whole else len(self)]
        every = self.settings.checkpoint and self.settings.checkpoint.every
        if number < skip:
            ends.append(skip)
        elif every:
            ends.append(number + every - number % every)
        return min(ends)

    def _draw_order(self, generator: Any) -> Any:
        """Draw the order of the samples: of shape (samples,), or (members, samples) if each member has its own."""
        if not isinstance(generator, tuple):
            return self.settings.draw_order(generator, self.samples, self.settings.batch_size)
        if self.settings.shared_order:
            return self._draw_order(generator[0])
        orders = [None if each is None else self._draw_order(each) for each in generator]
        drawn = next((order for order in orders if order is not None), None)
        return None if drawn is None else np.stack([drawn if order is None else order for order in orders])

    def _draw_masks(self, generator: Any, size: int) -> list[Any]:
        """Draw the dropout mask of each hidden layer that has a rate."""
        if not any(self.settings.rates):
            return [None] * len(self.hidden)
        if isinstance(generator, tuple):
            each = [self._draw_member_masks(own, size, member) for member, own in enumerate(generator)]
            return [_stack_masks(masks) for masks in zip(*each, strict=True)]
        return self._draw_member_masks(generator, size)

    def _draw_member_masks(self, generator: Any, size: int, member: int = 0) -> list[Any]:
        if generator is None:
            return [None] * len(self.hidden)
        rates = [rate[member] if isinstance(rate, tuple) else rate for rate in self.settings.rates]
        return [
            draw_mask(generator, rate, (size, width)) if rate else None for width, rate in zip(self.hidden, rates, strict=True)
        ]

    def _stack(self, chunk: range, order: np.ndarray | None, masks: list[list[Any]]) -> Chunk:
        """Move consecutive batches to the device, stacked along a leading axis."""
        backend, batch_size, size = self.settings.backend, self.settings.batch_size, self._size_of(chunk.start)
        start = chunk.start * batch_size
        rows = None
        if order is not None:
            drawn = order[..., start : start + len(chunk) * size]
            rows = np.moveaxis(drawn.reshape(*order.shape[:-1], len(chunk), size), -2, 0)
        indices = None if rows is None else backend.asarray(rows, "int32")
        stacked = tuple(None if each[0] is None else backend.asarray(np.stack(each)) for each in zip(*masks, strict=True))
        inputs = None if self.settings.rows is None else self.settings.rows(rows)
        same_size = self.samples // batch_size if size == batch_size else 1
        return Chunk(Batch(indices, stacked, inputs), len(chunk), same_size)


def _stack_masks(masks: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the masks of a layer for all members; one without a rate keeps every out."""
    drawn = next((mask for mask in masks if mask is not None), None)
    return None if drawn is None else np.stack([np.ones_like(drawn) if mask is None else mask for mask in masks])
