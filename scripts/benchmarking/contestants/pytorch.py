"""PyTorch: torch.nn, autograd and torch.optim, as they stand and compiled."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, Data
from scripts.benchmarking.contestants.contestant import Contestant, ready_batches, shuffled_rows


class Torch(Contestant):
    """Eager PyTorch, with the fused optimizers, which are its fastest."""

    name, needs = "PyTorch eager", "torch"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        import torch

        self.torch = torch
        pieces = case.pieces
        modules: list[Any] = []
        for number, (weight, bias) in enumerate(zip(data.weights, data.biases, strict=True), start=1):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(weight))
                linear.bias.copy_(torch.tensor(bias))
            kind = pieces.activation if number < len(data.weights) else pieces.output_activation
            modules += [linear, *{"sigmoid": [torch.nn.Sigmoid()], "relu": [torch.nn.ReLU()]}.get(kind, [])]
        self.module: Any = torch.nn.Sequential(*modules)
        optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self.optimizer = optimizers[pieces.optimizer](self.module.parameters(), lr=case.learning_rate, fused=True)
        self.x, self.target = torch.tensor(data.x), torch.tensor(data.target)
        self.ready = [(torch.tensor(x), torch.tensor(target)) for x, target in ready_batches(case, data)]
        self.measure = self._measure

    def _measure(self, x: Any, target: Any) -> Any:
        out, functional = self.module(x), self.torch.nn.functional
        if self.case.pieces.loss == "cross_entropy":
            return functional.cross_entropy(out, target)
        return functional.mse_loss(out, target, reduction="sum") * (0.5 / len(x))

    def _step(self, x: Any, target: Any) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.measure(x, target).backward()
        self.optimizer.step()

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, then each layer's bias."""
        linears = [module for module in self.module if hasattr(module, "weight")]
        return [getattr(each, kind).detach().numpy().copy() for kind in ("weight", "bias") for each in linears]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        for x, target in itertools.islice(itertools.cycle(self.ready), count):
            self._step(x, target)

    def epoch(self, count: int) -> None:
        """Train on batches that are shuffled and gathered."""
        for rows in map(self.torch.from_numpy, shuffled_rows(self.case, count)):
            self._step(self.x[rows], self.target[rows])

    def place(self, x: np.ndarray) -> Any:
        """Return a tensor."""
        return self.torch.tensor(x)

    def predict(self, x: Any) -> np.ndarray:
        """Run the module alone."""
        with self.torch.inference_mode():
            return self.module(x).numpy()


class TorchCompiled(Torch):
    """The same, the way to the loss and back compiled by torch.compile for the batch's own shape."""

    name = "torch.compile"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        self.torch._dynamo.reset()  # it stops compiling a function that it has met in eight forms
        self.measure = self.torch.compile(self._measure, dynamic=False)
