"""Check that the numbers in arrays are finite, and within the bounds of a loss or an output layer."""

from __future__ import annotations

import math
import warnings
from typing import Any

from portable_bp.algorithm.activations import bounds_of
from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled

UNBOUNDED = (-math.inf, math.inf)
PROBABILITY_ERROR = 0.01  # of a row of probabilities that are rounded to two or three digits
ALLOW = ", or let them through with check_finite=False"


def refuse_nonfinite(backend: Backend, array: Array, name: str, remedy: str = "") -> None:
    """Raise a ValueError if an array holds NaN or infinity; its message ends with the remedy."""
    # A sum is faster than a test of every number. A finite one proves that all are; one of large numbers may overflow.
    if math.isfinite(backend.to_numpy(compiled(backend, _sum)(array))):
        return
    if not backend.to_numpy(compiled(backend, _all_finite)(array)):
        raise ValueError(f"{name} holds NaN or infinity: drop or replace such values{remedy}.")


def extremes_of(backend: Backend, array: Array) -> tuple[float, float]:
    """Return the smallest and the largest number of an array."""
    smallest, largest = backend.to_numpy(compiled(backend, _extremes)(array)).tolist()
    return smallest, largest


def check_bounds(backend: Backend, target: Array, bounds: tuple[float, float], expected: str) -> None:
    """Raise a ValueError if a target is not within bounds; the message says what is expected."""
    if bounds == UNBOUNDED:
        return
    smallest, largest = extremes_of(backend, target)
    if smallest < bounds[0] or largest > bounds[1]:
        raise ValueError(f"target holds numbers from {smallest:g} to {largest:g}, and this loss takes {expected}.")


def warn_of_bounds(backend: Backend, target: Array, output_activation: Any, loss: Any) -> None:
    """Warn if the output layer cannot give some of the targets."""
    bounds = bounds_of(output_activation)
    if bounds == UNBOUNDED:
        return
    smallest, largest = extremes_of(backend, target)
    if smallest < bounds[0] or largest > bounds[1]:
        wider = "'exp' or 'softplus'" if getattr(loss, "takes_positive", False) else "'identity'"
        warnings.warn(
            f"the targets are numbers from {smallest:g} to {largest:g}, and the output layer's "
            f"{type(output_activation).__name__} gives only numbers from {bounds[0]:g} to {bounds[1]:g}: make the network with "
            f"output_activation={wider}, or scale the targets.",
            stacklevel=4,  # the line that called fit
        )


def warn_of_totals(backend: Backend, target: Array, loss: Any) -> None:
    """Warn if the rows of probabilities do not add up to one, as far as a dtype and a rounded file can tell."""
    smallest, largest = extremes_of(backend, compiled(backend, _totals)(target))
    if not 1 - PROBABILITY_ERROR <= smallest <= largest <= 1 + PROBABILITY_ERROR:
        warnings.warn(
            f"the rows of target add up to numbers from {smallest:g} to {largest:g}, and {type(loss).__name__} takes "
            "probabilities, which add up to 1: scale the rows, or use loss='binary_cross_entropy' if an output may be 1 beside "
            "another.",
            stacklevel=7,  # the line that called fit, or another method
        )


def _totals(array: Array) -> Array:
    return namespace(array).sum(array, axis=-1)


def _sum(array: Array) -> Array:
    return namespace(array).sum(array)


def _all_finite(array: Array) -> Array:
    xp = namespace(array)
    return xp.all(xp.isfinite(array))


def _extremes(array: Array) -> Array:
    xp = namespace(array)
    return xp.stack([xp.min(array), xp.max(array)])
