"""The gradient check: compare backpropagation's gradient with finite differences of the error.

The central difference (E(p + h) - E(p - h)) / 2h has a truncation error of h^2 E'''/6 and a rounding error proportional to
1/h, so h is the cube root of the dtype's epsilon. Each parameter of a small layer is moved alone; those of a large layer are
moved along random directions. The moved networks are evaluated together, as a population.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Layer, map_parameters
from portable_bp.inspection.letters import layer_letter, weight_name

SMALL = 1_000  # in an array of up to this many parameters, each is moved alone
DIRECTIONS = 8  # random directions in which the parameters of a larger array are moved
POPULATION = 128  # moved networks that are evaluated in one call


class WorstSlope(NamedTuple):
    """The slope in which the two gradients differ most.

    Attributes
    ----------
    name : str
        The parameter, named as in the article, or a random direction of a layer's parameters.
    backpropagation, finite_difference : float
        The slope of the error, computed in both ways.
    """

    name: str
    backpropagation: float
    finite_difference: float


class GradientCheck(NamedTuple):
    """The difference between backpropagation's gradient and finite differences.

    Attributes
    ----------
    max_relative_error : float
        The largest difference, relative to the largest slope of the network.
    worst : WorstSlope
        The slope with that difference.
    """

    max_relative_error: float
    worst: WorstSlope


def compare_gradient(
    error: Callable[[Sequence[Layer]], np.ndarray],
    asarray: Callable[[np.ndarray], Any],
    layers: Sequence[Layer],
    gradient: Sequence[Layer],
    generator: np.random.Generator,
) -> GradientCheck:
    """Compare a gradient of layers, both NumPy arrays, with finite differences.

    ``error`` takes layers, one parameter of which has a leading axis, and returns the error for each of its entries as a NumPy
    array; ``asarray`` moves a NumPy array to the network's device; ``generator`` draws the random directions.
    """
    names: list[str] = []
    slopes: list[np.ndarray] = []
    on_device = map_parameters(asarray, layers)
    for number, (layer, slope) in enumerate(zip(layers, gradient, strict=True)):
        for field in Layer._fields:
            parameter = getattr(layer, field)
            if parameter is None:
                continue
            moves = _moves(parameter, generator)
            step = np.cbrt(np.finfo(parameter.dtype).eps) * max(1.0, float(np.abs(parameter).max()))
            errors = []
            for start in range(0, len(moves), POPULATION):
                for move in (step * moves[start : start + POPULATION], -step * moves[start : start + POPULATION]):
                    moved = on_device[number]._replace(**{field: asarray(parameter + move)})
                    errors.append(error([*on_device[:number], moved, *on_device[number + 1 :]]))
            difference = (np.concatenate(errors[::2]) - np.concatenate(errors[1::2])) / (2.0 * step)
            backpropagation = np.sum(moves * getattr(slope, field), axis=tuple(range(1, moves.ndim)))
            names += _names(number, field, parameter, len(moves))
            slopes.append(np.stack([backpropagation, difference], axis=1))
    return _worst(names, np.concatenate(slopes))


def _moves(parameter: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return directions to move in, of shape (directions, *parameter.shape)."""
    if parameter.size <= SMALL:
        return np.eye(parameter.size, dtype=parameter.dtype).reshape(-1, *parameter.shape)
    directions = generator.normal(size=(DIRECTIONS, *parameter.shape))
    return directions / np.sqrt(np.sum(directions**2, axis=tuple(range(1, directions.ndim)), keepdims=True))


def _names(number: int, field: str, parameter: np.ndarray, moves: int) -> list[str]:
    letter = layer_letter(number + 1)
    if moves != parameter.size or parameter.size > SMALL:
        return [f"the {field} of layer {letter}, in random direction {direction + 1}" for direction in range(moves)]
    if field == "bias":
        return [f"bias_{letter}{row + 1}" for row in range(moves)]
    fan_in = parameter.shape[-1]
    return [weight_name(letter, *divmod(place, fan_in), fan_in) for place in range(moves)]


def _worst(names: list[str], slopes: np.ndarray) -> GradientCheck:
    distance = np.abs(slopes[:, 0] - slopes[:, 1])
    worst = int(np.argmax(distance))  # NaN counts as the largest
    scale = float(np.abs(slopes).max()) or 1.0
    return GradientCheck(float(distance[worst]) / scale, WorstSlope(names[worst], *slopes[worst].tolist()))
