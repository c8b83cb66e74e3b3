"""Several fits by sgd or adam, trained at once as the members of one population.

Each has its own random numbers, optimizer numbers, records and end, as if it were trained alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.algorithm.optimizers import Steered, SteeredState
from portable_bp.backends import Backend, compiled
from portable_bp.common.trees import leaves, map_leaves, zip_leaves
from portable_bp.estimators.objective import PenalizedLoss
from portable_bp.estimators.samples import DeviceSamples, Examples, HostSamples
from portable_bp.estimators.stochastic import StochasticFit
from portable_bp.training import Dataset, PopulationHistory, Settings, Training, train


class Member:
    """A fit as a member of a population: the generator of its batches, and its training as its monitor sees it."""

    def __init__(self, fit: StochasticFit, first_row: int) -> None:
        """Take a fit, and the row at which its samples begin in the data of the population."""
        self.fit, self.first_row = fit, first_row
        self.training = Training(fit.problem.layers)

    def draw_order(self, samples: int, batch_size: int) -> np.ndarray:
        """Return the row numbers of the next epoch's samples; those of a member that has ended no longer matter."""
        return self.fit.order.of_epoch(self.training.epoch + 1) + self.first_row

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the random numbers of a dropout mask."""
        generator = self.fit.start.mask_generator
        assert generator is not None
        return generator.random(shape)

    def changes_rate(self, loss: float, layers: Sequence[Any]) -> bool:
        """Record an epoch, and return whether the learning rate is another one."""
        self.training.layers = layers
        self.training.history.record(loss, None)
        for correct in self.fit.corrections:
            correct(self.training)
        return self.fit.monitor.changes_rate(self.training)

    def finish(self, layers: Sequence[Any], state: SteeredState, updates: int) -> Training:
        """Return the finished training, given the member's part of the population after that many updates."""
        count = self.fit.problem.examples.samples.backend.asarray(updates, "int32")
        self.training.layers, self.training.state = layers, _with_count(state, count)
        self.fit.monitor.finish(self.training)
        return self.training


class Watch:
    """A callback of the population that calls the monitors of the members, and ends the members that they end."""

    def __init__(self, backend: Backend, members: Sequence[Member]) -> None:
        self.backend, self.members = backend, members
        self.needs_layers = any(member.fit.problem.validation is not None for member in members)

    def __call__(self, training: Training) -> None:
        """Record an epoch of every member that it trained."""
        losses, changes_rate = training.history.loss[-1], False
        layers = _unstacked(self.backend, training.layers) if self.needs_layers else [()] * len(self.members)
        ended = np.zeros(len(self.members), bool)
        for number in np.flatnonzero(training.was_trained).tolist():
            member = self.members[number]
            changes_rate |= member.changes_rate(float(losses[number]), layers[number])
            ended[number] = member.training.history.has_ended
        if ended.any():
            training.stop("the monitor of the member ended it", ended)
        if changes_rate:
            rates = [member.fit.monitor.learning_rate for member in self.members]
            training.state = training.state._replace(rate=self.backend.asarray(rates))


def train_population(fits: Sequence[StochasticFit], repeats: int = 1) -> list[Training]:
    """Return the finished trainings of networks of the same sizes on as many samples, in batches of the same size.

    How many such populations there are decides how the steps are compiled.
    """
    first = fits[0]
    problem, samples = first.problem, first.problem.examples.samples.count
    backend = problem.examples.samples.backend
    pool = Pool([fit.problem.examples for fit in fits])
    members = tuple(map(Member, fits, pool.first_rows))
    shares_rows = all(fit.order is first.order for fit in fits) and not any(pool.first_rows)
    training_settings = Settings(
        backend=backend,
        activations=problem.activations,
        objective=PenalizedLoss(problem.loss, _shared([fit.problem.alpha for fit in fits])),
        optimizer=_optimizer_of(fits),
        epochs=first.epochs,
        batch_size=first.batch_size,
        rates=tuple(_shared(rates) for rates in zip(*(fit.problem.rates for fit in fits), strict=True)),
        callbacks=[Watch(backend, members)],
        draw_order=first.order.draw if shares_rows else Member.draw_order,
        may_diverge=True,
        rows=pool.samples.rows,
        shared_order=shares_rows,
        samples=samples,
        repeats=repeats,
    )
    state, updates = _stacked_states(backend, [fit.optimization.state for fit in fits])
    batches = math.ceil(samples / first.batch_size)
    layers = _stacked(backend, [fit.problem.layers for fit in fits])
    training = Training(layers, history=PopulationHistory(len(fits)), state=state)
    train(training, training_settings, pool.dataset, None, members)
    ends = zip(_unstacked(backend, training.layers), _unstacked(backend, _with_count(training.state, None)), strict=True)
    return [
        member.finish(layers, state, updates + batches * member.training.epoch)
        for member, (layers, state) in zip(members, ends, strict=True)
    ]


