"""Optimizers: each is a pair (init, update) of pure functions over a list of layers.

``init(layers)`` returns a state, ``update(gradient, state, layers)`` returns the new layers and the new state. Nothing given
is changed. A user's own optimizer is any object with the two methods, or a pair of functions. The ones here are built from
`map_parameters`, and `Penalized` and `Clipped` go around any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import array_api_compat

from portable_bp.algorithm.arrays import Array, Layer, map_parameters, namespace, sign
from portable_bp.algorithm.fields import NOT_NEGATIVE, POSITIVE, RATE, SHARE, UNIT_INTERVAL, validate_fields
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


class State(NamedTuple):
    """What an optimizer remembers.

    Attributes
    ----------
    count : array, shape (), int32
        How many updates were made: an array, so that a traced or captured step goes on counting.
    averages : tuple of list of Layer
        Whatever else is kept for each parameter: velocities, mean squares, sums.
    """

    count: Array
    averages: tuple[Layers, ...] = ()


def _zeros(layers: Layers) -> list[Layer]:
    return map_parameters(lambda parameter: namespace(parameter).zeros_like(parameter), layers)


def _start(layers: Layers, averages: int = 0) -> State:
    weight = layers[0].weight
    xp = namespace(weight)
    count = xp.zeros((), dtype=xp.int32, device=array_api_compat.device(weight))
    return State(count, tuple(_zeros(layers) for _ in range(averages)))


def _as_parameter(count: Array, layers: Layers) -> Array:
    """Return a count in the parameters' dtype, for arithmetic with them."""
    return namespace(count).astype(count, layers[0].weight.dtype)


def _check_inner(outer: Any) -> None:
    if isinstance(outer.optimizer, type) or not has_methods(outer.optimizer, Optimizer):
        raise TypeError(
            f"{type(outer).__name__} goes around {outer.optimizer!r}, and should go around an optimizer, such as SGD(0.1)."
        )


@dataclass(frozen=True)
class SGD:
    """Gradient descent: parameter - rate * slope.

    Parameters
    ----------
    learning_rate : float or schedule
        The size of a step.
    """

    learning_rate: Any = 0.1

    def __post_init__(self) -> None:
        validate_fields(self, learning_rate=RATE)

    def init(self, layers: Layers) -> State:
        """Return the count at zero."""
        return _start(layers)

    def update(self, gradient: Layers, state: State, layers: Layers) -> tuple[Layers, State]:
        """Step down the gradient."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        return map_parameters(lambda parameter, slope: parameter - rate * slope, layers, gradient), State(state.count + 1)


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with a velocity (Polyak, doi:10.1016/0041-5553(64)90137-5).

    Parameters
    ----------
    learning_rate : float or schedule
        The size of a step.
    momentum : float
        The share of the velocity that is kept at each update, from 0 to 1.
    """

    learning_rate: Any = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        validate_fields(self, learning_rate=RATE, momentum=UNIT_INTERVAL)

    def init(self, layers: Layers) -> State:
        """Return velocities of zero."""
        return _start(layers, averages=1)

    def _velocity(self, gradient: Layers, state: State, layers: Layers) -> tuple[Array | float, Layers]:
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        (velocity,) = state.averages
        return rate, map_parameters(lambda speed, slope: self.momentum * speed - rate * slope, velocity, gradient)

    def update(self, gradient: Layers, state: State, layers: Layers) -> tuple[Layers, State]:
        """Step along the new velocity."""
        _, velocity = self._velocity(gradient, state, layers)
        return map_parameters(lambda parameter, speed: parameter + speed, layers, velocity), State(state.count + 1, (velocity,))


@dataclass(frozen=True)
class Nesterov(Momentum):
    """Momentum that looks ahead (Nesterov 1983, in the form of Bengio et al., arXiv:1212.0901).

    Parameters
    ----------
    learning_rate : float or schedule
        The size of a step.
    momentum : float
        The share of the velocity that is kept at each update, from 0 to 1.
    """

    def update(self, gradient: Layers, state: State, layers: Layers) -> tuple[Layers, State]:
        """Step along the velocity that comes after the new one."""
        rate, velocity = self._velocity(gradient, state, layers)
        ahead = map_parameters(
            lambda parameter, speed, slope: parameter + self.momentum * speed - rate * slope, layers, velocity, gradient
        )
        return ahead, State(state.count + 1, (velocity,))


