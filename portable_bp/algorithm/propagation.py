"""Backpropagation for a network of any size, in the article's words: net, out, delta, slope.

A batch is (..., samples, features), and a layer's weight is (..., fan_out, fan_in). Leading axes broadcast: weights with a
leading axis are a population of networks, and one call serves all of them. The recursion is that of Rumelhart, Hinton and
Williams (doi:10.1038/323533a0):

    net   = out_below W^T + bias            out = f(net)
    delta = (delta_above W_above) f'(net)   dE/dW = delta^T out_below
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer, Signal, namespace
from portable_bp.algorithm.losses import mean_error, mean_slope


class Propagation(NamedTuple):
    """All that one pass forward and back computes.

    Attributes
    ----------
    signals : list of Signal
        The net and out of every layer above the inputs.
    error : array, shape (...)
        The mean over samples of the loss.
    deltas : list of array, each of shape (..., samples, fan_out)
        dE/dnet of every layer above the inputs.
    gradient : list of Layer
        dE/dweight and dE/dbias of every layer.
    """

    signals: list[Signal]
    error: Array
    deltas: list[Array]
    gradient: list[Layer]


def forward(activations: Sequence[Any], layers: Sequence[Layer], inputs: Array) -> list[Signal]:
    """Carry a batch up through the layers.

    Parameters
    ----------
    activations : sequence of activation
        That of each layer.
    layers : sequence of Layer
        From the one above the inputs to the output layer.
    inputs : array, shape (..., samples, features)
        The batch.

    Returns
    -------
    list of Signal
        The net and out of every layer, each of shape (..., samples, fan_out).
    """
    signals = []
    out = inputs
    for layer, activation in zip(layers, activations, strict=True):
        net = weighted_sum(layer, out)
        out = activation.value(net)
        signals.append(Signal(net, out))
    return signals


def output(activations: Sequence[Any], layers: Sequence[Layer], inputs: Array) -> Array:
    """Carry a batch up through the layers, keeping of each no more than the next one needs.

    Parameters
    ----------
    activations, layers, inputs
        As `forward` takes them.

    Returns
    -------
    array, shape (..., samples, outputs)
        The out of the output layer.
    """
    out = inputs
    for layer, activation in zip(layers, activations, strict=True):
        out = activation.value(weighted_sum(layer, out))
    return out


def weighted_sum(layer: Layer, out_below: Array) -> Array:
    """Return a layer's net.

    Parameters
    ----------
    layer : Layer
        Its parameters.
    out_below : array, shape (..., samples, fan_in)
        The out of the layer below it.

    Returns
    -------
    array, shape (..., samples, fan_out)
        The sum of the outs below, each times its weight, and the bias.
    """
    net = out_below @ layer.weight.mT
    return net if layer.bias is None else net + layer.bias[..., None, :]


def backward(activations: Sequence[Any], layers: Sequence[Layer], signals: Sequence[Signal], slope: Array) -> list[Array]:
    """Carry the error's slope back down through the layers.

    Parameters
    ----------
    activations, layers
        As `forward` took them.
    signals : sequence of Signal
        As `forward` returned them.
    slope : array, shape (..., samples, outputs)
        dE/dout of the output layer.

    Returns
    -------
    list of array
        delta = dE/dnet of every layer, each of shape (..., samples, fan_out), in the order of the layers.
    """
    deltas = [activations[-1].delta(slope, signals[-1])]
    for above, activation, signal in reversed(list(zip(layers[1:], activations[:-1], signals[:-1], strict=True))):
        slope = deltas[-1] @ above.weight
        deltas.append(activation.delta(slope, signal))
    return deltas[::-1]


def parameter_gradient(
    layers: Sequence[Layer], inputs: Array, signals: Sequence[Signal], deltas: Sequence[Array]
) -> list[Layer]:
    """Turn the deltas into the gradient of every weight and bias.

    Parameters
    ----------
    layers, inputs
        As `forward` took them.
    signals : sequence of Signal
        As `forward` returned them.
    deltas : sequence of array
        As `backward` returned them.

    Returns
    -------
    list of Layer
        dE/dweight, one outer product of delta and the out below a sample, and dE/dbias, summed over the samples.
    """
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
    """Carry a batch up, measure the error, and carry its slope back down: all of backpropagation.

    Parameters
    ----------
    activations : sequence of activation
        One a layer.
    loss : loss
        It measures the error of out against target.
    layers : sequence of Layer
        From the one above the inputs to the output layer.
    inputs : array, shape (..., samples, features)
        The batch.
    target : array, shape (..., samples, outputs), or classes of shape (..., samples)
        What the outputs should be.
    sample_weight : array, shape (..., samples), optional
        What each sample counts for: weights whose mean over all samples is one leave the error in its units.
    """
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
    """Carry a batch up and measure the error, without the way back.

    Parameters
    ----------
    activations, loss, layers, inputs, target, sample_weight
        As `propagate` takes them.
    """
    return mean_error(loss, output(activations, layers, inputs), target, sample_weight)


def input_gradient(
    activations: Sequence[Any],
    loss: Any,
    layers: Sequence[Layer],
    inputs: Array,
    target: Array,
    sample_weight: Array | None = None,
) -> Array:
    """Carry the error's slope all the way down to the inputs: dE/dinputs.

    Parameters
    ----------
    activations, loss, layers, inputs, target, sample_weight
        As `propagate` takes them.

    Returns
    -------
    array, shape (..., samples, features)
        How the mean error moves with each input.
    """
    signals = forward(activations, layers, inputs)
    slope = mean_slope(loss, signals[-1].out, target, sample_weight)
    return backward(activations, layers, signals, slope)[0] @ layers[0].weight
