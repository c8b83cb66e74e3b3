"""Every contestant's result is held against float64 before it is timed: what it learns in some steps, and what it predicts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

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
    """

    def __init__(self, case: Case, data: Data, output_activation: str) -> None:
        pieces, depth = case.pieces, len(data.weights)
        self.data = data
        self.layers = [
            Layer(weight.astype("float64"), bias.astype("float64"))
            for weight, bias in zip(data.weights, data.biases, strict=True)
        ]
        self.activations = [ACTIVATIONS[pieces.activation]()] * (depth - 1) + [ACTIVATIONS[output_activation]()]
        self.loss = LOSSES[pieces.loss]()
        self.optimizer = type(OPTIMIZERS[pieces.optimizer]())(case.learning_rate)
        self.state = self.optimizer.init(self.layers)

    def learn(self, batches: Iterable[np.ndarray]) -> None:
        """Take a step for each batch, given as row numbers."""
        for rows in batches:
            x, target = self.data.x[rows].astype("float64"), self.data.target[rows]
            passed = propagate(self.activations, self.loss, self.layers, x, target)
            self.layers, self.state = self.optimizer.update(passed.gradient, self.state, self.layers)

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, then each layer's bias."""
        return [each for kind in zip(*self.layers, strict=True) for each in kind]


def check(contestant: Contestant) -> float:
    """Return how far a contestant is from float64 after a few steps, relative to the way that the parameters have gone.

    Parameters
    ----------
    contestant : Contestant
        One that has not trained yet.

    Raises
    ------
    WrongResultError
        If it is so far that it does something else, or predicts something else.
    """
    if isinstance(contestant, Floor):
        return 0.0
    case, data = contestant.case, contestant.data
    reference = Reference(case, data, contestant.output_activation)
    begun = reference.parameters()
    if isinstance(contestant, Ours):  # whose steps are its epoch
        contestant.epoch(PLAYED)
        reference.learn(shuffled_rows(case, PLAYED))
    else:
        contestant.steps(2)
        reference.learn(np.split(np.arange(case.batch * 2), 2))
        if contestant.epoch is not None:
            contestant.epoch(2)
            reference.learn(shuffled_rows(case, 2))
    expected = reference.parameters()
    missed = sum(float(np.square(mine - theirs).sum()) for mine, theirs in zip(contestant.parameters(), expected, strict=True))
    moved = sum(float(np.square(theirs - before).sum()) for theirs, before in zip(expected, begun, strict=True))
    distance = (missed / moved) ** 0.5
    if not distance < ALLOWED[case.pieces.optimizer]:
        raise WrongResultError(f"{contestant.name} is {distance:.1%} away from float64 after its first steps of {case.name}.")
    if contestant.predict is not None:
        _check_prediction(contestant, reference)
    return distance


def _check_prediction(contestant: Contestant, reference: Reference) -> None:
    """Raise if a contestant's prediction is not what its own parameters give in float64."""
    case = contestant.case
    parameters, depth = [each.astype("float64") for each in contestant.parameters()], len(reference.layers)
    layers = [Layer(weight, bias) for weight, bias in zip(parameters[:depth], parameters[depth:], strict=True)]
    x = contestant.data.x[: case.batch]
    out = forward(layers, reference.activations, x.astype("float64"))[-1].out
    wanted = softmax(out) if contestant.predicts_probabilities else out
    farthest = float(np.abs(contestant.predict(contestant.place(x)) - wanted).max() / np.abs(wanted).max())
    if not farthest < 0.001:
        raise WrongResultError(f"{contestant.name} predicts what is {farthest:.1%} away from float64 for {case.name}.")
