"""The terms of the whole algorithm: a layer's parameters, a layer's signal, and the namespace of an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import array_api_compat

# The array API standard defines no common type for arrays, so Any is the narrowest true annotation.
Array: TypeAlias = Any


class Layer(NamedTuple):
    """The parameters of one layer, or arrays of their shapes, such as a gradient.

    Attributes
    ----------
    weight : array, shape (..., fan_out, fan_in)
        The article's W, in its reading order: row i holds the weights that lead to neuron i.
    bias : array, shape (..., fan_out), or None
        None in a network without biases.
    """

    weight: Array
    bias: Array | None


class Signal(NamedTuple):
    """The net and out of one layer for a batch.

    Attributes
    ----------
    net : array, shape (..., samples, fan_out)
        The weighted sum of the outs below, plus the bias.
    out : array, shape (..., samples, fan_out)
        The activation's value at net.
    """

    net: Array
    out: Array


_NAMESPACES: dict[type, Any] = {}


def namespace(array: Array) -> Any:
    """Return the array API namespace of an array.

    It is cached for each type of array, since looking it up takes longer than a small layer does.
    """
    try:
        return _NAMESPACES[type(array)]
    except KeyError:
        found = _NAMESPACES[type(array)] = array_api_compat.array_namespace(array)
        return found


def sizes_of(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return the number of inputs, then of neurons in each layer."""
    return (layers[0].weight.shape[-1], *[layer.weight.shape[-2] for layer in layers])


def split_layers(layers: Sequence[Layer]) -> tuple[list[Array], list[Array] | None]:
    """Return the weights of layers, and their biases or None."""
    biases = None if layers[0].bias is None else [layer.bias for layer in layers]
    return [layer.weight for layer in layers], biases


def map_parameters(
    function: Callable[..., Array], *layers: Sequence[Layer], numbers: Sequence[Array | float] = ()
) -> list[Layer]:
    """Apply a function of one array from each sequence to every weight and every bias; all sequences have the same shapes.

    The function takes the numbers first. In a population, a number may be an array of shape (members,).
    """

    def apply(parts: Sequence[Array]) -> Array:
        return function(*(aligned(number, parts[0]) for number in numbers), *parts)

    return [
        Layer(*(None if parts[0] is None else apply(parts) for parts in zip(*level, strict=True)))
        for level in zip(*layers, strict=True)
    ]


def aligned(number: Any, parameter: Array) -> Any:
    """Return a number, or an array of one for each member, so that its leading axes are those of a parameter."""
    axes = getattr(number, "ndim", 0)
    return number[(..., *[None] * (parameter.ndim - axes))] if axes else number


def as_number(given: float | tuple[float, ...], like: Array) -> Array | float:
    """Return a number as it is, and a tuple of one for each member as an array like another one."""
    if not isinstance(given, tuple):
        return given
    return namespace(like).asarray(given, dtype=like.dtype, device=array_api_compat.device(like))


def sign(array: Array) -> Array:
    """Return 1 where numbers are positive, -1 where they are negative, 0 elsewhere."""
    # array_api_compat's sign looks for NaN with a boolean mask, which makes CuPy wait for the device.
    xp = namespace(array)
    return xp.astype(array > 0.0, array.dtype) - xp.astype(array < 0.0, array.dtype)
