"""The solver lbfgs: SciPy searches on the host, in float64, and the loss and its gradient are computed where the samples are.

L-BFGS-B is described by Byrd, Lu, Nocedal and Zhu (doi:10.1137/0916069).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from portable_bp.algorithm.arrays import Array, Layer, map_parameters, namespace
from portable_bp.algorithm.needs import need_of_gradient
from portable_bp.algorithm.propagation import propagate
from portable_bp.backends import advise_fewer, attempt, compiled
from portable_bp.estimators.monitor import iteration_line
from portable_bp.estimators.objective import add_penalty
from portable_bp.estimators.problem import LbfgsSettings, Problem, Solution
from portable_bp.estimators.sample_weights import total
from portable_bp.training import Training
from portable_bp.training.callbacks import finish


def fit_lbfgs(settings: LbfgsSettings, problem: Problem) -> Solution:
    """Return the layers that lbfgs finds."""
    search = Search(settings, problem)
    at_once = search.spans[0].stop
    found = attempt(
        search.run,
        search.backend,
        f"lbfgs with {at_once:,} samples at once",
        advise_fewer(need_of_gradient, problem.layers, at_once, "use solver='adam' with batch_size={}"),
    )
    training = search.training
    found_layers = training.layers = search.objective.unpack(search.backend.asarray(found.x))
    finish(problem.callbacks, training)
    iterations, loss = min(found.nit, settings.max_iter), float(found.fun)
    if training.layers is not found_layers:
        loss = search.measure(search.flatten(training.layers))[0]
    warning = None
    if not math.isfinite(loss):
        warning = f"lbfgs diverged: the loss is {loss}; scale the data."
    elif found.status != 0 and training.history.stop_reason is None:
        warning = (
            f"lbfgs has not converged after {iterations} iterations ({found.message}): "
            "scale the data, or raise max_iter or max_fun."
        )
    return Solution(training.layers, {"n_iter_": iterations, "loss_": loss}, warning)


class VectorObjective(NamedTuple):
    """The penalized loss as a function of one vector of all parameters: scikit-learn's weights by fan-in, then the biases."""

    shapes: tuple[tuple[int, int], ...]  # (fan_out, fan_in) of each layer
    activations: tuple[Any, ...]
    loss: Any

    def unpack(self, vector: Array) -> list[Layer]:
        """Return the layers of a vector, which share its memory where the library has views."""
        xp, shapes = namespace(vector), self.shapes
        ends = np.cumsum([fan_out * fan_in for fan_out, fan_in in shapes] + [fan_out for fan_out, _ in shapes]).tolist()
        parts = [vector[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return [
            Layer(xp.reshape(weight, (fan_in, fan_out)).mT, bias)
            for (fan_out, fan_in), weight, bias in zip(shapes, parts[: len(shapes)], parts[len(shapes) :], strict=True)
        ]

    def error_and_gradient(
        self, vector: Array, counted: float, decay: float, chunk: tuple[Array, Array, Array | None]
    ) -> Array:
        """Return what a chunk of samples contributes to the error, then to the gradient, as one vector."""
        inputs, target, sample_weight = chunk
        xp, layers = namespace(vector), self.unpack(vector)
        passed = propagate(self.activations, self.loss, layers, inputs, target, sample_weight)
        share = inputs.shape[0] / counted
        gradient = map_parameters(lambda slope: share * slope, passed.gradient)
        error, gradient = add_penalty(share * passed.error, gradient, layers, decay)
        return xp.concat([xp.reshape(error, (1,)), pack(gradient)])


def pack(layers: Sequence[Layer]) -> Array:
    """Return all parameters as one vector, in the order of ``VectorObjective.unpack``."""
    xp = namespace(layers[0].weight)
    weights = [xp.reshape(layer.weight.mT, (-1,)) for layer in layers]
    return xp.concat([*weights, *(layer.bias for layer in layers)])


class Search:
    """SciPy's search, which sees the parameters as one float64 vector on the host."""

    def __init__(self, settings: LbfgsSettings, problem: Problem) -> None:
        self.settings, self.problem = settings, problem
        self.training = Training(problem.layers)
        shapes = tuple(tuple(layer.weight.shape) for layer in problem.layers)
        self.objective = VectorObjective(shapes, problem.activations, problem.loss)
        samples, _, (weight, _) = problem.examples
        self.backend, self.spans = samples.backend, samples.spans(max(map(max, shapes)))
        self.counted = samples.count if weight is None else float(self.backend.to_numpy(compiled(self.backend, total)(weight)))
        self.decay = problem.alpha / self.counted / len(self.spans)  # every chunk adds an equal share of the penalty
        self.compute = compiled(self.backend, VectorObjective.error_and_gradient, self.objective)

    def run(self) -> scipy.optimize.OptimizeResult:
        """Search from the layers of the problem."""
        options = {"maxfun": self.settings.max_fun, "maxiter": self.settings.max_iter, "gtol": self.settings.tol}
        start = self.flatten(self.problem.layers)
        return scipy.optimize.minimize(self.measure, start, method="L-BFGS-B", jac=True, callback=self._watch, options=options)

    def measure(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the penalized loss of all samples and its gradient, added up over chunks."""
        samples, target, (weight, _) = self.problem.examples
        parameters = self.backend.asarray(vector)
        numbers = np.zeros(1 + len(vector))
        for span in self.spans:
            chunk = samples.chunk(span), target[span, ...], None if weight is None else weight[span]
            numbers += self.backend.to_numpy(self.compute(parameters, self.counted, self.decay, chunk))
        return float(numbers[0]), numbers[1:]

    def flatten(self, layers: Sequence[Layer]) -> np.ndarray:
        """Return layers as the vector that SciPy varies."""
        return self.backend.to_numpy(compiled(self.backend, pack)(layers)).astype(np.float64)

    def _watch(self, intermediate_result: scipy.optimize.OptimizeResult) -> None:
        # SciPy decides by the argument's name what to pass, and overwrites x later.
        self.training.layers = self.objective.unpack(self.backend.asarray(intermediate_result.x.copy()))
        self.training.history.loss.append(float(intermediate_result.fun))
        if self.settings.verbose:
            print(iteration_line(self.training.epoch, self.training.history.loss[-1]))
        for callback in self.problem.callbacks:
            callback(self.training)
        if self.training.history.stop_reason is not None:
            raise StopIteration