def _stacked_states(backend: Backend, states: Sequence[SteeredState | None]) -> tuple[SteeredState | None, int]:
    """Return the state of a population, and the number of updates before; None and 0 unless partial_fit continues."""
    known = [state for state in states if state is not None]
    if not known:
        return None, 0
    count = known[0].inner.count  # the same for all members
    state = _stacked(backend, [_with_count(state, None) for state in known])
    return _with_count(state, count), int(backend.to_numpy(count))


class Pool:
    """The data of a population: each of its data sets once, one below the other."""

    def __init__(self, members: Sequence[Examples]) -> None:
        # Members with the same samples have the same targets and weights.
        distinct = list({id(examples.samples): examples for examples in members}.values())
        rows = {id(examples.samples): number * examples.samples.count for number, examples in enumerate(distinct)}
        self.first_rows = [rows[id(examples.samples)] for examples in members]
        self.samples, backend = distinct[0].samples, distinct[0].samples.backend
        if len(distinct) > 1:
            self.samples = _joined_samples([examples.samples for examples in distinct])
        target, weight = (
            _joined(backend, arrays)
            for arrays in ([each.target for each in distinct], [each.sample_weight.array for each in distinct])
        )
        self.dataset = Dataset(self.samples.inputs, target, weight)


def _joined_samples(parts: Sequence[Any]) -> Any:
    """Return the samples of several data sets, one below the other."""
    backend = parts[0].backend
    if isinstance(parts[0], DeviceSamples):
        return DeviceSamples(_joined(backend, [part.inputs for part in parts]), backend)
    return HostSamples(scipy.sparse.vstack([part.matrix for part in parts], format="csr"), backend)


def _joined(backend: Backend, arrays: Sequence[Any]) -> Any:
    """Return arrays one below the other; None if they are None."""
    if len(arrays) == 1 or arrays[0] is None:
        return arrays[0]
    return compiled(backend, _concatenate)(list(arrays))


def _concatenate(arrays: Sequence[Array]) -> Array:
    return namespace(arrays[0]).concat(arrays, axis=0)


def _with_count(state: SteeredState, count: Array | None) -> SteeredState:
    """Return a state with another count of updates, which alone has no axis of members."""
    return state._replace(inner=state.inner._replace(count=count))


def _stacked(backend: Backend, trees: Sequence[Any]) -> Any:
    """Return the nested arrays of the members, with a leading axis of members."""
    stack = compiled(backend, _stack)
    return zip_leaves(lambda *arrays: stack(list(arrays)), *trees)


def _unstacked(backend: Backend, tree: Any) -> list[Any]:
    """Return the nested arrays of each member."""
    columns = [compiled(backend, _split)(array) for array in leaves(tree)]
    return [_filled(tree, own) for own in zip(*columns, strict=True)]


def _filled(tree: Any, arrays: Sequence[Array]) -> Any:
    """Return arrays, in order, nested as those of a tree are."""
    rest = iter(arrays)
    return map_leaves(lambda _: next(rest), tree)


def _stack(arrays: Sequence[Array]) -> Array:
    return namespace(arrays[0]).stack(arrays, axis=0)


def _split(array: Array) -> list[Array]:
    return [array[number, ...] for number in range(array.shape[0])]


def _shared(numbers: Sequence[float]) -> float | tuple[float, ...]:
    """Return a number that all members share, or the numbers of the members."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def _optimizer_of(fits: Sequence[StochasticFit]) -> Steered:
    """Return the optimizer of the population, with the numbers of the members."""
    each = [fit.optimization.optimizer.optimizer for fit in fits]
    numbers = {name: _shared([getattr(own, name) for own in each]) for name in vars(each[0])}
    # Rates that a schedule may change one by one.
    rates = tuple(own.learning_rate for own in each)
    return Steered(type(each[0])(**numbers | {"learning_rate": rates}))
