"""The solver lbfgs: SciPy searches on the host, in float64; the loss and its gradient are computed where the samples are.

L-BFGS-B is that of Byrd, Lu, Nocedal and Zhu (doi:10.1137/0916069).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.optimize

from portable_bp.algorithm.arrays import Array, Layer, map_parameters, namespace
from portable_bp.algorithm.needs import need_of_gradient
from portable_bp.algorithm.propagation import propagate
from portable_bp.backends import advise_fewer, attempt, compiled
from portable_bp.estimators.objective import add_penalty
from portable_bp.estimators.problem import Problem
from portable_bp.estimators.sample_weights import total
from portable_bp.training import Training


def fit_lbfgs(model: Any, problem: Problem) -> tuple[Sequence[Layer], str | None]:
    """Return the layers that lbfgs arrives at, and what to warn of; the model's ``n_iter_`` and ``loss_`` are set.

    Parameters
    ----------
    model : Perceptron
        Its max_iter, max_fun, tol and verbose say when to stop and what to print.
    problem : Problem
        What to learn.
    """
    activations, layers, callbacks = problem.activations, problem.layers, problem.callbacks
    samples, target, (weight, _) = problem.examples
    shapes = tuple(tuple(layer.weight.shape) for layer in layers)
    backend, spans = samples.backend, samples.spans(max(map(max, shapes)))
    counted = samples.count if weight is None else float(backend.to_numpy(compiled(backend, total)(weight)))
    decay = problem.alpha / counted / len(spans)  # every part adds its share of the penalty
    run = compiled(backend, _error_and_gradient, shapes, activations, problem.loss)
    training = Training(layers)

    def error_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = backend.asarray(vector)
        numbers = np.zeros(1 + len(vector))
        for span in spans:
            part = target[span, ...], None if weight is None else weight[span]
            numbers += backend.to_numpy(run(parameters, counted, decay, samples.dense(span), *part))
        return float(numbers[0]), numbers[1:]

    def watch(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        # SciPy goes on to write into x.
        training.layers = _layers(shapes, backend.asarray(intermediate_result.x.copy()))
        training.history.loss.append(float(intermediate_result.fun))
        if model.verbose:
            print(f"Iteration {training.epoch}, loss = {training.history.loss[-1]:.8f}")
        for callback in callbacks:
            callback(training)
        if training.history.stop_reason is not None:
            raise StopIteration

    start = backend.to_numpy(compiled(backend, _vector)(layers)).astype(np.float64)
    options = {"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol}
    most = spans[0].stop
    found = attempt(
        lambda: scipy.optimize.minimize(
            error_and_gradient, start, method="L-BFGS-B", jac=True, callback=watch, options=options
        ),
        backend,
        f"lbfgs with {most:,} samples at once",
        advise_fewer(need_of_gradient, layers, most, "use solver='adam' with batch_size={}"),
    )
    found_layers = training.layers = _layers(shapes, backend.asarray(found.x))
    for callback in callbacks:
        getattr(callback, "finish", lambda _: None)(training)
    model.n_iter_, model.loss_ = min(found.nit, model.max_iter), float(found.fun)
    if training.layers is not found_layers:
        model.loss_ = error_and_gradient(backend.to_numpy(compiled(backend, _vector)(training.layers)))[0]
    doubts = None
    if not math.isfinite(model.loss_):
        doubts = f"lbfgs diverged: the loss is {model.loss_}; scale the data."
    elif found.status != 0 and training.history.stop_reason is None:
        doubts = (
            f"lbfgs stopped after {model.n_iter_} iterations without having converged ({found.message}): "
            "scale the data, or allow more with max_iter or max_fun."
        )
    return training.layers, doubts


def _vector(layers: Sequence[Layer]) -> Array:
    """Return all parameters in one vector, in scikit-learn's order: weights by fan-in, then biases."""
    xp = namespace(layers[0].weight)
    weights = [xp.reshape(layer.weight.mT, (-1,)) for layer in layers]
    return xp.concat([*weights, *(layer.bias for layer in layers)])


def _layers(shapes: Sequence[tuple[int, int]], vector: Array) -> list[Layer]:
    xp = namespace(vector)
    ends = np.cumsum([fan_out * fan_in for fan_out, fan_in in shapes] + [fan_out for fan_out, _ in shapes]).tolist()
    parts = [vector[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [
        Layer(xp.reshape(weight, (fan_in, fan_out)).mT, bias)
        for (fan_out, fan_in), weight, bias in zip(shapes, parts[: len(shapes)], parts[len(shapes) :], strict=True)
    ]


def _error_and_gradient(
    shapes: Sequence[tuple[int, int]],
    activations: tuple[Any, ...],
    loss: Any,
    vector: Array,
    counted: float,
    decay: float,
    inputs: Array,
    target: Array,
    sample_weight: Array | None,
) -> Array:
    xp, layers = namespace(vector), _layers(shapes, vector)
    passed = propagate(activations, loss, layers, inputs, target, sample_weight)
    share = inputs.shape[0] / counted
    gradient = map_parameters(lambda slope: share * slope, passed.gradient)
    error, gradient = add_penalty(share * passed.error, gradient, layers, decay)
    return xp.concat([xp.reshape(error, (1,)), _vector(gradient)])
