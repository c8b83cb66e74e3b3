"""The solvers sgd and adam, as scikit-learn runs them: its batches, in the order of its shuffles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from portable_bp.algorithm.arrays import Layer
from portable_bp.estimators.objective import PenalizedLoss, Problem
from portable_bp.estimators.steered import begin_optimization
from portable_bp.estimators.stopping import Rule
from portable_bp.training import Data, Plan, Training, train


@dataclass
class Order:
    """The order of the samples: shuffled anew at every epoch from that of the one before, or always the same.

    Parameters
    ----------
    samples : int
        How many there are.
    shuffled : bool
        Whether it changes.
    """

    samples: int
    shuffled: bool
    order: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.order = np.arange(self.samples)

    def __call__(self, random_state: np.random.RandomState, samples: int, batch_size: int) -> np.ndarray:
        """Return the order of an epoch."""
        if self.shuffled:
            drawn = np.arange(samples)
            random_state.shuffle(drawn)
            self.order = self.order[drawn]
        return self.order


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
    backend = samples.backend
    if not incremental or model._optimizer is None:
        model._optimizer = begin_optimization(model, backend, problem.layers)
    optimization = model._optimizer
    rule = Rule(model, backend, optimization, samples.count, problem.measure)
    plan = Plan(
        backend=backend,
        activations=problem.activations,
        objective=PenalizedLoss(problem.loss, float(model.alpha)),
        optimizer=optimization.piece,
        epochs=1 if incremental else model.max_iter,
        batch_size=choose_batch_size(model.batch_size, samples.count),
        rates=problem.rates,
        callbacks=[rule, *problem.callbacks],
        draw_order=Order(samples.count, model.shuffle),
        may_diverge=True,
        rows=samples.rows,
    )
    training = Training(problem.layers, state=optimization.state)
    model.n_iter_ = 0
    try:
        train(training, plan, Data(samples.inputs, target, sample_weight), None, model._random_state)
    except KeyboardInterrupt:
        warnings.warn("Training was interrupted: the model is that of the last finished epoch.", stacklevel=5)
        rule.finish(training)
    optimization.state = training.state
    if model.n_iter_ == model.max_iter and training.history.stop_reason is None and not incremental:
        warnings.warn(
            f"{model.solver} made {model.max_iter} epochs and has not converged: scale the data, or raise max_iter.",
            ConvergenceWarning,
            stacklevel=5,
        )
    return training.layers
