"""What is measured: networks of five sizes, trained with SGD or Adam, and the data that they are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import portable_bp as bp


@dataclass(frozen=True)
class Pieces:
    """The activations, loss and optimizer of a case, by name."""

    activation: str
    output_activation: str
    loss: str
    optimizer: str
    learning_rate: float


SGD = Pieces("sigmoid", "sigmoid", "squared_error", "sgd", 0.1)
ADAM = Pieces("relu", "identity", "cross_entropy", "adam", 0.001)


@dataclass(frozen=True)
class Case:
    """A network, how it is trained, and how many batches the data hold."""

    sizes: tuple[int, ...]  # the inputs, then the neurons of each layer
    batch: int
    steps: int  # batches in the data, and so steps in an epoch of ours
    pieces: Pieces = SGD
    precision: str = "float32"  # of the matrix products: "float32", "tf32" or "mixed"

    @property
    def name(self) -> str:
        """The sizes, joined by hyphens."""
        return "-".join(map(str, self.sizes))

    @property
    def title(self) -> str:
        """A name that is unique among the cases of a run."""
        return f"{self.name} {self.pieces.optimizer} {self.precision}"

    @property
    def learning_rate(self) -> float:
        """The rate of the pieces, or a smaller one if outputs without an activation would diverge."""
        return min(self.pieces.learning_rate, 5.0 / self.sizes[-2])

    @property
    def weights(self) -> int:
        """The number of weights and biases."""
        return sum(fan_out * (fan_in + 1) for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def fewest_bytes(self) -> int:
        """The bytes that a step must move: its batch in, and every parameter with its optimizer state in and out."""
        arrays = {"sgd": 1, "adam": 3}[self.pieces.optimizer]
        targets = 1 if self.pieces.loss == "cross_entropy" else self.sizes[-1]
        return 4 * (self.batch * (self.sizes[0] + targets) + 2 * arrays * self.weights)

    def select_backend(self, flag: str) -> Any:
        """Return the backend with this precision."""
        return bp.select_backend(flag, **({} if self.precision == "float32" else {"precision": self.precision}))


@dataclass(frozen=True)
class Networks(Case):
    """Many networks of one size, each trained by a fit of its own; ``sample`` of them are trained to time one."""

    networks: int = 4096
    sample: int = 8

    @property
    def name(self) -> str:
        """How many networks, and their sizes."""
        return f"{self.networks} of {super().name}"


class CaseData(NamedTuple):
    """Samples for all steps of a case, and the weights and biases that every contestant starts from."""

    x: np.ndarray
    target: np.ndarray
    weights: list[Any]  # of each layer, (fan_out, fan_in)
    biases: list[Any]


CASES = (
    Case((2, 4, 3, 2), 4, 4096),
    Case((64, 32, 10), 32, 2048),
    Case((784, 128, 10), 128, 512),
    Case((784, 512, 512, 10), 256, 128),
    Case((1024, 4096, 4096, 1024), 512, 24),
)


def draw(case: Case, samples: int | None = None) -> CaseData:
    """Draw the float32 data of a case: samples for all of its steps, or as many as given."""
    generator = np.random.default_rng(0)
    samples = case.batch * case.steps if samples is None else samples
    x = generator.random((samples, case.sizes[0]), dtype="float32")
    if case.pieces.loss == "cross_entropy":
        target = generator.integers(0, case.sizes[-1], samples)
    else:
        target = generator.random((samples, case.sizes[-1]), dtype="float32")
    network = bp.Network(case.sizes, backend="numpy", seed=0)
    return CaseData(x, target, [layer.weight for layer in network.layers], [layer.bias for layer in network.layers])
