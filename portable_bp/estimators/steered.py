"""An optimizer whose learning rate may be changed between epochs, and what `partial_fit` takes up again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.optimizers import Adam, Momentum, Nesterov
from portable_bp.backends import Backend, compiled
from portable_bp.training.step import begin, zero_error


class SteeredState(NamedTuple):
    """What a steered optimizer remembers.

    Attributes
    ----------
    rate : array, shape ()
        The learning rate.
    inner : object
        The state of the optimizer.
    """

    rate: Array
    inner: Any


@dataclass(frozen=True)
class Steered:
    """An optimizer whose learning rate is part of its state, where it may be changed between epochs.

    Parameters
    ----------
    optimizer : optimizer
        One with a ``learning_rate``, which is not used.
    """

    optimizer: Any

    def init(self, layers: Sequence[Layer]) -> SteeredState:
        """Return a rate of zero and the state of the optimizer inside."""
        return SteeredState(zero_error(layers), self.optimizer.init(layers))

    def update(self, gradient: Sequence[Layer], state: SteeredState, layers: Sequence[Layer]) -> tuple[Any, SteeredState]:
        """Update with the learning rate of the state."""
        steered = dataclasses.replace(self.optimizer, learning_rate=lambda count: state.rate)
        updated, inner = steered.update(gradient, state.inner, layers)
        # A step that hands an array on as it came is not recorded.
        return updated, SteeredState(1.0 * state.rate, inner)


@dataclass
class Optimization:
    """An optimizer under way.

    Parameters
    ----------
    piece : Steered
        What updates the parameters.
    state : SteeredState
        What it remembers.
    learning_rate : float
        The rate in its state, on the host.
    """

    piece: Steered
    state: SteeredState
    learning_rate: float


def begin_optimization(model: Any, backend: Backend, layers: Sequence[Layer]) -> Optimization:
    """Return the optimizer that a model's parameters name, before its first update.

    Parameters
    ----------
    model : Perceptron
        Its solver is sgd or adam.
    backend : Backend
        Where the layers are.
    layers : sequence of Layer
        What will be updated.
    """
    if model.solver == "adam":
        piece = Steered(Adam(1.0, model.beta_1, model.beta_2, model.epsilon, epsilon_corrected=False))
    else:
        piece = Steered((Nesterov if model.nesterovs_momentum else Momentum)(1.0, model.momentum))
    rate = float(model.learning_rate_init)
    state = compiled(backend, begin, piece)(layers).state
    return Optimization(piece, state._replace(rate=backend.asarray(rate)), rate)
