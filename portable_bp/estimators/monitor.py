"""Records of every epoch, and scikit-learn's rules to stop training or lower the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.optimization import Optimization
from portable_bp.estimators.problem import Problem, StochasticSettings
from portable_bp.training import Training
from portable_bp.training.step import are_finite

SMALLEST_RATE = 1e-6  # an adaptive learning rate is lowered only while it is above this
LOWERED_BY = 5.0  # the divisor of an adaptive learning rate


@dataclass
class Records:
    """The attributes of an estimator that change after every epoch, by their names on the estimator."""

    t_: int
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    _no_improvement_count: int
    _best_layers: Sequence[Layer] | None
    n_iter_: int = 0
    loss_: float = field(init=False, repr=False)  # absent until an epoch is finished

    @classmethod
    def resume(cls, attributes: Mapping[str, Any], problem: Problem, stops_early: bool) -> Records:
        """Begin the records of a call, continuing those of earlier calls, which the estimator has as attributes."""
        earlier = {name: value for name, value in attributes.items() if value is not None}
        scored = problem.validation is not None
        return cls(
            t_=earlier["t_"],
            loss_curve_=earlier.get("loss_curve_", []),
            best_loss_=None if stops_early else earlier.get("best_loss_", math.inf),
            validation_scores_=earlier.get("validation_scores_", []) if scored else None,
            best_validation_score_=earlier.get("best_validation_score_", -math.inf) if scored else None,
            _no_improvement_count=earlier["_no_improvement_count"],
            _best_layers=earlier.get("_best_layers", problem.layers) if scored else None,
        )


class Monitor:
    """A callback that updates the records after every epoch, and stops training or changes the learning rate by them."""

    def __init__(self, settings: StochasticSettings, problem: Problem, records: Records, optimization: Optimization) -> None:
        self.settings, self.records, self.optimization = settings, records, optimization
        self.samples, self.validation = problem.examples.samples, problem.validation
        self.learning_rate = optimization.learning_rate

    def __call__(self, training: Training) -> None:
        """Record an epoch; stop training, or lower the rate, if there was no improvement for too long."""
        if self.changes_rate(training):
            training.state = training.state._replace(rate=self.samples.backend.asarray(self.learning_rate))

    def changes_rate(self, training: Training) -> bool:
        """Record an epoch as a call does, but only return whether the learning rate is another one."""
        self._record_loss(training.history.loss[-1])
        if self.validation is not None:
            score, loss = self.validation.measure(training.layers)
            self._record_score(score, training.layers)
            if loss is not None:
                training.history.validation_loss.append(loss)
        before, self.learning_rate = self.learning_rate, self._next_rate(training)
        return self.learning_rate != before

    def finish(self, training: Training) -> None:
        """Restore the layers with the best validation score."""
        if self.settings.early_stopping and self.records._best_layers is not None:
            training.layers = self.records._best_layers

    def _record_loss(self, loss: float) -> None:
        records = self.records
        records.n_iter_ += 1
        records.t_ += self.samples.count
        records.loss_ = loss
        records.loss_curve_.append(loss)
        self._print(iteration_line(records.n_iter_, loss))
        if records.best_loss_ is not None:
            self._count_epoch(improved=not loss > records.best_loss_ - self.settings.tol)
            if loss < records.best_loss_:
                records.best_loss_ = loss

    def _record_score(self, score: float, layers: Sequence[Layer]) -> None:
        records, best = self.records, self.records.best_validation_score_
        assert records.validation_scores_ is not None and best is not None
        records.validation_scores_.append(score)
        self._print(f"Validation score: {score:f}")
        if self.settings.early_stopping:
            self._count_epoch(improved=not score < best + self.settings.tol)
        # Layers with NaN predict some class too, which may be right by chance.
        if score > best and is_finite(self.samples.backend, layers):
            records.best_validation_score_, records._best_layers = score, layers

    def _count_epoch(self, improved: bool) -> None:
        self.records._no_improvement_count = 0 if improved else self.records._no_improvement_count + 1

    def _next_rate(self, training: Training) -> float:
        """Return the learning rate of the next epoch; stop training if there was no improvement for too long."""
        settings, records = self.settings, self.records
        rate = self.optimization.scheduled_rate(self.learning_rate, records.t_)
        if records._no_improvement_count <= settings.n_iter_no_change:
            return rate
        what = "validation score" if settings.early_stopping else "training loss"
        reason = f"The {what} has not improved by tol={settings.tol:f} for more than {settings.n_iter_no_change} epochs."
        if self.optimization.schedule == "adaptive" and rate > SMALLEST_RATE:
            records._no_improvement_count = 0
            rate /= LOWERED_BY
            self._print(f"{reason} The learning rate is lowered to {rate:f}.")
        else:
            training.stop(reason)
            self._print(reason)
        return rate

    def _print(self, line: str) -> None:
        if self.settings.verbose:
            print(line)


def iteration_line(iteration: int, loss: float) -> str:
    """Return the line that scikit-learn prints after every epoch or iteration."""
    return f"Iteration {iteration}, loss = {loss:.8f}"


def is_finite(backend: Backend, layers: Sequence[Layer]) -> bool:
    """Return whether every parameter is finite, which makes the host wait for the device."""
    return bool(backend.to_numpy(compiled(backend, are_finite)(list(layers))))
