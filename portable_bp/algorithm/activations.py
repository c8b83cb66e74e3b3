"""Activations: each has a value, out = f(net), and a delta, which turns dE/dout into dE/dnet.

``net``, ``out``, ``slope`` and ``delta`` have the same shape, (..., samples, fan_out). Any object with the two methods can be
used in place of these, and so can a pair of functions ``(value, delta)``. The optional attribute ``bounds`` holds the smallest
and the largest out that an activation can give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from portable_bp.algorithm.arrays import Array, Signal, namespace
from portable_bp.algorithm.fields import ANY, validate_fields
from portable_bp.algorithm.normal import normal_density, normal_distribution


class Activation(NamedTuple):
    """An activation made of two functions.

    Attributes
    ----------
    value : callable
        ``value(net)`` returns out.
    delta : callable
        ``delta(slope, signal)`` returns dE/dnet, where slope is dE/dout and signal holds the layer's net and out.
    """

    value: Callable[[Array], Array]
    delta: Callable[[Array, Signal], Array]


def sigmoid(net: Array) -> Array:
    """Return 1 / (1 + exp(-net)), elementwise."""
    # For a very negative net, exp(-net) is infinite and the result zero, as it should be.
    return 1.0 / (1.0 + namespace(net).exp(-net))


def smallest_rate(array: Array) -> float:
    """Return the smallest positive number of an array's dtype that counts can be divided by without overflow."""
    return float(namespace(array).finfo(array.dtype).smallest_normal) * 2.0**24


