"""Losses: each has a value, the error of every sample, and a slope, dE/dout.

``out`` and the slope have shape (..., samples, outputs); the value has shape (..., samples) and is a sum over outputs, as the
article's E_total is. The error of a batch is the mean over samples: ``mean_error`` and ``mean_slope`` compute it for every
loss. Any object with the two methods can be used in place of these, and so can a pair of functions ``(value, slope)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import array_api_compat

from portable_bp.algorithm.activations import Sigmoid, Softmax, sigmoid, smallest_rate, softmax, softplus
from portable_bp.algorithm.arrays import Array, namespace, sign
from portable_bp.algorithm.fields import INSIDE, POSITIVE, validate_fields


class Loss(NamedTuple):
    """A loss made of two functions.

    Attributes
    ----------
    value : callable
        ``value(out, target)`` returns the error of every sample, of shape (..., samples).
    slope : callable
        ``slope(out, target)`` returns dE/dout, of out's shape.
    """

    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]


def _sum_over_outputs(array: Array) -> Array:
    return namespace(array).sum(array, axis=-1)


@dataclass(frozen=True)
class SquaredError:
    """E = 1/2 (target - out)^2, summed over outputs: the article's loss."""

    def value(self, out: Array, target: Array) -> Array:
        """Return half the squared distance of every sample."""
        miss = out - target
        return _sum_over_outputs(0.5 * miss * miss)

    def slope(self, out: Array, target: Array) -> Array:
        """Return out - target."""
        return out - target


@dataclass(frozen=True)
class AbsoluteError:
    """E = abs(target - out), summed over outputs; the best constant prediction is the median."""

    def value(self, out: Array, target: Array) -> Array:
        """Return the distance of every sample."""
        return _sum_over_outputs(namespace(out).abs(out - target))

    def slope(self, out: Array, target: Array) -> Array:
        """Return the sign of out - target."""
        return sign(out - target)


@dataclass(frozen=True)
class Huber:
    """The squared error up to a threshold, linear beyond it (doi:10.1214/aoms/1177703732).

    Parameters
    ----------
    threshold : float
        The distance beyond which the error grows linearly, in the target's units.
    """

    threshold: float = 1.0

    def __post_init__(self) -> None:
        validate_fields(self, threshold=POSITIVE)

    def value(self, out: Array, target: Array) -> Array:
        """Return the Huber error of every sample."""
        xp = namespace(out)
        distance = xp.abs(out - target)
        near = xp.minimum(distance, self.threshold)
        return _sum_over_outputs(near * (distance - 0.5 * near))

    def slope(self, out: Array, target: Array) -> Array:
        """Return out - target, clipped to the threshold."""
        xp = namespace(out)
        return xp.minimum(xp.maximum(out - target, -self.threshold), self.threshold)


@dataclass(frozen=True)
class Quantile:
    """The pinball loss, whose best constant prediction is a quantile of the target (doi:10.2307/1913643).

    Parameters
    ----------
    quantile : float
        The fraction of the targets that should lie below out, between 0 and 1.
    """

    quantile: float = 0.5

    def __post_init__(self) -> None:
        validate_fields(self, quantile=INSIDE)

    def value(self, out: Array, target: Array) -> Array:
        """Return the pinball loss of every sample."""
        miss = target - out
        return _sum_over_outputs(namespace(out).maximum(self.quantile * miss, (self.quantile - 1.0) * miss))

    def slope(self, out: Array, target: Array) -> Array:
        """Return minus the quantile where out is below the target, one minus the quantile where it is above."""
        xp = namespace(out)
        side = sign(out - target)
        return 0.5 * side + (0.5 - self.quantile) * xp.abs(side)


