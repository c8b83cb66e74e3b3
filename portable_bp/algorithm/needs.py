"""Upper bounds of the memory that a pass needs, in numbers rather than bytes, so that a recommended batch size fits.

Going up, every layer keeps its net and out; going down, its delta too. Activations and losses make a few temporary arrays, of
one layer at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from portable_bp.algorithm.arrays import Layer, sizes_of

KEPT_PER_NEURON = 3  # net, out and delta
TEMPORARY_PER_NEURON = 6  # of the widest layer, such as the GELU's polynomials, density and products


class Need(NamedTuple):
    """The memory that a computation needs, in numbers.

    Attributes
    ----------
    fixed : int
        Independent of the number of samples.
    per_sample : int
        For each sample.
    """

    fixed: int
    per_sample: int

    def fitting(self, numbers: int) -> int:
        """Return how many samples fit into the given memory, rounded down to a power of two; zero if not even one does."""
        fitting = (numbers - self.fixed) // self.per_sample
        return 2 ** (fitting.bit_length() - 1) if fitting > 0 else 0


def need_of_output(layers: Sequence[Layer]) -> Need:
    """Return what ``portable_bp.algorithm.propagation.output`` needs, including its inputs."""
    features, *widths = sizes_of(layers)
    return Need(0, _networks(layers) * (features + 2 * widths[-1] + (2 + TEMPORARY_PER_NEURON) * max(widths)))


def need_of_gradient(layers: Sequence[Layer]) -> Need:
    """Return what ``portable_bp.algorithm.propagation.propagate`` needs, including its inputs and targets."""
    features, *widths = sizes_of(layers)
    per_sample = features + 1 + widths[-1] + KEPT_PER_NEURON * sum(widths) + TEMPORARY_PER_NEURON * max(widths)
    return Need(count(layers), _networks(layers) * per_sample)


def need_of_step(layers: Sequence[Layer], state: int, carried: int = 0) -> Need:
    """Return what a training step needs: the gradient, and the parameters and the optimizer's state before and after it.

    ``state`` is the size of the optimizer's state; ``carried`` counts the other numbers of each sample, such as dropout masks.
    """
    gradient = need_of_gradient(layers)
    parameters, largest = count(layers), max(count([layer]) for layer in layers)
    # A penalty or clipping makes a second gradient.
    return Need(gradient.fixed + 3 * parameters + 2 * state + 3 * largest, gradient.per_sample + 2 * carried)


def _networks(layers: Sequence[Layer]) -> int:
    """Return the number of networks: 1, or the members of a population."""
    return math.prod(layers[0].weight.shape[:-2])


def count(layers: Sequence[Layer]) -> int:
    """Return the number of parameters."""
    return sum(math.prod(parameter.shape) for layer in layers for parameter in layer if parameter is not None)
