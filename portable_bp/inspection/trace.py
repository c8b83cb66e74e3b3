"""Trace one pass forward and back: every net, out, delta and gradient of a network, for any inputs and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer, Signal, map_parameters, namespace
from portable_bp.algorithm.propagation import propagate
from portable_bp.inspection.letters import layer_letter


class LayerTrace(NamedTuple):
    """One layer of a trace.

    Attributes
    ----------
    net, out : array, shape (samples, neurons) or (neurons,)
        The weighted sums, and the activation's values at them.
    delta : array, of the same shape
        dE/dnet.
    gradient : Layer
        dE/dweight and dE/dbias.
    """

    net: Array
    out: Array
    delta: Array
    gradient: Layer


class Trace:
    """All numbers of one pass forward and back; ``trace["b"].net`` is that of the first layer above the inputs.

    Parameters
    ----------
    inputs, target : array
        The inputs of the network and its targets.
    error : array, shape ()
        The mean over samples of the loss.
    layers : sequence of LayerTrace
        From the layer above the inputs to the outputs.

    Attributes
    ----------
    inputs, target, error : array
        As above.
    """

    def __init__(self, inputs: Array, target: Array, error: Array, layers: Sequence[LayerTrace]) -> None:
        self.inputs = inputs
        self.target = target
        self.error = error
        self._layers = {layer_letter(number): layer for number, layer in enumerate(layers, start=1)}

    def __getitem__(self, letter: str) -> LayerTrace:
        """Return a layer by its letter; b is the first above the inputs."""
        if letter not in self._layers:
            raise KeyError(f"no layer {letter!r}: the layers above the inputs, a, are {', '.join(self._layers)}.")
        return self._layers[letter]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the letters of the layers."""
        return iter(self._layers)

    def __len__(self) -> int:
        """Return the number of layers above the inputs."""
        return len(self._layers)


class Rounded(NamedTuple):
    """An activation whose net, out, slope and delta are rounded to some decimals, as in a calculation by hand."""

    activation: Any
    decimals: int

    def value(self, net: Array) -> Array:
        """Return the rounded value at the rounded net."""
        return round_to(self.activation.value(round_to(net, self.decimals)), self.decimals)

    def delta(self, slope: Array, signal: Signal) -> Array:
        """Return the rounded delta of the rounded slope."""
        rounded = Signal(round_to(signal.net, self.decimals), signal.out)
        return round_to(self.activation.delta(round_to(slope, self.decimals), rounded), self.decimals)


def round_to(array: Array, decimals: int) -> Array:
    """Return numbers rounded to some decimals, halves to even."""
    return namespace(array).round(array * 10.0**decimals) / 10.0**decimals


class Pieces(NamedTuple):
    """The pieces of the algorithm to trace.

    Attributes
    ----------
    activations : tuple of activation
        The activations through which the loss is computed.
    loss : loss
        The loss; if it is computed from the net of the output layer, the last activation is the identity.
    output : activation
        The activation that gives the output layer's out.
    decimals : int or None
        Every result is rounded to this many decimals before it is used further; None rounds nothing.
    """

    activations: tuple[Any, ...]
    loss: Any
    output: Any
    decimals: int | None


def trace_network(
    pieces: Pieces, layers: Sequence[Layer], inputs: Array, target: Array, sample_weight: Array | None = None
) -> tuple[Array, list[LayerTrace]]:
    """Return the error and the trace of every layer."""
    activations, loss, output, decimals = pieces
    if decimals is None:
        passed = propagate(activations, loss, layers, inputs, target, sample_weight)
        last = passed.signals[-1]
        signals = [*passed.signals[:-1], last._replace(out=output.value(last.net))]
        return passed.error, [
            LayerTrace(*signal, delta, gradient)
            for signal, delta, gradient in zip(signals, passed.deltas, passed.gradient, strict=True)
        ]
    *by_hand, shown = [Rounded(activation, decimals) for activation in (*activations, output)]
    error, exact = trace_network(Pieces(tuple(by_hand), loss, shown, None), layers, inputs, target, sample_weight)

    def rounded(array: Array) -> Array:
        return round_to(array, decimals)

    return rounded(error), [
        LayerTrace(rounded(net), out, delta, *map_parameters(rounded, [gradient])) for net, out, delta, gradient in exact
    ]
