"""Optimizers: each is a pair (init, update) of pure functions over a list of layers.

``init(layers)`` returns a state, and ``update(gradient, state, layers)`` returns the new layers and the new state; neither
changes its arguments. A user's own optimizer is any object with these two methods, or a pair of functions. `Penalized`,
`Steered` and `Clipped` wrap another optimizer.

The state of an optimizer is a named tuple. Its first field, ``count``, is the number of updates so far: an int32 array of shape
(), so that a traced or recorded step keeps counting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import array_api_compat

from portable_bp.algorithm.arrays import Array, Layer, aligned, as_number, map_parameters, namespace, sign
from portable_bp.algorithm.fields import NOT_NEGATIVE, POSITIVE, RATE, SHARE, UNIT_INTERVAL, validate_member_fields
from portable_bp.algorithm.pieces import has_methods
from portable_bp.algorithm.schedules import rate_at

Layers = Sequence[Layer]


class Optimizer(NamedTuple):
    """An optimizer made of two functions.

    Attributes
    ----------
    init : callable
        ``init(layers)`` returns the state before the first update.
    update : callable
        ``update(gradient, state, layers)`` returns the new layers and the new state.
    """

    init: Callable[[Layers], Any]
    update: Callable[[Layers, Any, Layers], tuple[Layers, Any]]


def _zero_count(layers: Layers) -> Array:
    weight = layers[0].weight
    xp = namespace(weight)
    return xp.zeros((), dtype=xp.int32, device=array_api_compat.device(weight))


def _zeros(layers: Layers) -> list[Layer]:
    return map_parameters(lambda parameter: namespace(parameter).zeros_like(parameter), layers)


def _as_parameter(count: Array, layers: Layers) -> Array:
    """Return a count in the dtype of the parameters, for arithmetic with them."""
    return namespace(count).astype(count, layers[0].weight.dtype)


def _complement(share: float | tuple[float, ...]) -> float | tuple[float, ...]:
    """Return what is missing to 1, computed in float64: float32 would lose the digits of shares close to 1."""
    return tuple(1.0 - each for each in share) if isinstance(share, tuple) else 1.0 - share


def _check_inner(outer: Any) -> None:
    if isinstance(outer.optimizer, type) or not has_methods(outer.optimizer, Optimizer):
        raise TypeError(
            f"{type(outer).__name__} was given {outer.optimizer!r}, and wraps an optimizer: give it one, such as SGD(0.1)."
        )


class SGDState(NamedTuple):
    """The state of `SGD`.

    Attributes
    ----------
    count : array, shape (), int32
        The number of updates so far.
    """

    count: Array


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent (Robbins and Monro 1951, doi:10.1214/aoms/1177729586).

    ``parameter - rate * slope``, where the slope is the derivative of the error with respect to the parameter.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.1
        The step size: a number above 0, or a function of the number of updates so far, as in `schedules`.

    Raises
    ------
    ValueError
        If the learning rate is not above 0.
    """

    learning_rate: Any = 0.1

    def __post_init__(self) -> None:
        validate_member_fields(self, learning_rate=RATE)

    def init(self, layers: Layers) -> SGDState:
        """Return a count of zero."""
        return SGDState(_zero_count(layers))

    def update(self, gradient: Layers, state: SGDState, layers: Layers) -> tuple[Layers, SGDState]:
        """Step down the gradient."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))

        def step(rate: Array | float, parameter: Array, slope: Array) -> Array:
            return parameter - rate * slope

        return map_parameters(step, layers, gradient, numbers=[rate]), SGDState(state.count + 1)


class MomentumState(NamedTuple):
    """The state of `Momentum` and `Nesterov`.

    Attributes
    ----------
    count : array, shape (), int32
        The number of updates so far.
    velocity : list of Layer
        The last change of each parameter.
    """

    count: Array
    velocity: Layers


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum (Polyak 1964, doi:10.1016/0041-5553(64)90137-5).

    ``velocity = momentum * velocity - rate * slope``, which is added to the parameter.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.1
        The step size: a number above 0, or a function of the number of updates so far, as in `schedules`.
    momentum : float, default 0.9
        The share of the velocity that is kept at each update, from 0 to 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    learning_rate: Any = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        validate_member_fields(self, learning_rate=RATE, momentum=UNIT_INTERVAL)

    def init(self, layers: Layers) -> MomentumState:
        """Return velocities of zero."""
        return MomentumState(_zero_count(layers), _zeros(layers))

    def _velocity(self, gradient: Layers, state: MomentumState, layers: Layers) -> tuple[Layers, Sequence[Array | float]]:
        """Return the new velocity, and the momentum and the rate that it was computed with."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        numbers = as_number(self.momentum, layers[0].weight), rate

        def accelerate(momentum: Array | float, rate: Array | float, speed: Array, slope: Array) -> Array:
            return momentum * speed - rate * slope

        return map_parameters(accelerate, state.velocity, gradient, numbers=numbers), numbers

    def update(self, gradient: Layers, state: MomentumState, layers: Layers) -> tuple[Layers, MomentumState]:
        """Step along the new velocity."""
        velocity, _ = self._velocity(gradient, state, layers)
        moved = map_parameters(lambda parameter, speed: parameter + speed, layers, velocity)
        return moved, MomentumState(state.count + 1, velocity)


