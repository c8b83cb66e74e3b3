"""What a training is given besides the parameters: its settings, and the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer, sizes_of
from portable_bp.backends import Backend
from portable_bp.training.checkpoints import Checkpoint
from portable_bp.training.history import Training
from portable_bp.training.step import Pieces


class Dataset(NamedTuple):
    """Samples on the device.

    Attributes
    ----------
    inputs : array, shape (samples, features), Rows, or None
        None where every batch brings its own; `Rows`, which are made on demand, only in validation data.
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
        return self.target.shape[0]


def draw_order(generator: np.random.Generator, samples: int, batch_size: int) -> np.ndarray | None:
    """Draw the order of an epoch's samples; None where one batch holds them all."""
    return generator.permutation(samples) if batch_size < samples else None


@dataclass(frozen=True)
class Settings:
    """What does not change during training.

    Parameters
    ----------
    backend : Backend
        Where the arrays are.
    activations : tuple of activation
        One for each layer above the inputs.
    objective : objective
        What is minimized, such as `MeanLoss`; its ``loss`` is measured on validation data.
    optimizer : optimizer
        What updates the parameters.
    epochs : int
        The number of passes over the data, those before a checkpoint included.
    batch_size : int
        The number of samples in a step; the last batch of an epoch may have fewer.
    rates : tuple of float
        The dropout rate of each hidden layer.
    callbacks : sequence of callable
        Called with the training after every epoch.
    progress : bool
        Whether to show a progress bar.
    draw_order : callable
        ``draw_order(generator, samples, batch_size)`` returns the order of an epoch's samples, as the function of this name.
    may_diverge : bool
        Whether training goes on with numbers that are not finite. If not, the generator must be a `numpy.random.Generator` and
        ``draw_order`` a pure function of it, since an epoch that diverged is repeated to find the batch.
    rows : callable, optional
        Returns inputs on the device, given their row numbers, where the dataset holds none.
    checkpoint : Checkpoint, optional
        Where to save the training; the generator must be a `numpy.random.Generator`.
    """

    backend: Backend
    activations: tuple[Any, ...]
    objective: Any
    optimizer: Any
    epochs: int
    batch_size: int
    rates: tuple[float, ...]
    callbacks: Sequence[Callable[[Training], Any]]
    progress: bool = False
    draw_order: Callable[[Any, int, int], np.ndarray | None] = draw_order
    may_diverge: bool = False
    rows: Callable[[Any], Array] | None = None
    checkpoint: Checkpoint | None = None

    @property
    def pieces(self) -> Pieces:
        """What a step is made of."""
        return Pieces(self.activations, self.objective, self.optimizer)

    def numbers_per_sample(self, layers: Sequence[Layer]) -> int:
        """Return how many numbers a batch brings to the device for each sample: dropout masks, and inputs on demand."""
        inputs, *hidden, _ = sizes_of(layers)
        masks = sum(width for width, rate in zip(hidden, self.rates, strict=True) if rate)
        return masks + (inputs if self.rows else 0)
