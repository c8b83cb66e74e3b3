"""Every contestant's result is held against float64 before it is timed: what it learns in some steps, and what it predicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS, softmax
from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.algorithm.propagation import forward, propagate
from portable_bp.backends.recorded.player import FEW
from scripts.benchmarking.cases import Case, Data
from scripts.benchmarking.contestants import Contestant, Floor, Ours
from scripts.benchmarking.contestants.contestant import shuffled_rows

PLAYED = FEW + 1  # so many steps that ours is played, as it is while it is timed
# Adam divides slopes by their size: where they are close to zero, rounding decides, and more of it with every step.
ALLOWED = {"sgd": 0.001, "adam": 0.05}
ALLOWED_PREDICTION = 0.001
# With factors of products rounded to TF32's 10 bits or to bfloat16's 7, and all else exact, steps of SGD end some 0.00013 and
# 0.0015 away, and at least five times that is allowed; nobody who does something else comes near.
ROUNDED = {"float32": 1.0, "tf32": 1.0, "mixed": 8.0}


class WrongResultError(Exception):
    """A contestant does something else than the others: timing it would mean nothing."""


class Reference:
    """A case in float64: the algorithm's functions, called one after the other.

    Parameters
    ----------
    case : Case
        What to train.
    data : Data
        On what, and from where.
    output_activation : str
        Of the network.
    flag : str
        The backend that computes it.
    """

    def __init__(self, case: Case, data: Data, output_activation: str, flag: str = "numpy") -> None:
        pieces, depth = case.pieces, len(data.weights)
        self.data, self.backend = data, bp.select_backend(flag, "float64")
        self.layers = self.placed([*data.weights, *data.biases])
        self.activations = [ACTIVATIONS[pieces.activation]()] * (depth - 1) + [ACTIVATIONS[output_activation]()]
        self.loss = LOSSES[pieces.loss]()
        self.optimizer = type(OPTIMIZERS[pieces.optimizer]())(case.learning_rate)
        self.state = self.optimizer.init(self.layers)

    def placed(self, parameters: list[np.ndarray]) -> list[Layer]:
        """Return layers in float64, where they are given as each layer's weight, then each layer's bias."""
        places, depth = [self.backend.asarray(each) for each in parameters], len(parameters) // 2
        return [Layer(weight, bias) for weight, bias in zip(places[:depth], places[depth:], strict=True)]

    def learn(self, batches: Iterable[np.ndarray]) -> None:
        """Take a step for each batch, given as row numbers."""
        for rows in batches:
            x, target = self.data.x[rows], self.data.target[rows]
            target = self.backend.asarray(target, "int32" if target.dtype.kind == "i" else None)
            passed = propagate(self.activations, self.loss, self.layers, self.backend.asarray(x), target)
            self.layers, self.state = self.optimizer.update(passed.gradient, self.state, self.layers)

    def distance(self, layers: list[Layer]) -> float:
        """Return how far layers are from these, relative to the way that these have gone."""
        begun = self.placed([*self.data.weights, *self.data.biases])
        return (_squares(layers, self.layers) / _squares(begun, self.layers)) ** 0.5


def _squares(some: list[Layer], others: list[Layer]) -> float:
    pairs = zip(some, others, strict=True)
    differences = (getattr(one, part) - getattr(other, part) for one, other in pairs for part in Layer._fields)
    return sum(float((each**2).sum()) for each in differences)


class References:
    """What float64 learns of a case in the steps by which contestants are checked: each computed once.

    Parameters
    ----------
    case : Case
        What is trained, at any precision.
    data : Data
        On what, and from where.
    flag : str
        The backend that computes it.
    """

    def __init__(self, case: Case, data: Data, flag: str = "numpy") -> None:
        self.case, self.data, self.flag = case, data, flag
        self.known: dict[tuple[Any, ...], Reference] = {}

    def of(self, contestant: Contestant) -> Reference:
        """Return the one that has taken the steps of a contestant that is checked."""
        gathers, only = contestant.epoch is not None, isinstance(contestant, Ours)
        kind = gathers, only, contestant.output_activation
        if kind not in self.known:
            reference = Reference(self.case, self.data, contestant.output_activation, self.flag)
            if not only:
                reference.learn(np.split(np.arange(self.case.batch * 2), 2))
            if gathers:
                reference.learn(shuffled_rows(self.case, PLAYED if only else 2))
            self.known[kind] = reference
        return self.known[kind]


def check(contestant: Contestant, references: References | None = None) -> float:
    """Return how far a contestant is from float64 after a few steps, relative to the way that the parameters have gone.

    Parameters
    ----------
    contestant : Contestant
        One that has not trained yet.
    references : References, optional
        Of its case; without them, they are computed for it alone.

    Raises
    ------
    WrongResultError
        If it is so far that it does something else, or predicts something else.
    """
    if isinstance(contestant, Floor):
        return 0.0
    case = contestant.case
    reference = (references or References(case, contestant.data)).of(contestant)
    if isinstance(contestant, Ours):  # whose steps are its epoch
        contestant.epoch(PLAYED)
    else:
        contestant.steps(2)
        if contestant.epoch is not None:
            contestant.epoch(2)
    layers = reference.placed(contestant.parameters())
    distance = reference.distance(layers)
    if not distance < ALLOWED[case.pieces.optimizer] * ROUNDED[case.precision]:
        raise WrongResultError(f"{contestant.name} is {distance:.1%} away from float64 after its first steps of {case.name}.")
    if contestant.predict is not None:
        _check_prediction(contestant, reference, layers)
    return distance


def _check_prediction(contestant: Contestant, reference: Reference, layers: list[Layer]) -> None:
    """Raise if a contestant's prediction is not what its own parameters give in float64."""
    case = contestant.case
    x = contestant.data.x[: case.batch]
    out = reference.backend.to_numpy(forward(reference.activations, layers, reference.backend.asarray(x))[-1].out)
    wanted = softmax(out) if contestant.predicts_probabilities else out
    farthest = float(np.abs(contestant.predict(contestant.place(x)) - wanted).max() / np.abs(wanted).max())
    if not farthest < ALLOWED_PREDICTION * ROUNDED[case.precision]:
        raise WrongResultError(f"{contestant.name} predicts what is {farthest:.1%} away from float64 for {case.name}.")
