"""Trace one pass forward and back: every net, out, delta and gradient of a network, for any inputs and targets."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer, Signal, map_parameters, namespace, sizes_of
from portable_bp.algorithm.needs import count
from portable_bp.algorithm.propagation import propagate
from portable_bp.backends import Backend
from portable_bp.common.lookup import NotInstalledError
from portable_bp.common.words import counted
from portable_bp.inspection.names import layer_letter

MAX_DISPLAYED = 10_000  # numbers in a trace whose page a notebook shows


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


class Subject(NamedTuple):
    """What was traced.

    Attributes
    ----------
    pieces : Pieces
        The activations, the loss and the rounding.
    parameters : tuple of Layer
        The weights and biases, as arrays of the backend.
    backend : Backend
        The backend that holds the arrays.
    """

    pieces: Pieces
    parameters: tuple[Layer, ...]
    backend: Backend


class Trace:
    """All numbers of one pass forward and back; ``trace["b"].net`` is that of the first layer above the inputs.

    `Network.trace` makes it. Printing it in a notebook shows the page of `to_html`.

    Attributes
    ----------
    inputs, target : array
        The inputs of the network and its targets.
    error : array, shape ()
        The mean over samples of the loss.
    subject : Subject
        What was traced.
    """

    def __init__(self, subject: Subject, inputs: Array, target: Array, error: Array, layers: Sequence[LayerTrace]) -> None:
        self.inputs = inputs
        self.target = target
        self.error = error
        self.subject = subject
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

    def __repr__(self) -> str:
        """Return the sizes of the network, the number of samples and the error."""
        sizes = "-".join(map(str, sizes_of(self.subject.parameters)))
        samples = 1 if self.inputs.ndim == 1 else self.inputs.shape[0]
        error = float(self.subject.backend.to_numpy(self.error))
        return f"<Trace of a {sizes} network, {counted(samples, 'sample')}, E_total {error:.6g}>"

    def _repr_html_(self) -> str | None:
        """Return the page of `to_html` for a notebook; None, which shows the repr, for a large trace or without Jinja2."""
        signals = (layer.net.shape for layer in self._layers.values())
        if count(self.subject.parameters) + sum(map(math.prod, (self.inputs.shape, *signals))) > MAX_DISPLAYED:
            return None
        try:
            page = self.to_html()
        except NotInstalledError:
            return None
        return f'<iframe srcdoc="{html.escape(page)}" title="Backpropagation" width="100%" height="720"></iframe>'

    def to_text(self, learning_rate: float = 0.5, decimals: int | None = None) -> str:
        """Return the pass as a worked example in plain text, with the numbers put into every formula.

        It shows the network, forward propagation, the error, the chain rule for single weights as a sum over paths, the deltas
        of all layers as matrices, every gradient, and the update. Large matrices are abbreviated.

        Parameters
        ----------
        learning_rate : float
            The learning rate of the update.
        decimals : int, optional
            The number of decimals that are shown. The default is that to which `Network.trace` rounded, else 4.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If an argument is not valid.
        """
        return self._explained("text", learning_rate, decimals)

    def to_markdown(self, learning_rate: float = 0.5, decimals: int | None = None) -> str:
        """Return the worked example of `to_text` in Markdown, with formulas in LaTeX as notebooks and GitHub show them.

        Parameters
        ----------
        learning_rate, decimals
            As in `to_text`.

        Returns
        -------
        str
        """
        return self._explained("markdown", learning_rate, decimals)

    def to_latex(self, learning_rate: float = 0.5, decimals: int | None = None) -> str:
        """Return the worked example of `to_text` as a LaTeX document, which needs the package amsmath.

        Parameters
        ----------
        learning_rate, decimals
            As in `to_text`.

        Returns
        -------
        str
        """
        return self._explained("latex", learning_rate, decimals)

    def to_html(self, learning_rate: float = 0.5, decimals: int | None = None) -> str:
        """Return the worked example as a page on which everything can be changed: one file, which works offline.

        The page draws the network, goes through the passes step by step, shows the paths from a weight to the error, and
        trains. A network with an activation or loss of your own is shown, but cannot be changed there.

        Parameters
        ----------
        learning_rate, decimals
            As in `to_text`.

        Returns
        -------
        str

        Raises
        ------
        ImportError
            If Jinja2 is not installed.
        """
        return self._explained("html", learning_rate, decimals)

    def _explained(self, form: str, learning_rate: float, decimals: int | None) -> str:
        from portable_bp.inspection.explanation import explain_trace  # here, since most processes explain nothing

        return explain_trace(self, form, learning_rate, decimals)


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
