"""Activations: each has its value, out = f(net), and its delta, dE/dnet from dE/dout, side by side.

``net``, ``out``, ``slope`` and ``delta`` have one shape, (..., samples, fan_out). A user's own activation is any object with
the two methods, or a pair of functions ``(value, delta)``; it is used wherever these are. ``bounds`` are the smallest and
largest out that an activation can give, where it has such.
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
    """Return 1 / (1 + exp(-net)).

    Parameters
    ----------
    net : array
        Floating-point numbers, of any shape.
    """
    # For a very negative net the power is infinite, and its reciprocal the zero that is wanted.
    return 1.0 / (1.0 + namespace(net).exp(-net))


def smallest_rate(array: Array) -> float:
    """Return the smallest positive number that counts of any size can be divided by without overflow.

    Parameters
    ----------
    array : array
        Whose dtype is meant.
    """
    return float(namespace(array).finfo(array.dtype).smallest_normal) * 2.0**24


def softmax(net: Array) -> Array:
    """Return exp(net) divided by its sum over the last axis, for any net without overflow.

    Parameters
    ----------
    net : array, shape (..., classes)
        Floating-point numbers.
    """
    xp = namespace(net)
    powers = xp.exp(net - xp.max(net, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def softplus(net: Array) -> Array:
    """Return log(1 + exp(net)), for any net without overflow.

    Parameters
    ----------
    net : array
        Floating-point numbers, of any shape.
    """
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
    """out = 1 / (1 + exp(-net)): the article's."""

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
    """out = net where it is positive, zero elsewhere; the slope at zero is taken as zero."""

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def value(self, net: Array) -> Array:
        """Return the larger of net and zero."""
        return namespace(net).maximum(net, 0.0)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the slope where net is positive, zero elsewhere."""
        return slope * namespace(slope).astype(signal.net > 0.0, slope.dtype)


@dataclass(frozen=True)
class LeakyReLU:
    """out = net where it is positive, ``negative_slope * net`` elsewhere.

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
    """out = net where it is positive, ``alpha * (exp(net) - 1)`` elsewhere (arXiv:1511.07289).

    Parameters
    ----------
    alpha : float
        Minus alpha is where out tends to for a very negative net.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        validate_fields(self, alpha=ANY)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and largest out."""
        return min(-self.alpha, 0.0), math.inf

    def value(self, net: Array) -> Array:
        """Return net, bent towards minus alpha where it is not positive."""
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
        """Return slope * (Phi(net) + net * the density at net)."""
        net, out = signal
        xp = namespace(net)
        # Phi(net) is out / net, which is quicker; it is a half where both are nothing.
        nothing = xp.abs(net) < 1e-30
        probability = xp.where(nothing, 0.5, out / xp.where(nothing, 1.0, net))
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
        """Return the slope times the product rule of value."""
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
    """out = exp(net) over its sum across the layer's neurons.

    The cross_entropy loss over such an output layer is computed from the raw net, so it is as steady as over the identity.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def value(self, net: Array) -> Array:
        """Return the softmax of net over the last axis."""
        return softmax(net)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return out * (slope - the sum of slope * out over the layer)."""
        shared = namespace(slope).sum(slope * signal.out, axis=-1, keepdims=True)
        return signal.out * (slope - shared)


@dataclass(frozen=True)
class Exp:
    """out = exp(net): a positive output, as the poisson loss needs, and so never quite zero."""

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def value(self, net: Array) -> Array:
        """Return the exponential of net."""
        return namespace(net).exp(namespace(net).maximum(net, math.log(smallest_rate(net))))

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return slope * out."""
        return slope * signal.out


def bounds_of(activation: Any) -> tuple[float, float]:
    """Return the smallest and largest out that an activation can give; infinite where it does not say.

    Parameters
    ----------
    activation : activation
        With ``bounds``, or without.
    """
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
