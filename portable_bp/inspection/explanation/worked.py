"""The numbers of a worked example: those of a trace, and those that follow from it, on the host.

Matrices are as the article writes them: a column for each sample, a row for each neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.activations import Identity, Softmax
from portable_bp.algorithm.arrays import Array, Layer, Signal, map_parameters, namespace
from portable_bp.algorithm.losses import mean_slope, one_hot
from portable_bp.backends import compiled
from portable_bp.inspection.trace import LayerTrace, Pieces, Trace, round_to, trace_network


class WorkedLayer(NamedTuple):
    """One layer of a worked example; ``derivative`` is None if an out depends on the nets of several neurons."""

    letter: str
    activation: Any  # through which the error is computed
    shown_activation: Any  # which gives out: another one where the loss is computed from the net
    weight: np.ndarray  # (fan_out, fan_in)
    bias: np.ndarray | None  # (fan_out, 1)
    net: np.ndarray  # (fan_out, samples), as all that follow
    out: np.ndarray
    slope: np.ndarray  # dE/dout, or dE/dnet where the loss is computed from the net
    derivative: np.ndarray | None  # f'(net)
    delta: np.ndarray
    weight_gradient: np.ndarray
    bias_gradient: np.ndarray | None
    new_weight: np.ndarray  # after a step with the learning rate
    new_bias: np.ndarray | None


class Worked(NamedTuple):
    """A worked example."""

    inputs: np.ndarray  # (features, samples)
    target: np.ndarray  # (outputs, samples)
    loss: Any
    error: float
    layers: list[WorkedLayer]
    learning_rate: float
    error_after: float
    decimals: int | None  # to which every result was rounded

    @property
    def outs_below(self) -> list[np.ndarray]:
        """What each layer takes: the inputs, or the out of the layer below."""
        return [self.inputs, *(layer.out for layer in self.layers[:-1])]

    @property
    def is_from_net(self) -> bool:
        """Whether the loss is computed from the net of the output layer, whose activation then only gives out."""
        return hasattr(self.loss, "output_activation") and isinstance(self.layers[-1].activation, Identity)

    @property
    def sizes(self) -> list[int]:
        """The number of inputs, then of neurons in each layer."""
        return [len(self.inputs), *(len(layer.net) for layer in self.layers)]


def work(trace: Trace, learning_rate: float) -> Worked:
    """Return the numbers of a trace, and those of a step down its gradient with a learning rate."""
    pieces, parameters, backend = trace.subject
    passed = [trace[letter] for letter in trace]
    inputs, target = (array[None, ...] if trace.inputs.ndim == 1 else array for array in (trace.inputs, trace.target))
    rows = [LayerTrace(_rows(layer.net), _rows(layer.out), _rows(layer.delta), layer.gradient) for layer in passed]
    generator = np.random.default_rng(0)
    probes = [backend.asarray(generator.uniform(0.5, 1.5, size=tuple(layer.net.shape))) for layer in rows]
    follow = compiled(backend, _follow, pieces, learning_rate)
    target, slopes, factors, updated, error_after = follow(parameters, inputs, target, rows, probes)

    def columns(array: Array | None) -> Any:
        return None if array is None else np.atleast_2d(np.asarray(backend.to_numpy(array), np.float64)).T

    layers = []
    for number, letter in enumerate(trace):
        layer, factor = rows[number], factors[number]
        net, out, slope, delta, derivative = map(columns, (*layer[:2], slopes[number], layer.delta, factor.derivative))
        parts = parameters[number], layer.gradient, updated[number]
        (weight, bias), (weight_gradient, bias_gradient), (new_weight, new_bias) = [map(columns, part) for part in parts]
        activation = pieces.activations[number]
        is_product = _is_product(*map(columns, (probes[number], factor.exact, factor.probed)))
        layers.append(
            WorkedLayer(
                letter=letter,
                activation=activation,
                shown_activation=pieces.output if number == len(passed) - 1 else activation,
                weight=weight.T,
                bias=bias,
                net=net,
                out=out,
                slope=slope,
                derivative=derivative if is_product and not isinstance(activation, Softmax) else None,
                delta=delta,
                weight_gradient=weight_gradient.T,
                bias_gradient=bias_gradient,
                new_weight=new_weight.T,
                new_bias=new_bias,
            )
        )
    error, after = (float(backend.to_numpy(each)) for each in (trace.error, error_after))
    return Worked(columns(inputs), columns(target), pieces.loss, error, layers, learning_rate, after, pieces.decimals)


class _Factor(NamedTuple):
    """What an activation makes of slopes: its derivative, rounded and not, and its delta for slopes that differ."""

    derivative: Array
    exact: Array
    probed: Array


def _follow(
    pieces: Pieces,
    rate: float,
    parameters: Sequence[Layer],
    inputs: Array,
    target: Array,
    passed: Sequence[LayerTrace],
    probes: Sequence[Array],
) -> tuple[Array, list[Array], list[_Factor], list[Layer], Array]:
    """Return the target, the slope and the factor of every layer, the updated parameters, and the error that they give."""

    def by_hand(array: Array) -> Array:
        return array if pieces.decimals is None else round_to(array, pieces.decimals)

    gradient = [each.gradient for each in passed]
    updated = map_parameters(lambda old, slope: by_hand(old - rate * slope), parameters, gradient)
    error_after, _ = trace_network(pieces, updated, inputs, target)
    # Where the loss is computed from the net, the last activation is the identity.
    measured = by_hand(pieces.activations[-1].value(passed[-1].net))
    target = one_hot(target, measured)
    slopes = [by_hand(each.delta @ above.weight) for each, above in zip(passed[1:], parameters[1:], strict=True)]
    slopes.append(by_hand(mean_slope(pieces.loss, measured, target)))
    factors = []
    for activation, each, probe in zip(pieces.activations, passed, probes, strict=True):
        signal = Signal(each.net, each.out)
        exact = activation.delta(namespace(each.net).ones_like(each.net), signal)
        factors.append(_Factor(by_hand(exact), exact, activation.delta(probe, signal)))
    return target, slopes, factors, updated, error_after


def _is_product(probe: np.ndarray, derivative: np.ndarray, probed: np.ndarray) -> bool:
    """Return whether an activation multiplies each slope by a number, as all do whose outs depend on one net each."""
    size = np.max(np.abs(derivative), where=np.isfinite(derivative), initial=0.0)
    with np.errstate(all="ignore"):
        return np.allclose(probe * derivative, probed, rtol=1e-4, atol=1e-6 * size, equal_nan=True)


def _rows(array: Array) -> Array:
    return array[None, :] if array.ndim == 1 else array
