"""Steps of a thousand networks at once, ours on NumPy and JAX's ``vmap`` of a step in ``scan`` in ``jit``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import portable_bp as bp
from scripts.benchmarking.cases import Case, draw
from scripts.benchmarking.check import WrongResultError
from scripts.benchmarking.contestants.jax_jit import written_in_jax
from scripts.benchmarking.rounds import Turn, by_host, measure

MEMBERS = 1000
CASES = (Case((2, 4, 3, 2), 4, 512), Case((16, 16, 4), 16, 256), Case((64, 32, 10), 32, 64))
TOLERANCE = 1e-3  # of weights after an epoch, in float32


class Ours:
    """portable_bp, whose members see the same batches."""

    name = "portable_bp numpy"

    def __init__(self, case: Case, members: int) -> None:
        self.case, self.data = case, draw(case)
        kinds = case.pieces.activation, case.pieces.output_activation
        self.network = bp.Network(case.sizes, *kinds, backend="numpy", seed=0, population=members)

    def parameters(self) -> list[Any]:
        """Return each layer's weight and bias."""
        return [parameter for layer in self.network.layers for parameter in layer]

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

    def __init__(self, case: Case, ours: Ours) -> None:
        import jax

        data, self.jax = ours.data, jax
        # Ours shuffles: these are its batches of the first epoch.
        order = np.random.default_rng(0).permutation(len(data.x)).reshape(case.steps, case.batch)
        self.batches = [jax.numpy.asarray(array[order]) for array in (data.x, data.target)]
        layers = [tuple(map(jax.numpy.asarray, layer)) for layer in ours.network.layers]
        _, step = written_in_jax(case, None)
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


def population_times(rounds: int, members: int = MEMBERS, cases: tuple[Case, ...] = CASES) -> list[dict[str, Any]]:
    """Return the seconds of a step of all members, one a round, for each case."""
    found = []
    for case in cases:
        ours = Ours(case, members)
        contestants: list[Any] = [ours, *([JaxScan(case, ours)] if importlib.util.find_spec("jax") else [])]
        for each in contestants:
            each.epochs(1)
        require_same(case, {each.name: each.parameters() for each in contestants})
        turns = {each.name: Turn(_steps(each.epochs, case), case.steps, case.steps) for each in contestants}
        seconds = by_host(measure(turns, rounds, f"{members} of {case.name}"))
        found.append({"network": case.name, "batch": case.batch, "members": members, "seconds": seconds})
    return found


def require_same(case: Case, parameters: dict[str, list[np.ndarray]]) -> None:
    """Raise WrongResultError where contestants have learned something else from the same batches."""
    (first, mine), *others = parameters.items()
    for name, theirs in others:
        for one, other in zip(mine, theirs, strict=True):
            if not np.allclose(one, other, TOLERANCE, TOLERANCE):
                raise WrongResultError(f"{name} has other weights than {first} after an epoch of {case.name}")


def _steps(epochs: Callable[[int], None], case: Case) -> Callable[[int], None]:
    return lambda count: epochs(count // case.steps)
