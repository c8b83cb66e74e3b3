"""Losses: each has its value, the error of every sample, and its slope, dE/dout, side by side.

``out`` is (..., samples, outputs) and so is the slope; the value is (..., samples), a sum over outputs, as the article's
E_total is. What a batch's error means, the mean over samples, is said once, in `mean_error` and `mean_slope`. A user's own
loss is any object with the two methods, or a pair of functions ``(value, slope)``.
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
    """E = 1/2 (target - out)^2, summed over outputs: the article's."""

    def value(self, out: Array, target: Array) -> Array:
        """Return half the squared distance of every sample."""
        miss = out - target
        return _sum_over_outputs(0.5 * miss * miss)

    def slope(self, out: Array, target: Array) -> Array:
        """Return out - target."""
        return out - target


@dataclass(frozen=True)
class AbsoluteError:
    """E = abs(target - out), summed over outputs; its fit is a median."""

    def value(self, out: Array, target: Array) -> Array:
        """Return the distance of every sample."""
        return _sum_over_outputs(namespace(out).abs(out - target))

    def slope(self, out: Array, target: Array) -> Array:
        """Return the sign of out - target."""
        return sign(out - target)


@dataclass(frozen=True)
class Huber:
    """Half the squared error up to a threshold, straight beyond it (doi:10.1214/aoms/1177703732).

    Parameters
    ----------
    threshold : float
        The distance from which on the error grows only linearly, in the target's units.
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
        """Return out - target, held within the threshold."""
        xp = namespace(out)
        return xp.minimum(xp.maximum(out - target, -self.threshold), self.threshold)


@dataclass(frozen=True)
class Quantile:
    """The pinball error, whose fit is a quantile of the target (doi:10.2307/1913643).

    Parameters
    ----------
    quantile : float
        The share of the targets that should lie below out, between 0 and 1.
    """

    quantile: float = 0.5

    def __post_init__(self) -> None:
        validate_fields(self, quantile=INSIDE)

    def value(self, out: Array, target: Array) -> Array:
        """Return the pinball error of every sample."""
        miss = target - out
        return _sum_over_outputs(namespace(out).maximum(self.quantile * miss, (self.quantile - 1.0) * miss))

    def slope(self, out: Array, target: Array) -> Array:
        """Return minus the quantile below the target, one minus the quantile above it."""
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
        # An out that underflowed is still a rate: a number in its place that can be divided by keeps everything finite.
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
    """The cross-entropy of independent yes-or-no outputs, computed from the raw net.

    E = log(1 + exp(net)) - target * net. Targets lie between 0 and 1; the probability is the sigmoid of the net. A `Network`
    whose output layer is a sigmoid predicts this probability, and one whose output layer is the identity predicts the net.
    """

    target_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    output_activation: ClassVar[Sigmoid] = Sigmoid()

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of every sample, in nats."""
        # The cancelling parts of softplus(net) and target * net are taken together, so that a large net loses nothing.
        xp = namespace(out)
        remainder = xp.maximum(out, 0.0) - out * target
        return _sum_over_outputs(remainder + softplus(-xp.abs(out)))

    def slope(self, out: Array, target: Array) -> Array:
        """Return sigmoid(out) - target."""
        return sigmoid(out) - target


@dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of one class among several, computed from the raw net.

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
        """Return softmax(out) - target, where a target sums to one."""
        rows = one_hot(target, out)
        if rows is not target:
            return softmax(out) - rows
        return softmax(out) * namespace(out).sum(rows, axis=-1, keepdims=True) - rows


def one_hot(target: Array, out: Array) -> Array:
    """Return integer classes as rows with a one; leave a target that has rows already as it is.

    Parameters
    ----------
    target : array, shape (..., samples) of integers, or (..., samples, classes)
        Classes from 0 to classes - 1, or rows.
    out : array, shape (..., samples, classes)
        Whose dtype, device and number of classes the rows take.
    """
    xp = namespace(out)
    if not xp.isdtype(target.dtype, "integral"):
        return target
    classes = xp.arange(out.shape[-1], dtype=target.dtype, device=array_api_compat.device(target))
    return xp.astype(target[..., None] == classes, out.dtype)


def mean_error(loss: Any, out: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """Return the error of a batch: the mean over samples of the loss, or of weight times loss.

    Parameters
    ----------
    loss : loss
        Its value gives each sample's error.
    out : array, shape (..., samples, outputs)
        What the network gives.
    target : array, shape (..., samples, outputs), or classes of shape (..., samples)
        What it should give.
    sample_weight : array, shape (..., samples), optional
        What each sample counts for: weights whose mean over all samples is one leave the error in its units.

    Returns
    -------
    array, shape (...)
        One error, or one for each leading index.

    Raises
    ------
    ValueError
        If the loss does not give one number a sample.
    """
    values = loss.value(out, target)
    if values.shape != out.shape[:-1]:
        raise ValueError(
            f"the loss gave values of shape {tuple(values.shape)} for outputs of shape {tuple(out.shape)}: "
            "a loss's value is one number a sample, summed over outputs."
        )
    weighted = values if sample_weight is None else values * sample_weight
    return namespace(weighted).sum(weighted, axis=-1) / out.shape[-2]


def mean_slope(loss: Any, out: Array, target: Array, sample_weight: Array | None = None) -> Array:
    """Return the slope of `mean_error` at out.

    Parameters
    ----------
    loss, out, target, sample_weight
        As `mean_error` takes them.

    Returns
    -------
    array, shape (..., samples, outputs)
        The derivative of the batch's error with respect to out.

    Raises
    ------
    ValueError
        If the loss does not give one number an output.
    """
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
