"""Sample weights and class weights, checked and scaled so that no sum of them leaves the range of the dtype.

A weighted mean depends only on the ratios of the weights, but scikit-learn divides the penalty by their sum. So the weights are
divided by a power of two before they are cast, which is exact, and the exponent is kept for the penalty.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled, select_backend
from portable_bp.backends.host import refuse_masked
from portable_bp.backends.selector import dtype_name
from portable_bp.checks import as_array, refuse_nonfinite
from portable_bp.checks.conversion import in_own_precision
from portable_bp.estimators.devices import follow_samples, is_host


class SampleWeights(NamedTuple):
    """The weights ``array * 2**exponent``; the array is on the backend, at most 2, and None if all samples count equally."""

    array: Array | None = None
    exponent: int = 0


def check_sample_weight(backend: Backend, sample_weight: Any, samples: int) -> SampleWeights:
    """Return the sample weights that the user gave, an array, list, number or None, scaled and on the backend."""
    if sample_weight is None:
        return SampleWeights()
    refuse_masked(sample_weight, "sample_weight")
    weight = follow_samples(backend, sample_weight, "sample_weight")
    if is_host(weight):
        # scikit-learn's check takes the number of samples from an array of them.
        weight = _check_sample_weight(weight, np.broadcast_to(0.0, (samples, 1)), dtype=np.float64)
    elif tuple(weight.shape) != (samples,):
        raise ValueError(f"sample_weight has shape {tuple(weight.shape)}: give one weight per sample, of shape ({samples},).")
    return scale_sample_weight(backend, weight, "sample_weight")


def scale_sample_weight(backend: Backend, weight: Array, name: str) -> SampleWeights:
    """Return weights of the host or the backend, divided by a power of two in their own precision and then cast."""
    own = select_backend("numpy", "float64") if is_host(weight) else in_own_precision(backend, weight)
    weight = as_array(own, weight, name)
    refuse_nonfinite(own, weight, name)
    largest = float(own.to_numpy(compiled(own, _largest)(weight)))
    exponent = math.frexp(largest)[1] - 1 if largest else 0
    weight = compiled(own, _divide)(weight, 2.0**exponent)
    require_weight(own, weight, name)
    return SampleWeights(compiled(backend, _flush_subnormal)(as_array(backend, weight, name)), exponent)


def require_weight(backend: Backend, weight: Array, name: str, remedy: str = "give some weights above 0") -> None:
    """Raise a ValueError if all weights are zero, and a ZeroDivisionError, as scikit-learn does, if they add up to zero."""
    largest, counted = backend.to_numpy(compiled(backend, _largest_and_sum)(weight)).tolist()
    if not largest:
        raise ValueError(f"{name} holds only zeros: {remedy}.")
    if not counted:
        raise ZeroDivisionError(f"{name} adds up to zero, but a weighted mean is divided by its sum: give other weights.")


def scale_alpha(backend: Backend, alpha: float, weights: SampleWeights) -> float:
    """Return the penalty's alpha, divided by the same power of two as the sample weights."""
    if weights.array is None or not alpha:
        return alpha
    try:
        scaled = math.ldexp(alpha, -weights.exponent)
    except OverflowError:
        scaled = math.inf
    counted = abs(float(backend.to_numpy(compiled(backend, total)(weights.array))))
    # Adam squares the gradient of the penalty.
    if scaled / counted > math.sqrt(float(backend.xp.finfo(backend.dtype).max)):
        raise ValueError(
            f"alpha is {alpha:g} and is divided by the sum of the sample weights, which is too small for that in "
            f"{dtype_name(backend.dtype)}: scale the weights to a mean of 1, or set alpha=0."
        )
    return scaled


def total(array: Array) -> Array:
    """Return the sum of an array."""
    return namespace(array).sum(array)


def _largest(array: Array) -> Array:
    xp = namespace(array)
    return xp.max(xp.abs(array))


def _largest_and_sum(array: Array) -> Array:
    return namespace(array).stack([_largest(array), total(array)])


def _divide(array: Array, divisor: float) -> Array:
    return array / divisor


def _flush_subnormal(array: Array) -> Array:
    """Return zero for subnormal numbers, which some devices treat as zero: the sum would differ between them."""
    xp = namespace(array)
    return xp.where(xp.abs(array) < float(xp.finfo(array.dtype).smallest_normal), 0.0, array)