def softmax(net: Array) -> Array:
    """Return exp(net) divided by its sum over the last axis, without overflow for any net."""
    xp = namespace(net)
    powers = xp.exp(net - xp.max(net, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def softplus(net: Array) -> Array:
    """Return log(1 + exp(net)), elementwise, without overflow for any net."""
    xp = namespace(net)
    return xp.maximum(net, 0.0) + xp.log1p(xp.exp(-xp.abs(net)))


@dataclass(frozen=True)
class Identity:
    """out = net."""

    def value(self, net: Array) -> Array:
        """Return net itself."""
        return net

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the slope itself."""
        return slope


@dataclass(frozen=True)
class Sigmoid:
    """out = 1 / (1 + exp(-net)): the article's activation."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def value(self, net: Array) -> Array:
        """Return the sigmoid of net."""
        return sigmoid(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * out * (1 - out)."""
        return slope * signal.out * (1.0 - signal.out)


@dataclass(frozen=True)
class Tanh:
    """out = tanh(net)."""

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def value(self, net: Array) -> Array:
        """Return the hyperbolic tangent of net."""
        return namespace(net).tanh(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * (1 - out^2)."""
        return slope * (1.0 - signal.out * signal.out)


@dataclass(frozen=True)
class ReLU:
    """out = net where net is positive, zero elsewhere; the derivative at zero is taken as zero."""

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def value(self, net: Array) -> Array:
        """Return the larger of net and zero."""
        return namespace(net).maximum(net, 0.0)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the slope where net, and so out, is positive, zero elsewhere."""
        return slope * namespace(slope).astype(signal.out > 0.0, slope.dtype)


@dataclass(frozen=True)
class LeakyReLU:
    """out = net where net is positive, ``negative_slope * net`` elsewhere.

    Parameters
    ----------
    negative_slope : float
        The slope below zero.
    """

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        validate_fields(self, negative_slope=ANY)

    def value(self, net: Array) -> Array:
        """Return net, scaled down where it is not positive."""
        return namespace(net).where(net > 0.0, net, self.negative_slope * net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the slope, scaled down where net is not positive."""
        return namespace(slope).where(signal.net > 0.0, slope, self.negative_slope * slope)


@dataclass(frozen=True)
class ELU:
    """out = net where net is positive, ``alpha * (exp(net) - 1)`` elsewhere (arXiv:1511.07289).

    Parameters
    ----------
    alpha : float
        For a very negative net, out tends to minus alpha.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        validate_fields(self, alpha=ANY)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and largest out."""
        return min(-self.alpha, 0.0), math.inf

    def value(self, net: Array) -> Array:
        """Return net where it is positive, alpha * (exp(net) - 1) elsewhere."""
        xp = namespace(net)
        return xp.where(net > 0.0, net, self.alpha * xp.expm1(xp.minimum(net, 0.0)))

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the slope, times alpha * exp(net) where net is not positive."""
        xp = namespace(slope)
        return slope * xp.where(signal.net > 0.0, 1.0, self.alpha * xp.exp(xp.minimum(signal.net, 0.0)))


@dataclass(frozen=True)
class GELU:
    """out = net * Phi(net), Phi being the standard normal distribution function (arXiv:1606.08415)."""

    bounds: ClassVar[tuple[float, float]] = (-0.169971207479904, math.inf)  # the smallest value is at net = -0.7517...

    def value(self, net: Array) -> Array:
        """Return net * Phi(net)."""
        return net * normal_distribution(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * (Phi(net) + net * density(net))."""
        net, out = signal
        xp = namespace(net)
        # Phi(net) is out / net, which is faster than computing it again; at zero it is one half.
        is_zero = xp.abs(net) < 1e-30
        probability = xp.where(is_zero, 0.5, out / xp.where(is_zero, 1.0, net))
        return slope * (probability + net * normal_density(net))


@dataclass(frozen=True)
class GELUTanh:
    """out = net * (1 + tanh(sqrt(2 / pi) (net + 0.044715 net^3))) / 2, which approximates `GELU` (arXiv:1606.08415, section 2).

    PyTorch calls this form ``approximate="tanh"``.
    """

    bounds: ClassVar[tuple[float, float]] = (-0.170040750571254, math.inf)  # the smallest value is at net = -0.7524...

    def _gate(self, net: Array) -> Array:
        return namespace(net).tanh(math.sqrt(2.0 / math.pi) * (net + 0.044715 * net * net * net))

    def value(self, net: Array) -> Array:
        """Return net * (1 + gate) / 2."""
        return 0.5 * net * (1.0 + self._gate(net))

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the slope times the derivative of value."""
        net = signal.net
        gate = self._gate(net)
        gate_slope = math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * net * net) * (1.0 - gate * gate)
        return slope * 0.5 * (1.0 + gate + net * gate_slope)


@dataclass(frozen=True)
class SiLU:
    """out = net * sigmoid(net), also called swish (doi:10.1016/j.neunet.2017.12.012)."""

    bounds: ClassVar[tuple[float, float]] = (-0.278464542761074, math.inf)  # the smallest value is at net = -1.2784...

    def value(self, net: Array) -> Array:
        """Return net * sigmoid(net)."""
        return net * sigmoid(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * s * (1 + net * (1 - s)), where s = sigmoid(net)."""
        gate = sigmoid(signal.net)
        return slope * gate * (1.0 + signal.net * (1.0 - gate))


@dataclass(frozen=True)
class Softplus:
    """out = log(1 + exp(net))."""

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def value(self, net: Array) -> Array:
        """Return the softplus of net."""
        return softplus(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * sigmoid(net)."""
        return slope * sigmoid(signal.net)


@dataclass(frozen=True)
class Softmax:
    """out = exp(net), divided by its sum over the layer's neurons.

    Over an output layer with this activation, the cross_entropy loss is computed from the net, without loss of precision.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def value(self, net: Array) -> Array:
        """Return the softmax of net over the last axis."""
        return softmax(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return out * (slope - the sum over the layer of slope * out)."""
        shared = namespace(slope).sum(slope * signal.out, axis=-1, keepdims=True)
        return signal.out * (slope - shared)


@dataclass(frozen=True)
class Exp:
    """out = exp(net), a positive number for the poisson loss: it never underflows to zero."""

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def value(self, net: Array) -> Array:
        """Return the exponential of net."""
        return namespace(net).exp(namespace(net).maximum(net, math.log(smallest_rate(net))))

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * out."""
        return slope * signal.out


def bounds_of(activation: Any) -> tuple[float, float]:
    """Return an activation's smallest and largest out; infinite if it has no ``bounds``."""
    return getattr(activation, "bounds", (-math.inf, math.inf))


ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "identity": Identity,
    "sigmoid": Sigmoid,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "gelu_tanh": GELUTanh,
    "silu": SiLU,
    "softplus": Softplus,
    "softmax": Softmax,
    "exp": Exp,
}
