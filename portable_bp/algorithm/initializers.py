"""Initializers: functions that draw the weights of a new network.

An initializer takes a NumPy generator and the shape of a weight, (..., fan_out, fan_in), and returns float64 numbers on the
host, so that a seed gives the same weights on every backend. Any such function can be used in place of these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class VarianceScaling:
    """Weights with a mean of zero and a variance of ``gain / fan``.

    Parameters
    ----------
    gain : float
        1 keeps the variance of the signal through a linear layer, 2 through a relu layer.
    fan : {"in", "average"}
        Use the fan-in, or the mean of fan-in and fan-out.
    distribution : {"uniform", "normal"}
        The distribution to draw from.
    """

    gain: float
    fan: Literal["in", "average"]
    distribution: Literal["uniform", "normal"]

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw a weight of the given shape, (..., fan_out, fan_in)."""
        fan_out, fan_in = shape[-2:]
        deviation = math.sqrt(self.gain / (fan_in if self.fan == "in" else (fan_in + fan_out) / 2))
        if self.distribution == "normal":
            return generator.normal(0.0, deviation, shape)
        # A uniform distribution on (-a, a) has a standard deviation of a / sqrt(3).
        return generator.uniform(-math.sqrt(3.0) * deviation, math.sqrt(3.0) * deviation, shape)


@dataclass(frozen=True)
class Uniform:
    """Weights with a uniform distribution between two bounds.

    Parameters
    ----------
    low, high : float
        The bounds.
    """

    low: float = -0.5
    high: float = 0.5

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw a weight of the given shape, (..., fan_out, fan_in)."""
        return generator.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Zeros:
    """Weights of zero, for networks without a hidden layer: hidden neurons would all stay equal."""

    def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return zeros of the given shape."""
        return np.zeros(shape)


INITIALIZERS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    # Glorot and Bengio, AISTATS 2010.
    "glorot_uniform": VarianceScaling(1.0, "average", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "average", "normal"),
    # He et al., doi:10.1109/ICCV.2015.123.
    "he_uniform": VarianceScaling(2.0, "in", "uniform"),
    "he_normal": VarianceScaling(2.0, "in", "normal"),
    # LeCun et al., doi:10.1007/978-3-642-35289-8_3.
    "lecun_uniform": VarianceScaling(1.0, "in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "in", "normal"),
    "uniform": Uniform(),
    "zeros": Zeros(),
}


def draw_weights(
    initializer: Callable[..., np.ndarray], generator: np.random.Generator, sizes: Sequence[int]
) -> list[np.ndarray]:
    """Draw the weights of a network of given sizes, from the layer above the inputs up."""
    shapes = [(fan_out, fan_in) for fan_in, fan_out in itertools.pairwise(sizes)]
    weights = [initializer(generator, shape) for shape in shapes]
    drawn = [np.shape(weight) for weight in weights]
    if drawn != shapes:
        raise ValueError(
            f"the initializer returned weights of shapes {drawn}, and was asked for {shapes}: return the requested shape."
        )
    return weights
