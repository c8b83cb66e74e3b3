"""The solvers sgd and adam, as scikit-learn runs them: its batches, in the order of its shuffles."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.optimizers import Adam, Momentum, Nesterov, Steered
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.objective import PenalizedLoss
from portable_bp.estimators.problem import Problem
from portable_bp.estimators.stopping import Optimization, Records
from portable_bp.training import Data, Plan, Training, train
from portable_bp.training.step import begin_state


def fit_stochastic(model: Any, problem: Problem, incremental: bool) -> Sequence[Layer]:
    """Return the layers that sgd or adam arrives at; the model's attributes are kept after every epoch.

    Parameters
    ----------
    model : Perceptron
        Its parameters say how to learn.
    problem : Problem
        What to learn.
    incremental : bool
        Whether one epoch more is wanted, with the optimizer as it was left.
    """
    samples, target, sample_weight = problem.examples
    before = model._optimizer if incremental else None
    optimization = before or begin_optimization(model, samples.backend, problem.layers)
    records = Records(model, samples, problem.validation, optimization)
    plan = Plan(
        backend=samples.backend,
        activations=problem.activations,
        objective=PenalizedLoss(problem.loss, float(model.alpha)),
        optimizer=optimization.optimizer,
        epochs=1 if incremental else model.max_iter,
        batch_size=choose_batch_size(model.batch_size, samples.count),
        rates=problem.rates,
        callbacks=[records, *problem.callbacks],
        draw_order=ordered(samples.count, model.shuffle),
        may_diverge=True,
        rows=samples.rows,
    )
    training = Training(problem.layers, state=optimization.state)
    model.n_iter_ = 0
    try:
        train(training, plan, Data(samples.inputs, target, sample_weight), None, model._random_state)
    except KeyboardInterrupt:
        warnings.warn("Training was interrupted: the model is that of the last finished epoch.", stacklevel=5)
        records.finish(training)
    model._optimizer = optimization._replace(state=training.state, learning_rate=records.learning_rate)
    if model.n_iter_ == model.max_iter and training.history.stop_reason is None and not incremental:
        warnings.warn(
            f"{model.solver} made {model.max_iter} epochs and has not converged: scale the data, or raise max_iter.",
            ConvergenceWarning,
            stacklevel=5,
        )
    return training.layers


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


def ordered(samples: int, shuffled: bool) -> Callable[[Any, int, int], np.ndarray]:
    """Return what gives each epoch's order of the samples: that of the epoch before, shuffled anew, or always the same.

    Parameters
    ----------
    samples : int
        How many there are.
    shuffled : bool
        Whether it changes.
    """
    order = np.arange(samples)

    def draw_order(random_state: np.random.RandomState, samples: int, batch_size: int) -> np.ndarray:
        nonlocal order
        if shuffled:
            drawn = np.arange(samples)
            random_state.shuffle(drawn)
            order = order[drawn]
        return order

    return draw_order


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
