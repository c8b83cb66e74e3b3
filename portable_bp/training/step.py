"""One step of training, as a pure function of arrays that a backend may compile whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.dropout import Dropout
from portable_bp.algorithm.propagation import measure_error, propagate


class Progress(NamedTuple):
    """What a step takes and returns, all on the device.

    Attributes
    ----------
    layers : sequence of Layer
        The parameters.
    state : object
        What the optimizer remembers.
    total : array, shape ()
        The errors of the epoch's samples so far, added up.
    """

    layers: Sequence[Layer]
    state: Any
    total: Array


class Batch(NamedTuple):
    """The samples that a step learns from, by number; with one more leading axis, those of many steps.

    Attributes
    ----------
    indices : array, shape (samples,), or None
        Rows of the data; None for all of them, in their order.
    masks : tuple of array or None
        A dropout mask, of shape (samples, fan_out), for each hidden layer, where it has one.
    inputs : array, shape (samples, features), or None
        The inputs themselves, where they are not on the device with the rest of the data.
    """

    indices: Array | None
    masks: tuple[Array | None, ...]
    inputs: Array | None = None


@dataclass(frozen=True)
class MeanLoss:
    """What training makes small: the mean over a batch of a loss.

    Another such piece, with this call, may add to it or weigh it otherwise.

    Parameters
    ----------
    loss : loss
        Of every sample.
    """

    loss: Any

    def __call__(
        self,
        activations: Sequence[Any],
        layers: Sequence[Layer],
        inputs: Array,
        target: Array,
        sample_weight: Array | None,
    ) -> tuple[Array, list[Layer]]:
        """Return a batch's error and its gradient."""
        passed = propagate(activations, self.loss, layers, inputs, target, sample_weight)
        return passed.error, passed.gradient


def begin_state(optimizer: Any, layers: Sequence[Layer]) -> Any:
    """Return what an optimizer remembers before the first step.

    Parameters
    ----------
    optimizer : optimizer
        Its state is begun.
    layers : sequence of Layer
        The parameters to start from.
    """
    return optimizer.init(layers)


def zero_error(layers: Sequence[Layer]) -> Array:
    """Return a total of nothing, where the layers are and in their dtype.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.
    """
    weight = layers[0].weight
    return namespace(weight).zeros((), dtype=weight.dtype, device=array_api_compat.device(weight))


def step(
    activations: Sequence[Any],
    objective: Any,
    optimizer: Any,
    progress: Progress,
    data: tuple[Array | None, Array, Array | None],
    batch: Batch,
) -> Progress:
    """Learn from one batch.

    Parameters
    ----------
    activations, objective, optimizer
        The pieces of the algorithm; no arrays. The objective gives a batch's error and gradient, as `MeanLoss` does.
    progress : Progress
        Before the step.
    data : tuple of inputs, target and sample weight
        All samples, of shape (all, features), (all, outputs) or (all,), and (all,) or None. The inputs are None where the
        batch brings its own.
    batch : Batch
        Which of them to learn from.
    """
    inputs, target, sample_weight = (_rows(array, batch.indices) for array in data)
    if batch.inputs is not None:
        inputs = batch.inputs
    hidden = [
        activation if mask is None else Dropout(activation, mask)
        for activation, mask in zip(activations[:-1], batch.masks, strict=True)
    ]
    error, gradient = objective([*hidden, activations[-1]], progress.layers, inputs, target, sample_weight)
    layers, state = optimizer.update(gradient, progress.state, progress.layers)
    return Progress(list(layers), state, progress.total + inputs.shape[-2] * error)


def add_error(
    activations: Sequence[Any],
    loss: Any,
    layers: Sequence[Layer],
    error: Array,
    share: float,
    inputs: Array,
    indices: Array,
    target: Array,
    sample_weight: Array | None,
) -> Array:
    """Return an error with that of some samples added to it, of which the inputs are given, and the rows of the others."""
    target, sample_weight = (_rows(array, indices) for array in (target, sample_weight))
    return error + share * measure_error(activations, loss, layers, inputs, target, sample_weight)


def summary(layers: Sequence[Layer], total: Array, samples: Array, validation_error: Array | None) -> Array:
    """Return an epoch's numbers in one array, so that they are fetched at once.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters after the epoch.
    total : array, shape ()
        The errors of the epoch's samples, added up.
    samples : float
        How many there were.
    validation_error : array, shape (), or None
        The error on other data.

    Returns
    -------
    array, shape (1,) or (2,)
        The mean error, NaN where a parameter is not finite any more, and the validation error where there is one.
    """
    xp = namespace(total)
    error = xp.where(xp.isfinite(total) & are_finite(layers), total / samples, xp.nan)
    return xp.stack([error] if validation_error is None else [error, validation_error])


def are_finite(layers: Sequence[Layer]) -> Array:
    """Return whether every parameter is finite.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.

    Returns
    -------
    array, shape ()
        Of a boolean.
    """
    parameters = [parameter for layer in layers for parameter in layer if parameter is not None]
    xp = namespace(parameters[0])
    return xp.all(xp.stack([xp.all(xp.isfinite(parameter)) for parameter in parameters]))


def _rows(array: Array, indices: Array | None) -> Array:
    if array is None or indices is None:
        return array
    return namespace(array).take(array, indices, axis=0)
