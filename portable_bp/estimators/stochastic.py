"""The solvers sgd and adam, as scikit-learn runs them: its batches, in the order of its shuffles."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.optimizers import Adam, Momentum, Nesterov, Steered
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.objective import PenalizedLoss
from portable_bp.estimators.problem import Problem
from portable_bp.estimators.stopping import Optimization, Records
from portable_bp.training import Data, History, Plan, Training, train
from portable_bp.training.step import begin_state

DIVERGED = 10.0  # a loss that ends so many times as high as it began has diverged
DIVERGED_BETWEEN_CALLS = 1e6  # the same from one call of partial_fit to another, whose targets may be larger


def fit_stochastic(model: Any, problem: Problem, incremental: bool) -> tuple[Sequence[Layer], str | None]:
    """Return the layers that sgd or adam arrives at, and what to warn of; the model's attributes are kept after every epoch.

    Parameters
    ----------
    model : Perceptron
        Its parameters say how to learn.
    problem : Problem
        What to learn.
    incremental : bool
        Whether one epoch more is wanted, with the optimizer as it was left.
    """
    samples, target, (weight, _) = problem.examples
    before = model._optimizer if incremental else None
    optimization = before or begin_optimization(model, samples.backend, problem.layers)
    records = Records(model, samples, problem.validation, optimization)
    order = Order(samples.count, model.shuffle, model._random_state)
    batch_size = choose_batch_size(model.batch_size, samples.count)
    callbacks = [records, *problem.callbacks]
    if weight is not None and ((counts := samples.backend.to_numpy(weight)) <= 0.0).any():
        callbacks.insert(0, LossOfWeighed(order, counts, batch_size))
    plan = Plan(
        backend=samples.backend,
        activations=problem.activations,
        objective=PenalizedLoss(problem.loss, problem.alpha),
        optimizer=optimization.optimizer,
        epochs=1 if incremental else model.max_iter,
        batch_size=batch_size,
        rates=problem.rates,
        callbacks=callbacks,
        draw_order=order.draw,
        may_diverge=True,
        rows=samples.rows,
    )
    training = Training(problem.layers, state=optimization.state)
    model.n_iter_ = 0
    try:
        train(training, plan, Data(samples.inputs, target, weight), None, model._mask_generator)
    except KeyboardInterrupt:
        warnings.warn("Training was interrupted: the model is that of the last finished epoch.", stacklevel=5)
        records.finish(training)
    model._optimizer = optimization._replace(state=training.state, learning_rate=records.learning_rate)
    return training.layers, _find_doubts(model, training.history, incremental)


def _find_doubts(model: Any, history: History, incremental: bool) -> str | None:
    """Return what is to be said of a training that did not converge.

    Raises
    ------
    ValueError
        If there is no validation score to choose weights by.
    """
    remedy = "try a smaller learning_rate_init, or scale the data"
    losses = history.loss
    if model.early_stopping and losses and model.best_validation_score_ == -math.inf:
        raise ValueError(f"{model.solver} diverged: no epoch has a validation score that is a finite number; {remedy}.")
    kept = ", and the model has the weights of the best validation score" if model.early_stopping else ""
    for epoch, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            return (
                f"{model.solver} diverged: the loss became NaN or infinite in epoch {epoch} of {len(losses)}{kept}; {remedy}."
            )
    began, most = (model.loss_curve_, DIVERGED_BETWEEN_CALLS) if incremental else (losses, DIVERGED)
    if losses and losses[-1] > most * max(began[0], model.tol):
        return f"{model.solver} diverged: the loss rose from {began[0]:g} to {losses[-1]:g}{kept}; {remedy}."
    if model.n_iter_ == model.max_iter and history.stop_reason is None and not incremental:
        return f"{model.solver} made {model.max_iter} epochs and has not converged: scale the data, or raise max_iter."
    return None


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
    rate = float(model.learning_rate_init)
    if model.solver == "adam":
        schedule = "constant"
        optimizer = Adam(rate, model.beta_1, model.beta_2, model.epsilon, epsilon_corrected=False)
    else:
        schedule = model.learning_rate
        optimizer = (Nesterov if model.nesterovs_momentum else Momentum)(rate, model.momentum)
    steered = Steered(optimizer)
    state = compiled(backend, begin_state, steered)(layers)
    return Optimization(steered, state, rate, schedule, float(model.power_t))


class Order:
    """The order of the samples in each epoch: that of the epoch before, shuffled anew, or always the same.

    The random numbers are scikit-learn's, and not those of the dropout masks, which the training draws.
    """

    def __init__(self, samples: int, shuffled: bool, random_state: np.random.RandomState) -> None:
        self.numbers = np.arange(samples)
        self.shuffled, self.random_state = shuffled, random_state

    def draw(self, generator: Any, samples: int, batch_size: int) -> np.ndarray:
        """Return the order of the next epoch."""
        if self.shuffled:
            drawn = np.arange(samples)
            self.random_state.shuffle(drawn)
            self.numbers = self.numbers[drawn]
        return self.numbers


class LossOfWeighed:
    """A callback that leaves batches whose sample weights add up to zero out of the mean loss; their error is zero."""

    def __init__(self, order: Order, weight: np.ndarray, batch_size: int) -> None:
        self.order, self.weight, self.starts = order, weight, np.arange(0, len(weight), batch_size)

    def __call__(self, training: Training) -> None:
        """Correct the last loss."""
        samples = len(self.weight)
        weighed = np.add.reduceat(self.weight[self.order.numbers], self.starts) != 0.0
        counted = np.diff(np.append(self.starts, samples))[weighed].sum()
        training.history.loss[-1] *= float(samples / max(counted, 1))


def choose_batch_size(batch_size: int | str, samples: int) -> int:
    """Return how many samples a step takes.

    Parameters
    ----------
    batch_size : int or "auto"
        "auto" is 200, or all samples where they are fewer.
    samples : int
        How many there are.
    """
    if isinstance(batch_size, str):
        return min(200, samples)
    if batch_size > samples:
        warnings.warn(
            f"batch_size is {batch_size}, and there are {samples} samples: every batch holds all of them.", stacklevel=6
        )
    return min(batch_size, samples)