@dataclass(frozen=True)
class RMSProp:
    """Each slope is divided by the root of its running mean square (Tieleman and Hinton, lecture 6.5, 2012).

    Parameters
    ----------
    learning_rate : float or schedule
        The size of a step.
    decay : float
        The share of the running mean square that is kept at each update.
    epsilon : float
        Added to the root, against division by zero.
    """

    learning_rate: Any = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        validate_fields(self, learning_rate=RATE, decay=SHARE, epsilon=POSITIVE)

    def init(self, layers: Layers) -> State:
        """Return mean squares of zero."""
        return _start(layers, averages=1)

    def update(self, gradient: Layers, state: State, layers: Layers) -> tuple[Layers, State]:
        """Step down the scaled gradient."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        (square,) = state.averages
        square = map_parameters(lambda mean, slope: self.decay * mean + (1.0 - self.decay) * slope * slope, square, gradient)

        def step(parameter: Array, slope: Array, mean: Array) -> Array:
            return parameter - rate * slope / (namespace(mean).sqrt(mean) + self.epsilon)

        return map_parameters(step, layers, gradient, square), State(state.count + 1, (square,))


@dataclass(frozen=True)
class Adam:
    """Fading means of slope and squared slope, both corrected for their start at zero (arXiv:1412.6980, algorithm 1).

    The state holds fading sums, which are these means times the sum of their weights.

    Parameters
    ----------
    learning_rate : float or schedule
        The size of a step.
    beta_1, beta_2 : float
        The shares of the two running means that are kept at each update.
    epsilon : float
        Added to the root, against division by zero.
    epsilon_corrected : bool
        Whether it is added to the root of the corrected mean square, as in algorithm 1 and in PyTorch, or to that of the
        mean square as it stands, as at the end of the paper's section 2, in scikit-learn and in TensorFlow.
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_corrected: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        validate_fields(self, learning_rate=RATE, beta_1=SHARE, beta_2=SHARE, epsilon=POSITIVE)

    def init(self, layers: Layers) -> State:
        """Return sums of zero."""
        return _start(layers, averages=2)

    def update(self, gradient: Layers, state: State, layers: Layers) -> tuple[Layers, State]:
        """Step down the corrected mean slope, scaled by the root of the corrected mean square."""
        rate = rate_at(self.learning_rate, _as_parameter(state.count, layers))
        count = state.count + 1
        made = _as_parameter(count, layers)
        slopes, squares = state.averages
        slopes = map_parameters(lambda total, slope: self.beta_1 * total + slope, slopes, gradient)
        squares = map_parameters(lambda total, slope: self.beta_2 * total + slope * slope, squares, gradient)

        # A mean is a fading sum divided by the sum of its fading weights. The divisions are taken out of the arrays, to cost
        # one number each: rate * (a / b) / (sqrt(c / d) + epsilon) = (rate * sqrt(d) / b) * a / (sqrt(c) + epsilon * sqrt(d)).
        # Without the correction of what epsilon is added to, d in the last factor is that of a mean whose weights sum to one.
        slope_weights = (1.0 - self.beta_1**made) / (1.0 - self.beta_1)
        root_weights = namespace(made).sqrt((1.0 - self.beta_2**made) / (1.0 - self.beta_2))
        step_size = rate * root_weights / slope_weights
        floor = self.epsilon * (root_weights if self.epsilon_corrected else (1.0 - self.beta_2) ** -0.5)

        def step(parameter: Array, slope_total: Array, square_total: Array) -> Array:
            return parameter - step_size * slope_total / (namespace(square_total).sqrt(square_total) + floor)

        return map_parameters(step, layers, slopes, squares), State(count, (slopes, squares))


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weights, not biases, also shrink at every update (arXiv:1711.05101).

    Parameters
    ----------
    learning_rate : float or schedule
        The size of a step.
    beta_1, beta_2 : float
        The shares of the two running means that are kept at each update.
    epsilon : float
        Added to the root, against division by zero.
    epsilon_corrected : bool
        As `Adam` takes it.
    weight_decay : float
        The share of a weight, times the learning rate, that is taken off at each update.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_fields(self, weight_decay=NOT_NEGATIVE)

    def update(self, gradient: Layers, state: State, layers: Layers) -> tuple[Layers, State]:
        """Shrink the weights, then step as Adam does."""
        kept = 1.0 - self.weight_decay * rate_at(self.learning_rate, _as_parameter(state.count, layers))
        shrunk = [Layer(kept * layer.weight, layer.bias) for layer in layers]
        return super().update(gradient, state, shrunk)


