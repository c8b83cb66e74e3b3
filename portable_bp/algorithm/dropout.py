"""Dropout (Srivastava et al. 2014): an activation whose out is multiplied by a mask, and so is the slope that comes back.

Masks are (samples, fan_out) and are drawn on the host, since the array API standard has no random numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Signal


class Dropout(NamedTuple):
    """An activation with some of its outs switched off.

    Attributes
    ----------
    activation : activation
        The one whose outs are masked.
    mask : array, shape (..., samples, fan_out)
        Zero where an out is dropped, 1 / (1 - rate) where it is kept, so that its mean stays.
    """

    activation: Any
    mask: Array

    def value(self, net: Array) -> Array:
        """Return the masked value."""
        return self.activation.value(net) * self.mask

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the delta of the masked slope."""
        # The activation's own delta needs the out that it gave, before the mask.
        unmasked = Signal(signal.net, self.activation.value(signal.net))
        return self.activation.delta(slope * self.mask, unmasked)


def draw_mask(generator: np.random.Generator, rate: float, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a dropout mask.

    Parameters
    ----------
    generator : numpy.random.Generator
        Where the random numbers come from.
    rate : float
        The share of outs to drop, at least 0 and below 1.
    shape : tuple of int
        Usually (samples, fan_out).
    """
    return (generator.random(shape) >= rate) / (1.0 - rate)
