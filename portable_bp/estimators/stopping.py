"""Scikit-learn's rule when to stop training, or to lower the learning rate, by the records of the epochs so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.optimizers import Steered, SteeredState
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.problem import Validation
from portable_bp.estimators.samples import Dense, Hosted
from portable_bp.training import Training
from portable_bp.training.step import are_finite

SMALLEST_RATE = 1e-6  # an adaptive learning rate is lowered as long as it is above it
LOWERED = 5.0  # what it is divided by


class Optimization(NamedTuple):
    """An optimizer and its schedule as a fit leaves them, for `partial_fit` to take up whatever the parameters are by then.

    Attributes
    ----------
    optimizer : Steered
        What updates the parameters; it has the rate at the start.
    state : SteeredState
        What it remembers.
    learning_rate : float
        The rate in its state, on the host.
    schedule : {"constant", "invscaling", "adaptive"}
        How the rate changes.
    power_t : float
        The exponent of "invscaling".
    """

    optimizer: Steered
    state: SteeredState
    learning_rate: float
    schedule: str
    power_t: float


class Records:
    """A callback that keeps a model's attributes after every epoch, and stops training or lowers the rate by them.

    Parameters
    ----------
    model : Perceptron
        Whose attributes are kept.
    samples : Dense or Hosted
        What an epoch learns from.
    validation : Validation or None
        What is held out.
    optimization : Optimization
        As it is before the first epoch.
    """

    def __init__(self, model: Any, samples: Dense | Hosted, validation: Validation | None, optimization: Optimization) -> None:
        self.model, self.samples, self.validation, self.optimization = model, samples, validation, optimization
        self.learning_rate = optimization.learning_rate

    def __call__(self, training: Training) -> None:
        """Keep what an epoch gave; stop, or lower the rate, if that has not been better for too long."""
        self._keep_loss(training)
        if self.validation is not None:
            self._keep_score(training, *self.validation.measure(training.layers))
        rate = self._rate_of_next_epoch(training)
        if rate != self.learning_rate:
            self.learning_rate = rate
            training.state = training.state._replace(rate=self.samples.backend.asarray(rate))

    def finish(self, training: Training) -> None:
        """Bring back the weights of the best score."""
        if self.model.early_stopping:
            training.layers = self.model._best_layers

    def _keep_loss(self, training: Training) -> None:
        model = self.model
        model.n_iter_ += 1
        model.t_ += self.samples.count
        model.loss_ = training.history.loss[-1]
        model.loss_curve_.append(model.loss_)
        self._say(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
        if not model.early_stopping:
            self._count(model.loss_ > model.best_loss_ - model.tol)
            if model.loss_ < model.best_loss_:
                model.best_loss_ = model.loss_

    def _keep_score(self, training: Training, score: float, loss: float | None) -> None:
        model = self.model
        model.validation_scores_.append(score)
        if loss is not None:
            training.history.validation_loss.append(loss)
        self._say(f"Validation score: {score:f}")
        if model.early_stopping:
            self._count(score < model.best_validation_score_ + model.tol)
        # The labels that NaN leads to may be right by chance.
        if score > model.best_validation_score_ and is_finite(self.samples.backend, training.layers):
            model.best_validation_score_, model._best_layers = score, training.layers

    def _count(self, no_better: bool) -> None:
        self.model._no_improvement_count = self.model._no_improvement_count + 1 if no_better else 0

    def _rate_of_next_epoch(self, training: Training) -> float:
        """Return the next learning rate, having stopped training if there is to be none."""
        model, rate = self.model, self.learning_rate
        if self.optimization.schedule == "invscaling":
            at_start = self.optimization.optimizer.optimizer.learning_rate
            rate = at_start / (model.t_ + 1) ** self.optimization.power_t
        if model._no_improvement_count <= model.n_iter_no_change:
            return rate
        what = "validation score" if model.early_stopping else "training loss"
        said = f"The {what} has not improved by tol={model.tol:f} for more than {model.n_iter_no_change} epochs."
        if self.optimization.schedule == "adaptive" and rate > SMALLEST_RATE:
            model._no_improvement_count = 0
            rate /= LOWERED
            self._say(f"{said} The learning rate is lowered to {rate:f}.")
        else:
            training.stop(said)
            self._say(said)
        return rate

    def _say(self, line: str) -> None:
        if self.model.verbose:
            print(line)


def is_finite(backend: Backend, layers: Sequence[Layer]) -> bool:
    """Return whether every parameter is finite, which is read from the device."""
    return bool(backend.to_numpy(compiled(backend, are_finite)(list(layers))))
