"""portable_bp on each backend. It always shuffles and gathers: its steps are its epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import portable_bp as bp
from scripts.benchmarking.cases import Case, CaseData
from scripts.benchmarking.contestants.contestant import Contestant
from scripts.benchmarking.contestants.stopwatches import cupy_stopwatch, torch_stopwatch


class Ours(Contestant):
    """portable_bp on the backend that it needs."""

    whole_epochs = True
    at_least = math.inf

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        activations = case.pieces.activation, case.pieces.output_activation
        backend = case.select_backend(self.needs)
        self.network = bp.Network.from_weights(data.weights, data.biases, *activations, backend=backend)
        self.x, self.target = self.asarray(data.x), self.asarray(data.target)

    def asarray(self, x: np.ndarray) -> Any:
        """Return an array on the backend."""
        return self.network.backend.asarray(x, "int32" if x.dtype.kind == "i" else None)

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, then each layer's bias."""
        return [self.network.backend.to_numpy(each) for kind in zip(*self.network.layers, strict=True) for each in kind]

    def steps(self, count: int) -> None:
        """Fit one epoch, with its checks, shuffling and gathering."""
        pieces, samples = self.case.pieces, count * self.case.batch
        self.network.fit(
            self.x[:samples],
            self.target[:samples],
            pieces.loss,
            pieces.optimizer,
            self.case.learning_rate,
            batch_size=self.case.batch,
            seed=0,
        )

    epoch = steps

    def predict(self, x: Any) -> np.ndarray:
        """Predict, with its checks."""
        return self.network.backend.to_numpy(self.network.predict(x))


class OursNumpy(Ours):
    """portable_bp on NumPy."""

    name = "portable_bp numpy"


class OursTorch(Ours):
    """portable_bp on PyTorch."""

    name, needs = "portable_bp torch", "torch"


class OursJax(Ours):
    """portable_bp on JAX."""

    name, needs = "portable_bp jax", "jax"


class OursCupy(Ours):
    """portable_bp on CuPy."""

    name, needs, stopwatch = "portable_bp cupy", "cupy", staticmethod(cupy_stopwatch)


class OursTorchOnGpu(Ours):
    """portable_bp on PyTorch, on a CUDA device."""

    name, needs, stopwatch = "portable_bp torch:cuda", "torch:cuda", staticmethod(torch_stopwatch)


class OursJaxOnGpu(Ours):
    """portable_bp on JAX, on a GPU."""

    name, needs = "portable_bp jax:gpu", "jax:gpu"
