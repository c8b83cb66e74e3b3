"""The floor: only the matrix products of a step, by the same library and into preallocated arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, CaseData
from scripts.benchmarking.contestants.contestant import Contestant
from scripts.benchmarking.contestants.stopwatches import cupy_stopwatch


class Floor(Contestant):
    """NumPy's products alone: nothing is learned."""

    name = "floor"

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        self.backend = case.select_backend(self.needs)
        asarray, generator = self.backend.asarray, np.random.default_rng(0)
        self.weights = [asarray(weight) for weight in data.weights]
        # Not zeros: a GPU multiplies those with less power, and therefore faster.
        outs, deltas = (
            [asarray(generator.random((case.batch, size), "float32")) for size in sizes]
            for sizes in (case.sizes, case.sizes[1:])
        )
        gradients = [self.backend.xp.empty_like(weight) for weight in self.weights]
        slopes = [self.backend.xp.empty_like(out) for out in outs[1:-1]]
        self.products = [
            *((below, weight.mT, out) for below, weight, out in zip(outs, self.weights, outs[1:], strict=False)),
            *zip(deltas[:0:-1], self.weights[:0:-1], slopes[::-1], strict=True),
            *((delta.mT, below, gradient) for delta, below, gradient in zip(deltas, outs, gradients, strict=False)),
        ]
        self.multiply = self.backend.compile(self._multiply)

    def _multiply(self, count: int) -> None:
        for _ in range(count):
            for first, second, out in self.products:
                first.dot(second, out)

    def steps(self, count: int) -> None:
        """Multiply forward, backward, and for the gradient."""
        self.multiply(count)
        self.backend.synchronize()

    def predict(self, x: Any) -> Any:
        """Multiply forward."""
        for weight in self.weights:
            x = x.dot(weight.mT)
        return x


class FloorOnGpu(Floor):
    """CuPy's products alone, from and into fixed arrays, as in our own steps, with the precision of the case."""

    needs, stopwatch = "cupy", staticmethod(cupy_stopwatch)

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        from portable_bp.backends.graph.printers.cuda import Gemm

        self.calls = [Gemm(*arrays, case.precision) for arrays in self.products]

    def _multiply(self, count: int) -> None:
        for _ in range(count):
            for call in self.calls:
                call()