@dataclass(frozen=True)
class Nesterov(Momentum):
    """Momentum with a look-ahead (Nesterov 1983, in the form of Bengio et al., arXiv:1212.0901).

    ``momentum * velocity - rate * slope`` is added to the parameter, where the velocity is the new one of `Momentum`.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.1
        The step size: a number above 0, or a function of the number of updates so far, as in `schedules`.
    momentum : float, default 0.9
        The share of the velocity that is kept at each update, from 0 to 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def update(self, gradient: Layers, state: MomentumState, layers: Layers) -> tuple[Layers, MomentumState]:
        """Step along the velocity that would follow the new one if the gradient stayed the same."""
        velocity, numbers = self._velocity(gradient, state, layers)

        def step(momentum: Array | float, rate: Array | float, parameter: Array, speed: Array, slope: Array) -> Array:
            return parameter + momentum * speed - rate * slope

        moved = map_parameters(step, layers, velocity, gradient, numbers=numbers)
        return moved, MomentumState(state.count + 1, velocity)


class RMSPropState(NamedTuple):
    """The state of `RMSProp`.

    Attributes
    ----------
    count : array, shape (), int32
        The number of updates so far.
    mean_square : list of Layer
        The exponentially weighted mean of the squared slopes of each parameter.
    """

    count: Array
    mean_square: Layers


@dataclass(frozen=True)
class RMSProp:
    """Slopes divided by the root of their running mean square (Tieleman and Hinton 2012, lecture 6.5; see arXiv:1308.0850).

    ``parameter - rate * slope / (sqrt(mean_square) + epsilon)``

    Parameters
    ----------
    learning_rate : float or schedule, default 0.01
        The step size: a number above 0, or a function of the number of updates so far, as in `schedules`.
    decay : float, default 0.99
        The share of the running mean square that is kept at each update, from 0 to below 1.
    epsilon : float, default 1e-8
        Added to the root, to prevent a division by zero.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    learning_rate: Any = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        validate_member_fields(self, learning_rate=RATE, decay=SHARE, epsilon=POSITIVE)

    def init(self, layers: Layers) -> RMSPropState:
        """Return mean squares of zero."""
        return RMSPropState(_zero_count(layers), _zeros(layers))

    def update(self, gradient: Layers, state: RMSPropState, layers: Layers) -> tuple[Layers, RMSPropState]:
        """Step down the scaled gradient."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        decay, rest, epsilon = (
            as_number(number, layers[0].weight) for number in (self.decay, _complement(self.decay), self.epsilon)
        )

        def average(decay: Array | float, rest: Array | float, mean: Array, slope: Array) -> Array:
            return decay * mean + rest * slope * slope

        def step(rate: Array | float, epsilon: Array | float, parameter: Array, slope: Array, mean: Array) -> Array:
            return parameter - rate * slope / (namespace(mean).sqrt(mean) + epsilon)

        mean_square = map_parameters(average, state.mean_square, gradient, numbers=[decay, rest])
        moved = map_parameters(step, layers, gradient, mean_square, numbers=[rate, epsilon])
        return moved, RMSPropState(state.count + 1, mean_square)


class AdamState(NamedTuple):
    """The state of `Adam` and `AdamW`.

    The running means of the paper are these sums divided by the sum of their weights.

    Attributes
    ----------
    count : array, shape (), int32
        The number of updates so far.
    slope_sum : list of Layer
        The exponentially weighted sum of the slopes of each parameter.
    square_sum : list of Layer
        The exponentially weighted sum of its squared slopes.
    """

    count: Array
    slope_sum: Layers
    square_sum: Layers


@dataclass(frozen=True)
class Adam:
    """Running means of the slopes and of their squares, corrected for their start at zero (arXiv:1412.6980, algorithm 1).

    ``parameter - rate * mean / (sqrt(mean_square) + epsilon)``

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        The step size: a number above 0, or a function of the number of updates so far, as in `schedules`.
    beta_1, beta_2 : float, default 0.9 and 0.999
        The shares of the running means of the slopes and of their squares that are kept at each update, from 0 to below 1.
    epsilon : float, default 1e-8
        Added to the root, to prevent a division by zero.
    epsilon_corrected : bool, default True
        Whether epsilon is added to the root of the corrected mean square, as in algorithm 1 and in PyTorch, or to the root of
        the uncorrected one, as at the end of the paper's section 2, in scikit-learn and in TensorFlow.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_corrected: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        validate_member_fields(self, learning_rate=RATE, beta_1=SHARE, beta_2=SHARE, epsilon=POSITIVE)

    def init(self, layers: Layers) -> AdamState:
        """Return sums of zero."""
        return AdamState(_zero_count(layers), _zeros(layers), _zeros(layers))

    def update(self, gradient: Layers, state: AdamState, layers: Layers) -> tuple[Layers, AdamState]:
        """Step along the corrected mean slope, scaled by the root of the corrected mean square."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        count = state.count + 1
        updates = _as_parameter(count, layers)
        beta_1, beta_2, epsilon = (as_number(number, updates) for number in (self.beta_1, self.beta_2, self.epsilon))
        rest_1, rest_2 = (as_number(_complement(share), updates) for share in (self.beta_1, self.beta_2))

        def add_slope(beta: Array | float, total: Array, slope: Array) -> Array:
            return beta * total + slope

        def add_square(beta: Array | float, total: Array, slope: Array) -> Array:
            return beta * total + slope * slope

        slope_sum = map_parameters(add_slope, state.slope_sum, gradient, numbers=[beta_1])
        square_sum = map_parameters(add_square, state.square_sum, gradient, numbers=[beta_2])

        # A mean is a sum divided by the sum of its weights. These divisions are moved from the arrays to single numbers:
        # rate * (a / b) / (sqrt(c / d) + epsilon) = (rate * sqrt(d) / b) * a / (sqrt(c) + epsilon * sqrt(d)).
        # If epsilon is added to the uncorrected root, d in the last term is its limit for many updates, 1 / (1 - beta_2).
        slope_weights = (1.0 - beta_1**updates) / rest_1
        root_weights = namespace(updates).sqrt((1.0 - beta_2**updates) / rest_2)
        step_size = rate * root_weights / slope_weights
        floor = epsilon * (root_weights if self.epsilon_corrected else rest_2**-0.5)

        def step(
            step_size: Array | float, floor: Array | float, parameter: Array, slope_total: Array, square_total: Array
        ) -> Array:
            return parameter - step_size * slope_total / (namespace(square_total).sqrt(square_total) + floor)

        moved = map_parameters(step, layers, slope_sum, square_sum, numbers=[step_size, floor])
        return moved, AdamState(count, slope_sum, square_sum)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: weights, not biases, shrink before each of its steps (arXiv:1711.05101).

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        The step size: a number above 0, or a function of the number of updates so far, as in `schedules`.
    beta_1, beta_2 : float, default 0.9 and 0.999
        The shares of the running means of the slopes and of their squares that are kept at each update, from 0 to below 1.
    epsilon : float, default 1e-8
        Added to the root, to prevent a division by zero.
    weight_decay : float, default 0.01
        A weight shrinks by this fraction, times the learning rate, at each update.
    epsilon_corrected : bool, default True
        As in `Adam`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_member_fields(self, weight_decay=NOT_NEGATIVE)

    def update(self, gradient: Layers, state: AdamState, layers: Layers) -> tuple[Layers, AdamState]:
        """Shrink the weights, then step as Adam does."""
        count = _as_parameter(state.count, layers)
        kept = 1.0 - as_number(self.weight_decay, count) * rate_at(self.learning_rate, count)
        shrunk = [Layer(aligned(kept, layer.weight) * layer.weight, layer.bias) for layer in layers]
        return super().update(gradient, state, shrunk)


@dataclass(frozen=True)
class Penalized:
    """An optimizer with penalties on weights, not biases (elastic net, doi:10.1111/j.1467-9868.2005.00503.x).

    It minimizes E + l1 * sum(abs(weight)) + l2 / 2 * sum(weight^2); the loss that is reported is E alone.

    Parameters
    ----------
    optimizer : optimizer
        The optimizer to wrap, which gets the penalized gradient.
    l1, l2 : float, default 0.0
        The factors of the penalties, from 0 up.

    Raises
    ------
    TypeError
        If it does not wrap an optimizer.
    ValueError
        If a factor is negative.
    """

    optimizer: Any
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check_inner(self)
        validate_member_fields(self, l1=NOT_NEGATIVE, l2=NOT_NEGATIVE)

    def init(self, layers: Layers) -> Any:
        """Return the state of the wrapped optimizer."""
        return self.optimizer.init(layers)

    def update(self, gradient: Layers, state: Any, layers: Layers) -> tuple[Layers, Any]:
        """Add the slopes of the penalties, then update."""
        weight = layers[0].weight
        l1, l2 = (aligned(as_number(factor, weight), weight) for factor in (self.l1, self.l2))
        penalized = [
            Layer(slope.weight + l1 * sign(layer.weight) + l2 * layer.weight, slope.bias)
            for slope, layer in zip(gradient, layers, strict=True)
        ]
        return self.optimizer.update(penalized, state, layers)


class SteeredState(NamedTuple):
    """The state of `Steered`.

    Attributes
    ----------
    rate : array, shape (), or (members,) in a population
        The learning rate.
    inner : object
        The state of the wrapped optimizer.
    """

    rate: Array
    inner: Any


@dataclass(frozen=True)
class Steered:
    """An optimizer whose learning rate is part of its state, so that a callback can change it between epochs.

    A callback does so with ``training.state = training.state._replace(rate=...)``.

    Parameters
    ----------
    optimizer : optimizer
        An optimizer of this module whose ``learning_rate`` is a number, the rate at the start.

    Raises
    ------
    TypeError
        If it does not wrap an optimizer.
    """

    optimizer: Any

    def __post_init__(self) -> None:
        _check_inner(self)

    def init(self, layers: Layers) -> SteeredState:
        """Return the learning rate and the state of the wrapped optimizer."""
        weight = layers[0].weight
        xp = namespace(weight)
        device = array_api_compat.device(weight)
        rate = xp.asarray(self.optimizer.learning_rate, dtype=weight.dtype, device=device)
        rate = rate + xp.zeros(weight.shape[:-2], dtype=weight.dtype, device=device)
        return SteeredState(rate, self.optimizer.init(layers))

    def update(self, gradient: Layers, state: SteeredState, layers: Layers) -> tuple[Layers, SteeredState]:
        """Update with the learning rate of the state."""
        steered = dataclasses.replace(self.optimizer, learning_rate=lambda count: state.rate)
        updated, inner = steered.update(gradient, state.inner, layers)
        return updated, SteeredState(state.rate, inner)


@dataclass(frozen=True)
class Clipped:
    """An optimizer whose gradient is scaled down if its norm is too large (arXiv:1211.5063).

    Parameters
    ----------
    optimizer : optimizer
        The optimizer to wrap, which gets the clipped gradient.
    norm : float, default 1.0
        The largest Euclidean norm of the whole gradient, all layers together: a number above 0.

    Raises
    ------
    TypeError
        If it does not wrap an optimizer.
    ValueError
        If the norm is not above 0.
    """

    optimizer: Any
    norm: float = 1.0

    def __post_init__(self) -> None:
        _check_inner(self)
        validate_member_fields(self, norm=POSITIVE)

    def init(self, layers: Layers) -> Any:
        """Return the state of the wrapped optimizer."""
        return self.optimizer.init(layers)

    def update(self, gradient: Layers, state: Any, layers: Layers) -> tuple[Layers, Any]:
        """Scale the gradient, then update."""
        norm = as_number(self.norm, gradient[0].weight)
        scale = norm / namespace(gradient[0].weight).maximum(gradient_norm(gradient), norm)
        clipped = [
            Layer(
                slope.weight * scale[..., None, None],
                None if slope.bias is None else slope.bias * scale[..., None],
            )
            for slope in gradient
        ]
        return self.optimizer.update(clipped, state, layers)


def gradient_norm(gradient: Layers) -> Array:
    """Return the Euclidean norm of a whole gradient: of shape (), or one for each network of a population."""
    xp = namespace(gradient[0].weight)
    squares = [xp.sum(slope.weight * slope.weight, axis=(-2, -1)) for slope in gradient]
    squares += [xp.sum(slope.bias * slope.bias, axis=-1) for slope in gradient if slope.bias is not None]
    return xp.sqrt(sum(squares[1:], start=squares[0]))


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
}
