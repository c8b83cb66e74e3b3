"""What every part of the algorithm speaks of: a layer's parameters, a layer's signal, and the namespace of an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import array_api_compat

# The standard defines no type that the libraries' arrays share, so nothing narrower than Any would be true.
Array: TypeAlias = Any


class Layer(NamedTuple):
    """The parameters of one layer, or anything of their shape: a gradient, an average, an update.

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
    """What one layer carries for a batch.

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

    It is looked up once for each type of array: asking the array each time would cost more than a small layer does.

    Parameters
    ----------
    array : array
        An array of any library that follows the array API standard.
    """
    try:
        return _NAMESPACES[type(array)]
    except KeyError:
        found = _NAMESPACES[type(array)] = array_api_compat.array_namespace(array)
        return found


def sizes_of(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return the number of inputs, then of neurons in each layer."""
    return (layers[0].weight.shape[-1], *(layer.weight.shape[-2] for layer in layers))


def split_layers(layers: Sequence[Layer]) -> tuple[list[Array], list[Array] | None]:
    """Return the weights of layers, and their biases or None."""
    biases = None if layers[0].bias is None else [layer.bias for layer in layers]
    return [layer.weight for layer in layers], biases


def map_parameters(function: Callable[..., Array], *layers: Sequence[Layer]) -> list[Layer]:
    """Apply a function to every weight and every bias.

    Parameters
    ----------
    function : callable
        Takes one array of each sequence and returns one array.
    *layers : sequences of Layer
        All of the same shapes: parameters, gradients, averages.
    """
    return [
        Layer(*(None if parts[0] is None else function(*parts) for parts in zip(*level, strict=True)))
        for level in zip(*layers, strict=True)
    ]


def sign(array: Array) -> Array:
    """Return 1 where numbers are positive, -1 where they are negative, 0 elsewhere.

    Parameters
    ----------
    array : array
        Floating-point numbers, of any shape.
    """
    # The sign of array_api_compat looks for NaN with a mask, for which CuPy makes the host wait.
    xp = namespace(array)
    return xp.astype(array > 0.0, array.dtype) - xp.astype(array < 0.0, array.dtype)
