"""Steps of many networks at once, ours and JAX's ``vmap`` of a step in ``scan`` in ``jit``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import portable_bp as bp
from scripts.benchmarking.cases import Case, draw
from scripts.benchmarking.check import WrongResultError
from scripts.benchmarking.contestants.jax_jit import written_in_jax
from scripts.benchmarking.rounds import Turn, by_host, measure

TOLERANCE = 1e-3  # of weights after an epoch, in float32


@dataclass(frozen=True)
class PopulationTask:
    """Networks that are trained at once, on the same batches."""

    case: Case
    members: int

    name = "populations"

    @property
    def title(self) -> str:
        """A name that is unique among all that is measured."""
        return f"population of {self.members:,}, {self.case.name}"


def _tasks(members: int, *steps: int) -> tuple[PopulationTask, ...]:
    """Return the task of each size of network, given how many batches the data hold."""
    sizes = ((2, 4, 3, 2), 4), ((16, 16, 4), 16), ((64, 32, 10), 32)
    return tuple(PopulationTask(Case(*size, count), members) for size, count in zip(sizes, steps, strict=True))


TASKS = _tasks(1000, 512, 256, 64)
TASKS_ON_GPU = _tasks(4096, 8192, 2048, 512)  # an epoch takes at least some 20 ms there, and fetching its losses 1 ms
REHEARSED_TASKS = _tasks(8, 16, 8, 8)


class Ours:
    """portable_bp, whose members see the same batches."""

    def __init__(self, task: PopulationTask, flag: str) -> None:
        self.name, self.case, self.data = f"portable_bp {flag}", task.case, draw(task.case)
        kinds = self.case.pieces.activation, self.case.pieces.output_activation
        self.network = bp.Network(self.case.sizes, *kinds, backend=flag, seed=0, population=task.members)

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight and bias."""
        return [self.network.backend.to_numpy(parameter) for layer in self.network.layers for parameter in layer]

    def epochs(self, count: int) -> None:
        """Train on all batches that many times."""
        pieces = self.case.pieces
        self.network.fit(
            self.data.x,
            self.data.target,
            pieces.loss,
            pieces.optimizer,
            self.case.learning_rate,
            count,
            self.case.batch,
            seed=0,
            shared_order=True,
        )


class JaxScan:
    """A step in JAX of all members, in one compiled call for all batches, which are ready."""

    name = "JAX vmap in scan"

    def __init__(self, ours: Ours, precision: str | None) -> None:
        import jax

        case, data, self.jax = ours.case, ours.data, jax
        # Ours shuffles: these are its batches of the first epoch.
        order = np.random.default_rng(0).permutation(len(data.x)).reshape(case.steps, case.batch)
        self.batches = [jax.numpy.asarray(array[order]) for array in (data.x, data.target)]
        parameters = map(jax.numpy.asarray, ours.parameters())
        layers = list(zip(parameters, parameters, strict=True))  # a weight and a bias each
        _, step = written_in_jax(case, precision)
        members = (0, None, None, None)  # the axis of each part of the state; sgd has no averages and counts nothing
        step_of_all = jax.vmap(step, in_axes=(members, None, None), out_axes=members)
        self.run = jax.jit(
            lambda state, batches: jax.lax.scan(lambda state, batch: (step_of_all(state, *batch), None), state, batches)[0]
        )
        self.state = (layers, (), (), jax.numpy.zeros((), "float32"))

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight and bias."""
        return [np.asarray(parameter) for layer in self.state[0] for parameter in layer]

    def epochs(self, count: int) -> None:
        """Train on all batches that many times."""
        for _ in range(count):
            self.state = self.run(self.state, self.batches)
        self.jax.block_until_ready(self.state)


def population_times(rounds: int, tasks: tuple[PopulationTask, ...] = TASKS) -> list[dict[str, Any]]:
    """Return what was measured of each task on NumPy, and in JAX where it is installed."""
    precisions = {None} if importlib.util.find_spec("jax") else set()
    return [measure_steps(task, "numpy", rounds, precisions) for task in tasks]


def measure_steps(task: PopulationTask, flag: str, rounds: int, precisions: Iterable[str | None]) -> dict[str, Any]:
    """Return the seconds of a step of all members, one a round, on a backend, and in JAX with some precisions of products."""
    case, ours = task.case, Ours(task, flag)
    contestants: list[Any] = [ours, *(JaxScan(ours, precision) for precision in precisions)]
    for each in contestants:
        each.epochs(1)
    require_same(case, {each.name: each.parameters() for each in contestants})
    turns = {each.name: Turn(_steps(each.epochs, case), case.steps, case.steps) for each in contestants}
    seconds = by_host(measure(turns, rounds, task.title))
    return {"network": case.name, "batch": case.batch, "members": task.members, "seconds": seconds}


def require_same(case: Case, parameters: dict[str, list[np.ndarray]]) -> None:
    """Raise WrongResultError where contestants have learned something else from the same batches."""
    (first, mine), *others = parameters.items()
    for name, theirs in others:
        for one, other in zip(mine, theirs, strict=True):
            if not np.allclose(one, other, TOLERANCE, TOLERANCE):
                raise WrongResultError(f"{name} has other weights than {first} after an epoch of {case.name}")


def _steps(epochs: Callable[[int], None], case: Case) -> Callable[[int], None]:
    return lambda count: epochs(count // case.steps)