@dataclass(frozen=True)
class Penalized:
    """An optimizer that also keeps weights, not biases, small: it descends E + l1 sum abs(w) + l2/2 sum w^2.

    The loss that is reported stays E.

    Parameters
    ----------
    optimizer : optimizer
        The one that is given the penalized gradient.
    l1, l2 : float
        What the penalties count for.
    """

    optimizer: Any
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check_inner(self)
        validate_fields(self, l1=NOT_NEGATIVE, l2=NOT_NEGATIVE)

    def init(self, layers: Layers) -> Any:
        """Return the state of the optimizer inside."""
        return self.optimizer.init(layers)

    def update(self, gradient: Layers, state: Any, layers: Layers) -> tuple[Layers, Any]:
        """Add the slopes of the penalties, then update."""
        penalized = [
            Layer(slope.weight + self.l1 * sign(layer.weight) + self.l2 * layer.weight, slope.bias)
            for slope, layer in zip(gradient, layers, strict=True)
        ]
        return self.optimizer.update(penalized, state, layers)


class SteeredState(NamedTuple):
    """What a steered optimizer remembers.

    Attributes
    ----------
    rate : array, shape ()
        The learning rate.
    inner : object
        The state of the optimizer inside.
    """

    rate: Array
    inner: Any


@dataclass(frozen=True)
class Steered:
    """An optimizer whose learning rate is part of its state, so that it may be changed between epochs.

    Parameters
    ----------
    optimizer : optimizer
        One of this module's with a ``learning_rate`` that is a number: the rate at the start.
    """

    optimizer: Any

    def __post_init__(self) -> None:
        _check_inner(self)

    def init(self, layers: Layers) -> SteeredState:
        """Return the rate and the state of the optimizer inside."""
        weight = layers[0].weight
        xp = namespace(weight)
        rate = xp.full((), self.optimizer.learning_rate, dtype=weight.dtype, device=array_api_compat.device(weight))
        return SteeredState(rate, self.optimizer.init(layers))

    def update(self, gradient: Layers, state: SteeredState, layers: Layers) -> tuple[Layers, SteeredState]:
        """Update with the rate of the state."""
        steered = dataclasses.replace(self.optimizer, learning_rate=lambda count: state.rate)
        updated, inner = steered.update(gradient, state.inner, layers)
        return updated, SteeredState(state.rate, inner)


@dataclass(frozen=True)
class Clipped:
    """An optimizer whose gradient is scaled down to a norm where it is longer (arXiv:1211.5063).

    Parameters
    ----------
    optimizer : optimizer
        The one that is given the clipped gradient.
    norm : float
        The greatest Euclidean norm of the whole gradient, all layers together.
    """

    optimizer: Any
    norm: float = 1.0

    def __post_init__(self) -> None:
        _check_inner(self)
        validate_fields(self, norm=POSITIVE)

    def init(self, layers: Layers) -> Any:
        """Return the state of the optimizer inside."""
        return self.optimizer.init(layers)

    def update(self, gradient: Layers, state: Any, layers: Layers) -> tuple[Layers, Any]:
        """Scale the gradient, then update."""
        scale = self.norm / namespace(gradient[0].weight).maximum(gradient_norm(gradient), self.norm)
        clipped = [
            Layer(
                slope.weight * scale[..., None, None],
                None if slope.bias is None else slope.bias * scale[..., None],
            )
            for slope in gradient
        ]
        return self.optimizer.update(clipped, state, layers)


def gradient_norm(gradient: Layers) -> Array:
    """Return the Euclidean norm of a whole gradient.

    Parameters
    ----------
    gradient : sequence of Layer
        Weights and biases of every layer.

    Returns
    -------
    array, shape (...)
        One norm, or one for each network of a population.
    """
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
