"""The solvers sgd and adam, with scikit-learn's batches in the order of its shuffles."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portable_bp.estimators.monitor import Monitor, Records
from portable_bp.estimators.objective import PenalizedLoss
from portable_bp.estimators.optimization import Optimization, begin_optimization
from portable_bp.estimators.problem import Problem, Solution, StochasticSettings
from portable_bp.training import Dataset, History, Settings, Training, train

DIVERGED = 10.0  # a fit has diverged if its last loss is this many times its first
DIVERGED_BETWEEN_CALLS = 1e6  # the same from one call of partial_fit to another, whose targets may be larger


class Start(NamedTuple):
    """What a call of fit or partial_fit continues from, and the sources of its random numbers."""

    incremental: bool  # whether it is a call of partial_fit: one epoch
    optimization: Optimization | None  # None for a new one
    records: Records
    random_state: np.random.RandomState
    mask_generator: np.random.Generator | None


def fit_stochastic(settings: StochasticSettings, problem: Problem, start: Start) -> Solution:
    """Return the layers that sgd or adam finds; the records of ``start`` are updated after every epoch."""
    fit = StochasticFit(settings, problem, start)
    samples, target, (weight, _) = problem.examples
    training_settings = Settings(
        backend=samples.backend,
        activations=problem.activations,
        objective=PenalizedLoss(problem.loss, problem.alpha),
        optimizer=fit.optimization.optimizer,
        epochs=fit.epochs,
        batch_size=fit.batch_size,
        rates=problem.rates,
        callbacks=[*fit.corrections, fit.monitor, *problem.callbacks],
        draw_order=fit.order.draw,
        may_diverge=True,
        rows=samples.rows,
    )
    training = Training(problem.layers, state=fit.optimization.state)
    try:
        train(training, training_settings, Dataset(samples.inputs, target, weight), None, start.mask_generator)
    except KeyboardInterrupt:
        message = "Training was interrupted: the model has the weights of the last finished epoch."
        warnings.warn(message, stacklevel=6)  # the line that called fit
        fit.monitor.finish(training)
    return fit.solution(training)


class StochasticFit:
    """A fit by sgd or adam: its optimizer, the order of its samples, and what is recorded after every epoch."""

    def __init__(self, settings: StochasticSettings, problem: Problem, start: Start) -> None:
        self.settings, self.problem, self.start = settings, problem, start
        samples, _, (weight, _) = problem.examples
        self.epochs = 1 if start.incremental else settings.max_iter
        self.batch_size = choose_batch_size(settings.batch_size, samples.count)
        self.optimization = start.optimization or begin_optimization(settings)
        self.monitor = Monitor(settings, problem, start.records, self.optimization)
        self.order = Order(samples.count, settings.shuffle, start.random_state)
        # Callbacks that correct the loss of an epoch before it is recorded.
        self.corrections: list[Callable[[Training], None]] = []
        if weight is not None and ((counts := samples.backend.to_numpy(weight)) <= 0.0).any():
            self.corrections.append(MeanOfWeightedBatches(self, counts))

    def solution(self, training: Training) -> Solution:
        """Return the solution of a finished training."""
        optimization = self.optimization._replace(state=training.state, learning_rate=self.monitor.learning_rate)
        attributes = vars(self.start.records) | {"_optimizer": optimization}
        return Solution(training.layers, attributes, _warning_of(self.settings, self.start, training.history))


def _warning_of(settings: StochasticSettings, start: Start, history: History) -> str | None:
    """Return a warning if training did not converge; raise a ValueError if no epoch has a finite validation score."""
    records, losses = start.records, history.loss
    remedy = "try a smaller learning_rate_init, or scale the data"
    if settings.early_stopping and losses and records.best_validation_score_ == -math.inf:
        raise ValueError(f"{settings.solver} diverged: no epoch has a validation score that is a finite number; {remedy}.")
    kept = ", and the model has the weights with the best validation score" if settings.early_stopping else ""
    for epoch, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            return (
                f"{settings.solver} diverged: the loss became NaN or infinite in epoch {epoch} of {len(losses)}{kept}; "
                f"{remedy}."
            )
    first, factor = (records.loss_curve_, DIVERGED_BETWEEN_CALLS) if start.incremental else (losses, DIVERGED)
    if losses and losses[-1] > factor * max(first[0], settings.tol):
        return f"{settings.solver} diverged: the loss rose from {first[0]:g} to {losses[-1]:g}{kept}; {remedy}."
    if records.n_iter_ == settings.max_iter and history.stop_reason is None and not start.incremental:
        return (
            f"{settings.solver} has not converged after max_iter={settings.max_iter} epochs: raise max_iter, or scale the data."
        )
    return None


class Order:
    """The order of the samples in each epoch: fixed, or the last one shuffled again with scikit-learn's random numbers."""

    def __init__(self, samples: int, shuffle: bool, random_state: np.random.RandomState) -> None:
        self.indices = np.arange(samples)
        self.shuffle, self.random_state = shuffle, random_state
        self.epoch = 0  # the number of the last one that was drawn

    @property
    def key(self) -> Any:
        """What is equal for orders that stay the same in all epochs."""
        _, numbers, position, *_ = self.random_state.get_state(legacy=True)
        return len(self.indices), (np.asarray(numbers).tobytes(), position) if self.shuffle else None

    def draw(self, *_: Any) -> np.ndarray:
        """Return the order of the next epoch; the generator, which draws the dropout masks, is not used."""
        if self.shuffle:
            drawn = np.arange(len(self.indices))
            self.random_state.shuffle(drawn)
            self.indices = self.indices[drawn]
        self.epoch += 1
        return self.indices

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch: the next one, or the last one again for another fit that shares it."""
        return self.draw() if epoch > self.epoch else self.indices


class MeanOfWeightedBatches:
    """A callback that leaves batches whose sample weights add up to zero, and whose error is zero, out of the mean loss."""

    def __init__(self, fit: StochasticFit, weight: np.ndarray) -> None:
        self.fit, self.weight, self.starts = fit, weight, np.arange(0, len(weight), fit.batch_size)

    def __call__(self, training: Training) -> None:
        """Correct the last loss."""
        samples = len(self.weight)
        weighted = np.add.reduceat(self.weight[self.fit.order.indices], self.starts) != 0.0
        counted = np.diff(np.append(self.starts, samples))[weighted].sum()
        training.history.loss[-1] *= float(samples / max(counted, 1))


def choose_batch_size(batch_size: int | str, samples: int) -> int:
    """Return how many samples a step takes: "auto" is 200, or all if there are fewer."""
    if isinstance(batch_size, str):
        return min(200, samples)
    if batch_size > samples:
        message = f"batch_size is {batch_size}, but there are only {samples} samples: every batch holds all of them."
        warnings.warn(message, stacklevel=8)  # the line that called fit
    return min(batch_size, samples)
