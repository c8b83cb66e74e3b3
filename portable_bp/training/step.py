"""One step of training: pure functions of arrays, which a backend compiles or records whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import array_api_compat

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.dropout import Dropout
from portable_bp.algorithm.losses import target_axes
from portable_bp.algorithm.propagation import measure_error, propagate

# Inputs, target and sample weight of all samples, of shapes (all, features), (all, outputs) or (all,), and (all,); in a
# population, each may have a leading axis of members. The inputs are None if each batch has its own.
Arrays: TypeAlias = tuple[Array, Array, Array]


class Progress(NamedTuple):
    """The values that a step takes and returns, all on the device.

    Attributes
    ----------
    layers : sequence of Layer
        The parameters.
    state : object
        The state of the optimizer.
    total : array, shape (), or (members,) in a population
        The sum of the errors of the epoch's samples so far.
    """

    layers: Sequence[Layer]
    state: Any
    total: Array


class Batch(NamedTuple):
    """The samples of a step; with one more leading axis, those of several steps.

    In a population, each array may have an axis of members before its own.

    Attributes
    ----------
    indices : array, shape (samples,), or None
        Row numbers of the data; None for all rows, in their order.
    masks : tuple of array or None
        The dropout mask of each hidden layer, of shape (samples, fan_out), or None.
    inputs : array, shape (samples, features), or None
        The inputs, if they are not on the device with the rest of the data.
    own_indices : array, shape (members, samples), or None
        Row numbers of data that each member has of its own, counted through the rows of all members.
    """

    indices: Array | None
    masks: tuple[Array | None, ...]
    inputs: Array | None = None
    own_indices: Array | None = None


class Part(NamedTuple):
    """Some samples, and their share of all of them.

    The share is given, rather than computed from shapes, since a compiler would merge a constant with others, and round it.
    """

    batch: Batch
    share: float


class Pieces(NamedTuple):
    """The activations, the objective and the optimizer of a step.

    Attributes
    ----------
    activations : tuple of activation
        One for each layer above the inputs.
    objective : objective
        Returns the error of a batch and its gradient, as ``MeanLoss`` does.
    optimizer : optimizer
        Updates the parameters.
    """

    activations: tuple[Any, ...]
    objective: Any
    optimizer: Any


@dataclass(frozen=True)
class MeanLoss:
    """The objective to minimize: the mean of a loss over a batch.

    Another objective, with the same call and a field ``loss``, may add a penalty or weight samples differently.
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
        """Return the error of a batch and its gradient."""
        passed = propagate(activations, self.loss, layers, inputs, target, sample_weight)
        return passed.error, passed.gradient


def begin_state(optimizer: Any, layers: Sequence[Layer]) -> Any:
    """Return the state of an optimizer before the first step."""
    return optimizer.init(layers)


def zero_error(layers: Sequence[Layer]) -> Array:
    """Return an error of zero for each network, in the dtype and on the device of the parameters."""
    weight = layers[0].weight
    return namespace(weight).zeros(weight.shape[:-2], dtype=weight.dtype, device=array_api_compat.device(weight))


def step(pieces: Pieces, progress: Progress, data: Arrays, batch: Batch) -> Progress:
    """Learn from one batch: forward, error, backward, update."""
    inputs, target, sample_weight = _take(data, batch)
    *hidden, output = pieces.activations
    dropped = [
        activation if mask is None else Dropout(activation, mask) for activation, mask in zip(hidden, batch.masks, strict=True)
    ]
    error, gradient = pieces.objective([*dropped, output], progress.layers, inputs, target, sample_weight)
    layers, state = pieces.optimizer.update(gradient, progress.state, progress.layers)
    return Progress(list(layers), state, progress.total + inputs.shape[-2] * error)


def add_error(activations: Sequence[Any], loss: Any, progress: Progress, data: Arrays, part: Part) -> Array:
    """Return the total with the error of a part of the samples added, weighted by its share."""
    inputs, target, sample_weight = _take(data, part.batch)
    return progress.total + part.share * measure_error(activations, loss, progress.layers, inputs, target, sample_weight)


def _take(data: Arrays, batch: Batch) -> Arrays:
    """Return the inputs, target and sample weight of a batch."""
    axes = 2, target_axes(data[1]), 1
    inputs, target, sample_weight = (rows_of(array, own, batch) for array, own in zip(data, axes, strict=True))
    return (inputs if batch.inputs is None else batch.inputs), target, sample_weight


def rows_of(array: Array, axes: int, batch: Batch) -> Array:
    """Return a batch's rows of an array that has so many axes, or one more of members."""
    if array is None or batch.indices is None:
        return array
    xp = namespace(array)
    has_members = array.ndim > axes
    if batch.indices.ndim == 1:
        return xp.take(array, batch.indices, axis=int(has_members))
    if not has_members:
        return _taken(array, batch.indices)
    return _taken(xp.reshape(array, (-1, *array.shape[2:])), batch.own_indices)


def _taken(array: Array, indices: Array) -> Array:
    """Return the rows with numbers of shape (members, samples): ``take`` has one axis of numbers."""
    xp = namespace(array)
    rows = xp.take(array, xp.reshape(indices, (-1,)), axis=0)
    return xp.reshape(rows, (*indices.shape, *array.shape[1:]))


def summary(layers: Sequence[Layer], total: Array, samples: float, validation_error: Array | None) -> Array:
    """Return an epoch's mean error and its validation error, if any, as one array, so that they are fetched together.

    Its other axis is that of the members of a population. The mean error is NaN where a parameter is not finite.
    """
    xp = namespace(total)
    error = xp.where(xp.isfinite(total) & are_finite(layers), total / samples, xp.nan)
    return xp.stack([error] if validation_error is None else [error, validation_error])


def are_finite(layers: Sequence[Layer]) -> Array:
    """Return whether every parameter is finite, as a boolean array of shape (), or (members,) in a population."""
    xp = namespace(layers[0].weight)
    finite = [xp.all(xp.isfinite(layer.weight), axis=(-2, -1)) for layer in layers]
    finite += [xp.all(xp.isfinite(layer.bias), axis=-1) for layer in layers if layer.bias is not None]
    return xp.all(xp.stack(finite), axis=0)
