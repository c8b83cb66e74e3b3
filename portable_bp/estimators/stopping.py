"""Scikit-learn's rule when to stop training, or to lower the learning rate."""

from __future__ import annotations

from typing import Any

from portable_bp.backends import Backend
from portable_bp.estimators.objective import Measure
from portable_bp.estimators.steered import Optimization
from portable_bp.training import Training

SMALLEST_RATE = 1e-6  # an adaptive learning rate is lowered no further
LOWERED = 5.0  # what it is divided by


class Rule:
    """A callback that keeps a model's attributes after every epoch, and stops or lowers the rate by them.

    Parameters
    ----------
    model : Perceptron
        Whose attributes are kept.
    backend : Backend
        Where it runs.
    optimization : Optimization
        Its learning rate is changed.
    samples : int
        How many an epoch learns from.
    measure : callable or None
        Returns the score of layers on samples that are held out and, where it is wanted, the loss.
    """

    def __init__(
        self,
        model: Any,
        backend: Backend,
        optimization: Optimization,
        samples: int,
        measure: Measure | None,
    ) -> None:
        self.model, self.backend, self.optimization = model, backend, optimization
        self.samples, self.measure = samples, measure

    def __call__(self, training: Training) -> None:
        """Keep what an epoch gave; stop, or lower the rate, if that has not been better for too long."""
        model = self.model
        model.n_iter_ += 1
        model.t_ += self.samples
        model.loss_ = training.history.loss[-1]
        model.loss_curve_.append(model.loss_)
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
        if self.measure is not None:
            self._note_scores(training, *self.measure(training.layers))
        if not model.early_stopping:
            self._compare(model.loss_ > model.best_loss_ - model.tol)
            if model.loss_ < model.best_loss_:
                model.best_loss_ = model.loss_
        self._steer(training)

    def finish(self, training: Training) -> None:
        """Bring back the weights of the best score."""
        if self.model.early_stopping:
            training.layers = self.model._best_layers

    def _compare(self, worse: bool) -> None:
        self.model._no_improvement_count = self.model._no_improvement_count + 1 if worse else 0

    def _note_scores(self, training: Training, score: float, loss: float | None) -> None:
        model = self.model
        model.validation_scores_.append(score)
        if loss is not None:
            training.history.validation_loss.append(loss)
        if model.verbose:
            print(f"Validation score: {score:f}")
        if model.early_stopping:
            self._compare(score < model.best_validation_score_ + model.tol)
        if score > model.best_validation_score_:
            model.best_validation_score_, model._best_layers = score, training.layers

    def _steer(self, training: Training) -> None:
        model, rate = self.model, self.optimization.learning_rate
        if model.solver == "sgd" and model.learning_rate == "invscaling":
            rate = model.learning_rate_init / (model.t_ + 1) ** model.power_t
        if model._no_improvement_count > model.n_iter_no_change:
            measured = "validation score" if model.early_stopping else "training loss"
            said = f"The {measured} has not improved by tol={model.tol:f} for {model.n_iter_no_change} epochs."
            if model.solver == "sgd" and model.learning_rate == "adaptive" and rate > SMALLEST_RATE:
                rate /= LOWERED
                model._no_improvement_count = 0
                said = f"{said} The learning rate is lowered to {rate:f}."
            else:
                training.stop(said)
            if model.verbose:
                print(said)
        if rate != self.optimization.learning_rate:
            self.optimization.learning_rate = rate
            training.state = training.state._replace(rate=self.backend.asarray(rate))
