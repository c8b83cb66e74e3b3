"""Dropout: a mask multiplies an activation's out on the way up, and the slope on the way down.

Srivastava et al., Journal of Machine Learning Research 15, 2014. Masks, of shape (samples, fan_out), are drawn on the host,
since the array API standard has no random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Signal
from portable_bp.algorithm.fields import SHARE, is_in


class Dropout(NamedTuple):
    """An activation with dropout.

    Attributes
    ----------
    activation : activation
        The activation whose outs are masked.
    mask : array, shape (..., samples, fan_out)
        Zero where an out is dropped, 1 / (1 - rate) where it is kept, so that the expected out stays the same.
    """

    activation: Any
    mask: Array

    def value(self, net: Array) -> Array:
        """Return the masked value."""
        return self.activation.value(net) * self.mask

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the delta of the masked slope."""
        # The activation's delta may use its out, which must be the value before the mask.
        unmasked = Signal(signal.net, self.activation.value(signal.net))
        return self.activation.delta(slope * self.mask, unmasked)


def check_rates(dropout: float | Sequence[float], hidden_layers: int) -> tuple[float, ...]:
    """Return the dropout rate of each hidden layer; one number is the rate of all of them."""
    rates: Sequence[Any] = dropout if isinstance(dropout, Sequence) else [dropout] * hidden_layers
    if len(rates) != hidden_layers or not all(is_in(rate, SHARE) for rate in rates):
        raise ValueError(
            f"dropout is {dropout!r}, and should be {SHARE.description}, or a list of one for each hidden layer, "
            f"of which there are {hidden_layers}."
        )
    return tuple(map(float, rates))


def check_member_rates(dropout: Any, hidden_layers: int, members: int) -> tuple[float | tuple[float, ...], ...]:
    """Return, for each hidden layer, the dropout rate of all members of a population, or a tuple of one for each."""
    try:
        given = np.asarray(math.nan if isinstance(dropout, str) else dropout, float)
    except (TypeError, ValueError):
        given = np.asarray(math.nan)
    is_each_layer, is_each_member = given.shape == (hidden_layers,), given.shape == (members,)
    if is_each_layer and is_each_member and members > 1:
        raise ValueError(
            f"dropout holds {members} numbers, and the population has as many members as hidden layers: give an array of shape "
            f"({members}, 1) for one number for each member, or (1, {hidden_layers}) for one for each layer."
        )
    rates = given[:, None] if is_each_member and not is_each_layer else given
    if rates.shape not in ((), (hidden_layers,), (members, 1), (1, hidden_layers), (members, hidden_layers)):
        rates = np.asarray(math.nan)
    if not ((rates >= 0.0) & (rates < 1.0)).all():
        raise ValueError(
            f"dropout is {dropout!r}, and should be {SHARE.description}; a list with one for each hidden layer, of which there "
            f"are {hidden_layers}, or for each of {members} members; or an array of shape ({members}, {hidden_layers})."
        )
    return tuple(
        each[0] if len(set(each)) == 1 else tuple(each) for each in np.broadcast_to(rates, (members, hidden_layers)).T.tolist()
    )


def draw_mask(generator: np.random.Generator, rate: float, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a dropout mask, usually of shape (samples, fan_out), for a rate of at least 0 and below 1."""
    return (generator.random(shape) >= rate) / (1.0 - rate)