@dataclass(frozen=True)
class Poisson:
    """E = target log(target / out) - target + out, half the Poisson deviance of counts.

    Its outputs must be positive: use output_activation="exp" or "softplus".
    """

    target_bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    takes_positive: ClassVar[bool] = True

    def _rate(self, out: Array) -> Array:
        # An out that underflowed to zero is replaced by a number that can be divided by, so that everything stays finite.
        return namespace(out).maximum(out, smallest_rate(out))

    def value(self, out: Array, target: Array) -> Array:
        """Return half the deviance of every sample."""
        xp = namespace(out)
        log_ratio = xp.log(xp.where(target > 0.0, target, 1.0)) - xp.log(self._rate(out))
        return _sum_over_outputs(target * log_ratio - target + out)

    def slope(self, out: Array, target: Array) -> Array:
        """Return 1 - target / out."""
        return 1.0 - target / self._rate(out)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """The cross-entropy of independent yes-or-no outputs, computed from the net.

    E = log(1 + exp(net)) - target * net. Targets lie between 0 and 1; the probability is the sigmoid of the net. A `Network`
    whose output layer is a sigmoid predicts this probability, and one whose output layer is the identity predicts the net.
    """

    target_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    output_activation: ClassVar[Sigmoid] = Sigmoid()

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of every sample, in nats."""
        # What cancels between softplus(net) and target * net is subtracted first, so that a large net loses no digits.
        xp = namespace(out)
        remainder = xp.maximum(out, 0.0) - out * target
        return _sum_over_outputs(remainder + softplus(-xp.abs(out)))

    def slope(self, out: Array, target: Array) -> Array:
        """Return sigmoid(out) - target."""
        return sigmoid(out) - target


@dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of one class among several, computed from the net.

    E = log(sum of exp(net)) - net of the target's class. Targets are integer classes of shape (..., samples), or
    probabilities of shape (..., samples, classes), one-hot or not; the class's probability is the softmax of the nets. A
    `Network` whose output layer is a softmax predicts these probabilities, and one whose output layer is the identity predicts
    the nets.
    """

    target_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    output_activation: ClassVar[Softmax] = Softmax()
    takes_classes: ClassVar[bool] = True

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of every sample, in nats."""
        xp = namespace(out)
        target = one_hot(target, out)
        below_largest = out - xp.max(out, axis=-1, keepdims=True)
        log_total = xp.log(xp.sum(xp.exp(below_largest), axis=-1, keepdims=True))
        return _sum_over_outputs(target * (log_total - below_largest))

    def slope(self, out: Array, target: Array) -> Array:
        """Return softmax(out) - target, for targets that sum to one."""
        rows = one_hot(target, out)
        if rows is not target:
            return softmax(out) - rows
        return softmax(out) * namespace(out).sum(rows, axis=-1, keepdims=True) - rows


def one_hot(target: Array, out: Array) -> Array:
    """Return integer classes, of shape (..., samples), one-hot encoded like out; other targets are returned as they are."""
    xp = namespace(out)
    if not xp.isdtype(target.dtype, "integral"):
        return target
    classes = xp.arange(out.shape[-1], dtype=target.dtype, device=array_api_compat.device(target))
    return xp.astype(target[..., None] == classes, out.dtype)


def target_axes(target: Array) -> int:
    """Return how many axes a target has without members: (samples,) if it holds integer classes, else (samples, outputs)."""
    return 1 if namespace(target).isdtype(target.dtype, "integral") else 2


def mean_error(loss: Any, out: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """Return the error of a batch, of shape (...): the mean over samples of the loss, or of sample weight times loss.

    Sample weights with a mean of one keep the error in its units.
    """
    values = loss.value(out, target)
    if values.shape != out.shape[:-1]:
        raise ValueError(
            f"the loss gave values of shape {tuple(values.shape)} for outputs of shape {tuple(out.shape)}: "
            "a loss's value has one number for each sample, the sum over outputs."
        )
    weighted = values if sample_weight is None else values * sample_weight
    return namespace(weighted).sum(weighted, axis=-1) / out.shape[-2]


def mean_slope(loss: Any, out: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """Return the derivative of ``mean_error`` with respect to out, of out's shape."""
    slope = loss.slope(out, target)
    if slope.shape != out.shape:
        raise ValueError(
            f"the loss gave a slope of shape {tuple(slope.shape)} for outputs of shape {tuple(out.shape)}: a loss's slope has "
            "one number for each output."
        )
    slope = slope / out.shape[-2]
    return slope if sample_weight is None else slope * sample_weight[..., None]


LOSSES: dict[str, Callable[[], Any]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
    "poisson": Poisson,
    "binary_cross_entropy": BinaryCrossEntropy,
    "cross_entropy": CrossEntropy,
}
