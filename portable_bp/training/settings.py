"""The settings and the data of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer, sizes_of
from portable_bp.algorithm.losses import target_axes
from portable_bp.backends import Backend
from portable_bp.training.checkpoints import Checkpoint
from portable_bp.training.history import Training
from portable_bp.training.step import Pieces


class Dataset(NamedTuple):
    """Samples on the device.

    Attributes
    ----------
    inputs : array, shape (samples, features), Rows, or None
        None if every batch has its own; ``Rows``, which are generated on demand, only in validation data.
    target : array, shape (samples, outputs), or (samples,) of integer classes
        The desired outputs.
    sample_weight : array, shape (samples,), or None
        The weight of each sample in the mean loss.
    """

    inputs: Any
    target: Array
    sample_weight: Array | None

    @property
    def samples(self) -> int:
        """The number of samples."""
        return self.target.shape[-target_axes(self.target)]


def draw_order(generator: np.random.Generator, samples: int, batch_size: int) -> np.ndarray | None:
    """Draw the order of an epoch's samples; None if one batch holds them all."""
    return generator.permutation(samples) if batch_size < samples else None


@dataclass(frozen=True)
class Settings:
    """The settings of a training, which do not change while it runs.

    Parameters
    ----------
    backend : Backend
        Where the arrays are.
    activations : tuple of activation
        One for each layer above the inputs.
    objective : objective
        The objective to minimize, such as ``MeanLoss``; its ``loss`` is measured on validation data.
    optimizer : optimizer
        Updates the parameters.
    epochs : int
        The number of passes over the data, including those before a checkpoint.
    batch_size : int
        The number of samples in a step; the last batch of an epoch may have fewer.
    rates : tuple of float, or of tuple of float
        The dropout rate of each hidden layer, or of each of its members.
    callbacks : sequence of callable
        Called with the training after every epoch.
    progress : bool
        Whether to show a progress bar.
    draw_order : callable
        ``draw_order(generator, samples, batch_size)`` returns the order of an epoch's samples, as ``draw_order`` does.
    may_diverge : bool
        Whether training continues with numbers that are not finite. If not, the generator must be a `numpy.random.Generator`,
        and ``draw_order`` a pure function of it, since an epoch that diverged is repeated to find the batch.
    rows : callable, optional
        Returns inputs on the device, given their row numbers, if the dataset holds none.
    checkpoint : Checkpoint, optional
        Where to save the training; the generator must be a `numpy.random.Generator`.
    shared_order : bool
        Whether all members of a population see the samples in the order that the first one draws.
    samples : int, optional
        The number of samples in an epoch. The default is all of the dataset; with fewer, ``draw_order`` returns the row numbers
        of those to learn from.
    repeats : int
        How many trainings like this one are expected, including this one, which decides how steps are compiled.
    """

    backend: Backend
    activations: tuple[Any, ...]
    objective: Any
    optimizer: Any
    epochs: int
    batch_size: int
    rates: tuple[Any, ...]
    callbacks: Sequence[Callable[[Training], Any]]
    progress: bool = False
    draw_order: Callable[[Any, int, int], np.ndarray | None] = draw_order
    may_diverge: bool = False
    rows: Callable[[Any], Array] | None = None
    checkpoint: Checkpoint | None = None
    shared_order: bool = False
    samples: int | None = None
    repeats: int = 1

    @property
    def pieces(self) -> Pieces:
        """The pieces of a step."""
        return Pieces(self.activations, self.objective, self.optimizer)

    def numbers_per_sample(self, layers: Sequence[Layer]) -> int:
        """Return how many numbers each sample of a batch moves to the device: dropout masks, and inputs on demand."""
        inputs, *hidden, _ = sizes_of(layers)
        masks = sum(width for width, rate in zip(hidden, self.rates, strict=True) if rate)
        return math.prod(layers[0].weight.shape[:-2]) * (masks + (inputs if self.rows else 0))
