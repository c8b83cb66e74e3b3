"""The floor: only the matrix products of a step, by the same library and into arrays that are there already."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, Data
from scripts.benchmarking.contestants.contestant import Contestant


class Floor(Contestant):
    """NumPy's products alone: nothing is learned."""

    name = "floor"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        outs = [np.zeros((case.batch, size), "float32") for size in case.sizes]
        outs[0][...] = data.x[: case.batch]
        deltas = [np.zeros_like(out) for out in outs[1:]]
        gradients = [np.empty_like(weight) for weight in data.weights]
        slopes = [np.empty_like(out) for out in outs[1:-1]]
        self.products = [
            *((below, weight.mT, out) for below, weight, out in zip(outs, data.weights, outs[1:], strict=False)),
            *zip(deltas[:0:-1], data.weights[:0:-1], slopes[::-1], strict=True),
            *((delta.mT, below, gradient) for delta, below, gradient in zip(deltas, outs, gradients, strict=False)),
        ]

    def steps(self, count: int) -> None:
        """Multiply forward, backward, and for the gradient."""
        for _ in range(count):
            for first, second, out in self.products:
                first.dot(second, out)

    def predict(self, x: Any) -> np.ndarray:
        """Multiply forward."""
        for weight in self.data.weights:
            x = x.dot(weight.mT)
        return x
