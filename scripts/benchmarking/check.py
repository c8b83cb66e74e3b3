"""Check every contestant against float64 before it is timed: its parameters after a few steps, and its predictions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS, softmax
from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.algorithm.propagation import forward, propagate
from portable_bp.backends.graph.loop import MIN_STEPS
from scripts.benchmarking.cases import Case, CaseData
from scripts.benchmarking.contestants import Contestant, Floor
from scripts.benchmarking.contestants.contestant import shuffled_rows

REPLAYED = MIN_STEPS + 1  # steps after which ours replays a recorded step, as it does while it is timed
# Adam divides slopes by their size: where they are close to zero, rounding decides, and more of it with every step.
TOLERANCES = {"sgd": 0.001, "adam": 0.05}
PREDICTION_TOLERANCE = 0.001
# With the factors of products rounded to TF32's 10 bits or bfloat16's 7, and all else exact, steps of SGD end about 0.00013 and
# 0.0015 away. At least five times that is allowed; no contestant that does something else comes near.
PRECISION_FACTORS = {"float32": 1.0, "tf32": 1.0, "mixed": 8.0}


class WrongResultError(Exception):
    """A contestant computes something else than the others, so that timing it would be meaningless."""


class Reference:
    """A case trained in float64, by calling the algorithm's functions one after the other."""

    def __init__(self, case: Case, data: CaseData, output_activation: str, flag: str = "numpy") -> None:
        pieces, depth = case.pieces, len(data.weights)
        self.data, self.backend = data, bp.select_backend(flag, "float64")
        self.layers = self.to_layers([*data.weights, *data.biases])
        self.activations = [ACTIVATIONS[pieces.activation]()] * (depth - 1) + [ACTIVATIONS[output_activation]()]
        self.loss = LOSSES[pieces.loss]()
        self.optimizer = type(OPTIMIZERS[pieces.optimizer]())(case.learning_rate)

    def to_layers(self, parameters: list[np.ndarray]) -> list[Layer]:
        """Return layers in float64, given each layer's weight, then each layer's bias."""
        arrays, depth = [self.backend.asarray(each) for each in parameters], len(parameters) // 2
        return [Layer(weight, bias) for weight, bias in zip(arrays[:depth], arrays[depth:], strict=True)]

    def learn(self, batches: Iterable[np.ndarray]) -> None:
        """Take a step for each batch, given as row numbers, from a new state of the optimizer."""
        state = self.optimizer.init(self.layers)
        for rows in batches:
            x, target = self.data.x[rows], self.data.target[rows]
            target = self.backend.asarray(target, "int32" if target.dtype.kind == "i" else None)
            passed = propagate(self.activations, self.loss, self.layers, self.backend.asarray(x), target)
            self.layers, state = self.optimizer.update(passed.gradient, state, self.layers)

    def distance(self, layers: list[Layer]) -> float:
        """Return the distance of layers from the reference, relative to the reference's distance from its start."""
        start = self.to_layers([*self.data.weights, *self.data.biases])
        return (_squares(layers, self.layers) / _squares(start, self.layers)) ** 0.5


def _squares(some: list[Layer], others: list[Layer]) -> float:
    pairs = zip(some, others, strict=True)
    differences = (getattr(one, part) - getattr(other, part) for one, other in pairs for part in Layer._fields)
    return sum(float((each**2).sum()) for each in differences)


class References:
    """The references of a case, one for each kind of contestant, each computed once."""

    def __init__(self, case: Case, data: CaseData, flag: str = "numpy") -> None:
        self.case, self.data, self.flag = case, data, flag
        self.known: dict[tuple[Any, ...], Reference] = {}

    def of(self, contestant: Contestant) -> Reference:
        """Return the reference that takes the same steps as the check of a contestant."""
        gathers, whole = contestant.epoch is not None, contestant.whole_epochs
        kind = gathers, whole, contestant.output_activation
        if kind not in self.known:
            reference = Reference(self.case, self.data, contestant.output_activation, self.flag)
            ready = [] if whole else np.split(np.arange(self.case.batch * 2), 2)
            shuffled = shuffled_rows(self.case, REPLAYED if whole else 2) if gathers else []
            reference.learn([*ready, *shuffled])
            self.known[kind] = reference
        return self.known[kind]


def check(contestant: Contestant, references: References | None = None) -> float:
    """Train a new contestant for a few steps, and return its distance from float64, relative to how far float64 has moved.

    Raises WrongResultError if that distance, or the error of a prediction, is too large. If no references are given, they are
    computed from the contestant's data.
    """
    if isinstance(contestant, Floor):
        return 0.0
    case = contestant.case
    reference = (references or References(case, contestant.data)).of(contestant)
    if contestant.whole_epochs:
        with always_compiled():
            contestant.epoch(REPLAYED)
    else:
        contestant.steps(2)
        if contestant.epoch is not None:
            contestant.epoch(2)
    layers = reference.to_layers(contestant.parameters())
    distance = reference.distance(layers)
    if not distance < TOLERANCES[case.pieces.optimizer] * PRECISION_FACTORS[case.precision]:
        raise WrongResultError(f"{contestant.name} is {distance:.1%} away from float64 after its first steps of {case.name}.")
    if contestant.predict is not None:
        _check_prediction(contestant, reference, layers)
    return distance


@contextlib.contextmanager
def always_compiled() -> Iterator[None]:
    """Compile even a few steps, as the many that are timed will be."""
    before = os.environ.get("PORTABLE_BP_COMPILE")
    os.environ.setdefault("PORTABLE_BP_COMPILE", "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ["PORTABLE_BP_COMPILE"]


def _check_prediction(contestant: Contestant, reference: Reference, layers: list[Layer]) -> None:
    """Raise if a contestant's prediction differs from what its own parameters give in float64."""
    case = contestant.case
    x = contestant.data.x[: case.batch]
    out = reference.backend.to_numpy(forward(reference.activations, layers, reference.backend.asarray(x))[-1].out)
    expected = softmax(out) if contestant.predicts_probabilities else out
    farthest = float(np.abs(contestant.predict(contestant.asarray(x)) - expected).max() / np.abs(expected).max())
    if not farthest < PREDICTION_TOLERANCE * PRECISION_FACTORS[case.precision]:
        raise WrongResultError(f"{contestant.name} has predictions that are {farthest:.1%} away from float64 for {case.name}.")
