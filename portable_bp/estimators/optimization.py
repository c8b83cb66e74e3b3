"""The optimizers of sgd and adam with their learning-rate schedules, which partial_fit passes from one call to the next."""

from __future__ import annotations

from typing import NamedTuple

from portable_bp.algorithm.optimizers import Adam, Momentum, Nesterov, Steered, SteeredState
from portable_bp.estimators.problem import StochasticSettings


class Optimization(NamedTuple):
    """An optimizer, its state and its schedule: ``partial_fit`` keeps them even if the estimator's parameters have changed."""

    optimizer: Steered
    state: SteeredState | None  # None before the first update
    learning_rate: float  # the one in the state, on the host
    schedule: str  # "constant", "invscaling" or "adaptive"
    power_t: float

    def scheduled_rate(self, learning_rate: float, samples_seen: int) -> float:
        """Return the learning rate of the next epoch, given the one of the last epoch."""
        if self.schedule != "invscaling":
            return learning_rate
        return self.optimizer.optimizer.learning_rate / (samples_seen + 1) ** self.power_t


def begin_optimization(settings: StochasticSettings) -> Optimization:
    """Return the optimizer that the settings name, before its first update."""
    rate = float(settings.learning_rate_init)
    if settings.solver == "adam":
        schedule = "constant"
        optimizer = Adam(rate, settings.beta_1, settings.beta_2, settings.epsilon, epsilon_corrected=False)
    else:
        schedule = settings.learning_rate
        optimizer = (Nesterov if settings.nesterovs_momentum else Momentum)(rate, settings.momentum)
    return Optimization(Steered(optimizer), None, rate, schedule, float(settings.power_t))
