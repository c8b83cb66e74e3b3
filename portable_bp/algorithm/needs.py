"""How many numbers a pass holds at once, beside what it is given: from above, so that what is said to fit does.

An array that is made stays until nothing needs it: going up, of every layer its net and out; going down, of every layer its
delta too. An activation or a loss makes a few more arrays on the way, of one layer at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from portable_bp.algorithm.arrays import Layer, sizes_of

KEPT = 3  # net, out and delta
ON_THE_WAY = 6  # of the widest layer, such as the GELU's polynomials, density and products


class Need(NamedTuple):
    """How many numbers something takes.

    Attributes
    ----------
    fixed : int
        However many samples there are.
    per_sample : int
        For each of them.
    """

    fixed: int
    per_sample: int

    def fitting(self, numbers: int) -> int:
        """Return how many samples fit, rounded down to a power of two; zero where not even one does.

        Parameters
        ----------
        numbers : int
            For how many there is room.
        """
        fitting = (numbers - self.fixed) // self.per_sample
        return 2 ** (fitting.bit_length() - 1) if fitting > 0 else 0


def need_of_output(layers: Sequence[Layer]) -> Need:
    """Return what `portable_bp.algorithm.propagation.output` takes, with its inputs.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.
    """
    features, *widths = sizes_of(layers)
    return Need(0, features + 2 * widths[-1] + (2 + ON_THE_WAY) * max(widths))


def need_of_gradient(layers: Sequence[Layer]) -> Need:
    """Return what `portable_bp.algorithm.propagation.propagate` takes, with its inputs and targets.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.
    """
    features, *widths = sizes_of(layers)
    return Need(count(layers), features + 1 + widths[-1] + KEPT * sum(widths) + ON_THE_WAY * max(widths))


def need_of_step(layers: Sequence[Layer], state: int, carried: int = 0) -> Need:
    """Return what a step of training takes, one after another: parameters and state before it and after it, and the gradient.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.
    state : int
        How many numbers the optimizer remembers.
    carried : int
        How many numbers a sample brings with it, such as dropout masks.
    """
    passed = need_of_gradient(layers)
    parameters, largest = count(layers), max(count([layer]) for layer in layers)
    # A penalty, or clipping, makes another gradient of the gradient.
    return Need(passed.fixed + 3 * parameters + 2 * state + 3 * largest, passed.per_sample + 2 * carried)


def count(layers: Sequence[Layer]) -> int:
    """Return the number of parameters.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.
    """
    return sum((layer.weight.shape[-1] + (layer.bias is not None)) * layer.weight.shape[-2] for layer in layers)
