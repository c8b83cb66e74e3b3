"""What is measured: networks of five sizes, each with two sets of pieces, and data to train them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import portable_bp as bp


@dataclass(frozen=True)
class Pieces:
    """What a network is made of and trained by.

    Attributes
    ----------
    activation : str
        Of the hidden layers.
    output_activation : str
        Of the output layer.
    loss, optimizer : str
        By their names.
    learning_rate : float
        The same for everyone, unless the network is wide.
    """

    activation: str
    output_activation: str
    loss: str
    optimizer: str
    learning_rate: float


SGD = Pieces("sigmoid", "sigmoid", "squared_error", "sgd", 0.1)
ADAM = Pieces("relu", "identity", "cross_entropy", "adam", 0.001)


@dataclass(frozen=True)
class Case:
    """One network and its batches.

    Attributes
    ----------
    sizes : tuple of int
        The inputs, then the neurons of each layer.
    batch : int
        How many samples a step takes.
    steps : int
        How many batches the data hold, and so how many steps our epoch has.
    pieces : Pieces
        What it is made of.
    precision : str
        "float32", "tf32" or "mixed": how exact the matrix products are.
    """

    sizes: tuple[int, ...]
    batch: int
    steps: int
    pieces: Pieces = SGD
    precision: str = "float32"

    @property
    def name(self) -> str:
        """The sizes, as people say them."""
        return "-".join(map(str, self.sizes))

    @property
    def learning_rate(self) -> float:
        """The pieces' rate, or a smaller one where outputs without an activation would diverge."""
        return min(self.pieces.learning_rate, 5.0 / self.sizes[-2])

    @property
    def weights(self) -> int:
        """How many weights and biases there are."""
        return sum(fan_out * (fan_in + 1) for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False))


class Data(NamedTuple):
    """Samples, and the weights that everyone begins with.

    Attributes
    ----------
    x, target : numpy.ndarray
        As many samples as all steps take.
    weights, biases : list of numpy.ndarray
        Of each layer, (fan_out, fan_in) and (fan_out,).
    """

    x: np.ndarray
    target: np.ndarray
    weights: list[Any]
    biases: list[Any]


CASES = (
    Case((2, 4, 3, 2), 4, 4096),
    Case((64, 32, 10), 32, 2048),
    Case((784, 128, 10), 128, 512),
    Case((784, 512, 512, 10), 256, 128),
    Case((1024, 4096, 4096, 1024), 512, 24),
)


def draw(case: Case, samples: int | None = None) -> Data:
    """Return data for a case, float32.

    Parameters
    ----------
    case : Case
        Whose sizes and loss they are for.
    samples : int, optional
        How many; without it, those of all steps.
    """
    generator = np.random.default_rng(0)
    samples = case.batch * case.steps if samples is None else samples
    x = generator.random((samples, case.sizes[0]), dtype="float32")
    if case.pieces.loss == "cross_entropy":
        target = generator.integers(0, case.sizes[-1], samples)
    else:
        target = generator.random((samples, case.sizes[-1]), dtype="float32")
    network = bp.Network(case.sizes, backend="numpy", seed=0)
    return Data(x, target, [layer.weight for layer in network.layers], [layer.bias for layer in network.layers])


def backend_of(case: Case, flag: str) -> Any:
    """Return the backend on which a case is run.

    Parameters
    ----------
    case : Case
        Whose precision it has.
    flag : str
        Where it is.
    """
    return bp.select_backend(flag, **({} if case.precision == "float32" else {"precision": case.precision}))


def ours(case: Case, data: Data, flag: str) -> bp.Network:
    """Return our network for a case.

    Parameters
    ----------
    case : Case
        Whose pieces it has.
    data : Data
        Whose weights it begins with.
    flag : str
        Where it is.
    """
    pieces, backend = case.pieces, backend_of(case, flag)
    return bp.Network.from_weights(data.weights, data.biases, pieces.activation, pieces.output_activation, backend=backend)
