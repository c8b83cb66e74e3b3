"""The solvers sgd and adam as scikit-learn runs them: its shuffles, its learning rates, its rule when to stop."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.optimizers import Adam, Momentum, Nesterov
from portable_bp.backends import compiled
from portable_bp.estimators.objective import PenalizedLoss
from portable_bp.estimators.samples import Examples
from portable_bp.training import Data, Plan, Training, train
from portable_bp.training.step import begin, zero_error

SMALLEST_RATE = 1e-6  # an adaptive learning rate is lowered no further
LOWERED = 5.0


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


def choose_optimizer(model: Any) -> Steered:
    """Return the optimizer that a model's parameters name.

    Parameters
    ----------
    model : Perceptron
        Its solver is sgd or adam.
    """
    if model.solver == "adam":
        return Steered(Adam(1.0, model.beta_1, model.beta_2, model.epsilon, epsilon_corrected=False))
    return Steered((Nesterov if model.nesterovs_momentum else Momentum)(1.0, model.momentum))


@dataclass
class Optimization:
    """An optimizer under way, which `partial_fit` takes up again.

    Parameters
    ----------
    piece : Steered
        What updates the parameters.
    learning_rate : float
        The rate that its state has now.
    state : object
        What it remembers.
    """

    piece: Steered
    learning_rate: float
    state: Any = None


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
            f"batch_size is {batch_size}, and there are {samples} samples: every batch holds all of them.", stacklevel=2
        )
    return min(batch_size, samples)


def fit_stochastic(
    model: Any,
    activations: tuple[Any, ...],
    loss: Any,
    layers: Sequence[Layer],
    examples: Examples,
    rates: tuple[float, ...],
    callbacks: Sequence[Callable[[Training], Any]],
    measure: Callable[[Sequence[Layer]], tuple[float, float | None]] | None,
    incremental: bool,
) -> Sequence[Layer]:
    """Return the layers that sgd or adam arrives at; the model's attributes are kept after every epoch.

    Parameters
    ----------
    model : Perceptron
        Its parameters say how to learn.
    activations : tuple of activation
        One a layer.
    loss : loss
        What is made small, with the model's penalty.
    layers : sequence of Layer
        Where to start.
    examples : Examples
        What is learned from.
    rates : tuple of float
        The dropout rate of each hidden layer.
    callbacks : sequence of callable
        Called with the training after every epoch.
    measure : callable or None
        As `Rule` takes it.
    incremental : bool
        Whether one epoch more is wanted, with the optimizer as it was left.
    """
    samples = examples.samples
    backend = samples.backend
    if not incremental or model._optimizer is None:
        optimizer = choose_optimizer(model)
        state = compiled(backend, begin, optimizer)(layers).state
        rate = float(model.learning_rate_init)
        model._optimizer = Optimization(optimizer, rate, state._replace(rate=backend.asarray(rate)))
    optimization = model._optimizer
    rule = Rule(model, backend, optimization, samples.count, measure)
    plan = Plan(
        backend=backend,
        activations=activations,
        objective=PenalizedLoss(loss, float(model.alpha)),
        optimizer=optimization.piece,
        epochs=1 if incremental else model.max_iter,
        batch_size=choose_batch_size(model.batch_size, samples.count),
        rates=rates,
        callbacks=[rule, *callbacks],
        draw_order=Order(samples.count, model.shuffle),
        may_diverge=True,
        rows=samples.rows,
    )
    training = Training(layers, state=optimization.state)
    data = Data(samples.inputs, examples.target, examples.sample_weight)
    model.n_iter_ = 0
    try:
        train(training, plan, data, None, model._random_state)
    except KeyboardInterrupt:
        warnings.warn("Training was interrupted: the model is that of the last finished epoch.", stacklevel=2)
        rule.finish(training)
    optimization.state = training.state
    if model.n_iter_ == model.max_iter and training.history.stop_reason is None and not incremental:
        warnings.warn(
            f"{model.solver} made {model.max_iter} epochs without having converged: scale the data, or allow more with max_iter.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return training.layers


class Rule:
    """Scikit-learn's rule when to stop, or to lower the rate: called after every epoch, it keeps the model's attributes.

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
    measure : callable, optional
        Returns the score and, where it is wanted, the loss of layers on other samples; the score decides when to stop where
        early_stopping is on.
    """

    def __init__(
        self,
        model: Any,
        backend: Any,
        optimization: Optimization,
        samples: int,
        measure: Callable[[Sequence[Layer]], tuple[float, float | None]] | None,
    ) -> None:
        self.model, self.backend, self.optimization, self.samples = model, backend, optimization, samples
        self.measure = measure

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
            self._measure(training)
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

    def _measure(self, training: Training) -> None:
        model = self.model
        score, loss = self.measure(training.layers)
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
