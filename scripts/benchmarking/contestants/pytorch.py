"""PyTorch: torch.nn, autograd and torch.optim; eager, compiled, and captured in a CUDA graph."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, CaseData
from scripts.benchmarking.contestants.contestant import Contestant, ready_batches, shuffled_rows
from scripts.benchmarking.contestants.stopwatches import torch_stopwatch


class Torch(Contestant):
    """Eager PyTorch, with its fastest optimizers, the fused ones."""

    name, needs, device = "PyTorch eager", "torch", "cpu"
    capturable = False  # whether a CUDA graph may hold the optimizer

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        import torch

        self.torch = torch
        pieces = case.pieces
        modules: list[Any] = []
        for number, (weight, bias) in enumerate(zip(data.weights, data.biases, strict=True), start=1):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], device=self.device)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(weight))
                linear.bias.copy_(torch.tensor(bias))
            kind = pieces.activation if number < len(data.weights) else pieces.output_activation
            modules += [linear, *{"sigmoid": [torch.nn.Sigmoid()], "relu": [torch.nn.ReLU()]}.get(kind, [])]
        self.module: Any = torch.nn.Sequential(*modules)
        optimizers = {"sgd": torch.optim.SGD, "adam": functools.partial(torch.optim.Adam, capturable=self.capturable)}
        self.optimizer = optimizers[pieces.optimizer](self.module.parameters(), lr=case.learning_rate, fused=True)
        self.x, self.target = self.asarray(data.x), self.asarray(data.target)
        self.ready = ready_batches(case, self.x, self.target)
        self.loss: Any = self._loss_in_bfloat16 if case.precision == "mixed" else self._loss

    def _loss(self, x: Any, target: Any) -> Any:
        out, functional = self.module(x), self.torch.nn.functional
        if self.case.pieces.loss == "cross_entropy":
            return functional.cross_entropy(out, target)
        return functional.mse_loss(out, target, reduction="sum") * (0.5 / len(x))

    def _loss_in_bfloat16(self, x: Any, target: Any) -> Any:
        with self.torch.autocast(self.device, dtype=self.torch.bfloat16):
            return self._loss(x, target)

    @contextlib.contextmanager
    def _with_precision(self) -> Iterator[None]:
        """Set the precision of products to the case's; at the end, wait for the device."""
        before = self.torch.get_float32_matmul_precision()
        self.torch.set_float32_matmul_precision("high" if self.case.precision == "tf32" else "highest")
        try:
            yield
            if self.device == "cuda":
                self.torch.cuda.synchronize()
        finally:
            self.torch.set_float32_matmul_precision(before)

    def _step(self, x: Any, target: Any) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(x, target).backward()
        self.optimizer.step()

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, then each layer's bias."""
        linears = [module for module in self.module if hasattr(module, "weight")]
        return [getattr(each, kind).detach().cpu().numpy().copy() for kind in ("weight", "bias") for each in linears]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        with self._with_precision():
            for x, target in itertools.islice(itertools.cycle(self.ready), count):
                self._step(x, target)

    def epoch(self, count: int) -> None:
        """Train on batches that are shuffled and gathered."""
        with self._with_precision():
            for rows in self.asarray(shuffled_rows(self.case, count)):
                self._step(self.x[rows], self.target[rows])

    def asarray(self, x: np.ndarray) -> Any:
        """Return a tensor."""
        return self.torch.tensor(x, device=self.device)

    def predict(self, x: Any) -> np.ndarray:
        """Run the module alone."""
        with self.torch.inference_mode():
            return self.module(x).cpu().numpy()


class TorchOnGpu(Torch):
    """Eager PyTorch on a CUDA device."""

    needs, device, stopwatch = "torch:cuda", "cuda", staticmethod(torch_stopwatch)


class TorchCompiled(Torch):
    """PyTorch whose forward and backward passes are compiled by torch.compile for the shape of the batch."""

    name, mode, at_least = "torch.compile", "default", 5.0

    @classmethod
    def load(cls) -> None:
        """Import the compiler too."""
        importlib.import_module("torch._inductor.compile_fx")

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        self.torch._dynamo.reset()  # it stops compiling a function after eight variants
        self.loss = self.torch.compile(self.loss, dynamic=False, mode=self.mode)


class TorchCompiledOnGpu(TorchCompiled):
    """The same on a CUDA device, where both passes are captured in CUDA graphs."""

    needs, device, stopwatch, mode = "torch:cuda", "cuda", staticmethod(torch_stopwatch), "reduce-overhead"


class TorchGraph(TorchOnGpu):
    """PyTorch whose whole step is captured in one CUDA graph, which is replayed on batches that are copied to its inputs."""

    name, capturable = "CUDA graph", True

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        cuda = self.torch.cuda
        self.inputs = [each.clone() for each in self.ready[0]]
        start = [parameter.detach().clone() for parameter in self.module.parameters()]
        with self._with_precision():
            stream = cuda.Stream()
            stream.wait_stream(cuda.current_stream())
            with cuda.stream(stream):
                for _ in range(3):  # libraries set themselves up in the first calls, which cannot be captured
                    super()._step(*self.inputs)
            cuda.current_stream().wait_stream(stream)
            self.optimizer.zero_grad(set_to_none=True)  # the gradients shall be in the memory of the graph
            self.graph = cuda.CUDAGraph()
            with cuda.graph(self.graph):
                super()._step(*self.inputs)
        self._restart(start)

    def _restart(self, start: list[Any]) -> None:
        """Undo the steps so far, in place: the graph knows the arrays by their addresses."""
        with self.torch.no_grad():
            for parameter, initial in zip(self.module.parameters(), start, strict=True):
                parameter.copy_(initial)
            for state in self.optimizer.state.values():
                for array in state.values():
                    if array is not None:  # as the momentum of plain SGD is
                        array.zero_()

    def _step(self, x: Any, target: Any) -> None:
        for mine, given in zip(self.inputs, (x, target), strict=True):
            mine.copy_(given)
        self.graph.replay()

    def epoch(self, count: int) -> None:
        """Train on batches that are shuffled and gathered into the inputs of the graph."""
        with self._with_precision():
            for rows in self.asarray(shuffled_rows(self.case, count)):
                for mine, given in zip(self.inputs, (self.x, self.target), strict=True):
                    self.torch.index_select(given, 0, rows, out=mine)
                self.graph.replay()
