"""The problem and the settings that a solver takes, and the solution that it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.losses import mean_error
from portable_bp.backends import compiled
from portable_bp.estimators.outputs import Output, compute_output
from portable_bp.estimators.samples import Examples
from portable_bp.training import Training


class Validation(NamedTuple):
    """Held-out examples, and how to measure layers on them."""

    activations: tuple[Any, ...]
    output: Output
    examples: Examples
    score: Callable[..., float]  # score(backend, values, target, sample_weight)
    with_loss: bool  # whether the loss is measured too, for callbacks

    def measure(self, layers: Sequence[Layer]) -> tuple[float, float | None]:
        """Return the score of layers, and their loss or None."""
        samples, target, (weight, _) = self.examples
        backend, out = samples.backend, compute_output(self.activations, layers, samples)
        score = self.score(backend, compiled(backend, self.output.value)(out), target, weight)
        if not self.with_loss:
            return score, None
        return score, float(backend.to_numpy(compiled(backend, _weighted_mean, self.output.loss)(out, target, weight)))


class Problem(NamedTuple):
    """The network and the data that a solver is given."""

    activations: tuple[Any, ...]  # one per layer
    loss: Any
    alpha: float  # the penalty, scaled as the sample weights are
    layers: Sequence[Layer]  # where the solver starts
    examples: Examples
    rates: tuple[float, ...]  # the dropout rate of each hidden layer
    callbacks: Sequence[Callable[[Training], Any]]  # called after every epoch or iteration
    validation: Validation | None


class StochasticSettings(NamedTuple):
    """The parameters of an estimator that sgd and adam read."""

    solver: str
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    verbose: bool | int
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float


class LbfgsSettings(NamedTuple):
    """The parameters of an estimator that lbfgs reads."""

    max_iter: int
    max_fun: int
    tol: float
    verbose: bool | int


class Solution(NamedTuple):
    """The layers that a solver found, with the attributes to set on the estimator and a warning if it did not converge."""

    layers: Sequence[Layer]
    attributes: dict[str, Any]
    warning: str | None


def _weighted_mean(loss: Any, out: Array, target: Array, sample_weight: Array | None) -> Array:
    error = mean_error(loss, out, target, sample_weight)
    return error if sample_weight is None else error / namespace(sample_weight).mean(sample_weight)
