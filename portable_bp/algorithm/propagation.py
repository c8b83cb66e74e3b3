"""Backpropagation for a network of any size, in the article's words: net, out, delta, slope.

Going up, every layer computes its net and out; going down, its delta = dE/dnet, from which its gradient follows. This is the
recursion of Rumelhart, Hinton and Williams (doi:10.1038/323533a0):

    net   = out_below W^T + bias            out = f(net)
    delta = (delta_above W_above) f'(net)   dE/dW = delta^T out_below

Layers, activations, signals and deltas are listed from the layer above the inputs to the output layer. Shapes:

    inputs              (..., samples, features)
    net, out, delta     (..., samples, fan_out)
    weight, bias        (..., fan_out, fan_in), (..., fan_out)
    target              (..., samples, outputs), or (..., samples) if it holds integer classes
    sample_weight       (..., samples), or None
    error               (...), the mean over samples

Leading axes broadcast: weights with a leading axis are a population of networks, and one call serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer, Signal, namespace
from portable_bp.algorithm.losses import mean_error, mean_slope


class Propagation(NamedTuple):
    """Everything that one pass forward and back computes.

    Attributes
    ----------
    signals : list of Signal
        The net and out of every layer.
    error : array
        The mean over samples of the loss.
    deltas : list of array
        dE/dnet of every layer.
    gradient : list of Layer
        dE/dweight and dE/dbias of every layer.
    """

    signals: list[Signal]
    error: Array
    deltas: list[Array]
    gradient: list[Layer]


def forward(activations: Sequence[Any], layers: Sequence[Layer], inputs: Array) -> list[Signal]:
    """Carry a batch up through the layers, and return the net and out of each."""
    signals = []
    out = inputs
    for layer, activation in zip(layers, activations, strict=True):
        net = weighted_sum(layer, out)
        out = activation.value(net)
        signals.append(Signal(net, out))
    return signals


def output(activations: Sequence[Any], layers: Sequence[Layer], inputs: Array) -> Array:
    """Return the out of the output layer, keeping no more of the layers below than the next one needs."""
    out = inputs
    for layer, activation in zip(layers, activations, strict=True):
        out = activation.value(weighted_sum(layer, out))
    return out


def weighted_sum(layer: Layer, out_below: Array) -> Array:
    """Return a layer's net: the sum of the outs below, each times its weight, plus the bias."""
    net = out_below @ layer.weight.mT
    return net if layer.bias is None else net + layer.bias[..., None, :]


def backward(activations: Sequence[Any], layers: Sequence[Layer], signals: Sequence[Signal], slope: Array) -> list[Array]:
    """Carry the error's slope, dE/dout of the output layer, back down through the layers, and return the delta of each."""
    deltas = [activations[-1].delta(slope, signals[-1])]
    for above, activation, signal in reversed(list(zip(layers[1:], activations[:-1], signals[:-1], strict=True))):
        slope = deltas[-1] @ above.weight
        deltas.append(activation.delta(slope, signal))
    return deltas[::-1]


def parameter_gradient(
    layers: Sequence[Layer], inputs: Array, signals: Sequence[Signal], deltas: Sequence[Array]
) -> list[Layer]:
    """Return dE/dweight, the outer products of delta and the out below summed over samples, and dE/dbias of every layer."""
    outs_below = [inputs, *(signal.out for signal in signals[:-1])]
    return [
        Layer(
            weight=delta.mT @ out_below,
            bias=None if layer.bias is None else namespace(delta).sum(delta, axis=-2),
        )
        for layer, delta, out_below in zip(layers, deltas, outs_below, strict=True)
    ]


def propagate(
    activations: Sequence[Any],
    loss: Any,
    layers: Sequence[Layer],
    inputs: Array,
    target: Array,
    sample_weight: Array | None = None,
) -> Propagation:
    """Carry a batch up, measure the error, and carry its slope back down: all of backpropagation."""
    signals = forward(activations, layers, inputs)
    out = signals[-1].out
    deltas = backward(activations, layers, signals, mean_slope(loss, out, target, sample_weight))
    return Propagation(
        signals=signals,
        error=mean_error(loss, out, target, sample_weight),
        deltas=deltas,
        gradient=parameter_gradient(layers, inputs, signals, deltas),
    )


def measure_error(
    activations: Sequence[Any],
    loss: Any,
    layers: Sequence[Layer],
    inputs: Array,
    target: Array,
    sample_weight: Array | None = None,
) -> Array:
    """Carry a batch up and measure the error, without the backward pass."""
    return mean_error(loss, output(activations, layers, inputs), target, sample_weight)


def input_gradient(
    activations: Sequence[Any],
    loss: Any,
    layers: Sequence[Layer],
    inputs: Array,
    target: Array,
    sample_weight: Array | None = None,
) -> Array:
    """Carry the error's slope all the way down to the inputs, and return dE/dinputs."""
    signals = forward(activations, layers, inputs)
    slope = mean_slope(loss, signals[-1].out, target, sample_weight)
    return backward(activations, layers, signals, slope)[0] @ layers[0].weight
