"""The losses of an epoch, fetched from the device all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.needs import need_of_output
from portable_bp.algorithm.propagation import measure_error
from portable_bp.backends import Rows, advise_fewer, attempt, compiled
from portable_bp.training.settings import Dataset, Settings
from portable_bp.training.step import Batch, Part, Progress, add_error, summary, zero_error


class Losses(NamedTuple):
    """The losses of an epoch, on the host.

    Attributes
    ----------
    loss : float, or array of shape (members,)
        The mean loss of its samples; NaN where it or a parameter is not finite.
    validation_loss : float, array of shape (members,), or None
        The loss on the validation data; None without them.
    """

    loss: Any
    validation_loss: Any = None

    @property
    def is_finite(self) -> bool:
        """Whether the loss and every parameter are finite."""
        return bool(np.isfinite(self.loss).all())


def fetch_losses(settings: Settings, progress: Progress, samples: int, validation: Dataset | None) -> Losses:
    """Return the losses of an epoch of that many samples."""
    layers, error = progress.layers, None
    if validation is not None:
        error = attempt(
            lambda: _measure(settings, layers, validation),
            settings.backend,
            f"measuring the loss of {validation.samples:,} validation samples",
            advise_fewer(need_of_output, layers, validation.samples, "give at most {:,} of them"),
        )
    numbers = compiled(settings.backend, summary)(layers, progress.total, float(samples), error)
    return Losses(*(row if row.ndim else float(row) for row in np.asarray(settings.backend.to_numpy(numbers))))


def _measure(settings: Settings, layers: Sequence[Layer], validation: Dataset) -> Array:
    """Return the mean error of all samples; those that are generated on demand are measured chunk by chunk."""
    backend, loss = settings.backend, settings.objective.loss
    if not isinstance(validation.inputs, Rows):
        return compiled(backend, measure_error, settings.activations, loss)(layers, *validation)
    add, total = compiled(backend, add_error, settings.activations, loss), compiled(backend, zero_error)(layers)
    targets = tuple(validation._replace(inputs=None))
    for numbers, inputs in validation.inputs.chunks(backend):
        batch = Batch(backend.asarray(numbers, "int32"), (), inputs)
        total = add(Progress(layers, None, total), targets, Part(batch, len(numbers) / validation.samples))
    return total
