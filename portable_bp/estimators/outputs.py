"""What the outputs stand for, and the losses as scikit-learn reports them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from portable_bp.algorithm.activations import Exp, Identity, sigmoid, softmax
from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.losses import BinaryCrossEntropy, CrossEntropy, Poisson, SquaredError, one_hot
from portable_bp.algorithm.needs import need_of_output
from portable_bp.algorithm.propagation import output
from portable_bp.backends import advise_fewer, attempt, compiled, joined
from portable_bp.estimators.samples import Dense, Hosted


class Output(NamedTuple):
    """An output layer's activation and loss, and what is made of its out.

    Attributes
    ----------
    activation : activation
        Of the output layer; the cross-entropies take the raw net.
    loss : loss
        What training makes small, and what is reported.
    value : callable
        Turns the layer's out into probabilities or predictions.
    """

    activation: Any
    loss: Any
    value: Callable[[Array], Array]


@dataclass(frozen=True)
class LogLoss(CrossEntropy):
    """The cross-entropy of one class among several, as scikit-learn reports it: from a probability that is held off 0 and 1."""

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of every sample, in nats."""
        xp = namespace(out)
        return -xp.log(_held_off(xp.sum(one_hot(target, out) * softmax(out), axis=-1)))


@dataclass(frozen=True)
class BinaryLogLoss(BinaryCrossEntropy):
    """The cross-entropy of yes-or-no outputs, as scikit-learn reports it: from a probability that is held off 0 and 1."""

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of every sample, in nats."""
        xp = namespace(out)
        probability = _held_off(sigmoid(out))
        return -xp.sum(target * xp.log(probability) + (1.0 - target) * xp.log(1.0 - probability), axis=-1)


def _held_off(probability: Array) -> Array:
    """Return probabilities that are no nearer to 0 and 1 than the rounding unit."""
    xp = namespace(probability)
    unit = float(xp.finfo(probability.dtype).eps)
    return xp.minimum(xp.maximum(probability, unit), 1.0 - unit)


# By the names that scikit-learn gives the output activations.
OUTPUTS = {
    "softmax": Output(Identity(), LogLoss(), softmax),
    "logistic": Output(Identity(), BinaryLogLoss(), sigmoid),
    "identity": Output(Identity(), SquaredError(), Identity().value),
    "exp": Output(Exp(), Poisson(), Identity().value),
}


def out_of(activations: tuple[Any, ...], layers: Sequence[Layer], samples: Dense | Hosted) -> Array:
    """Return the output layer's out for samples.

    Parameters
    ----------
    activations : tuple of activation
        One a layer.
    layers : sequence of Layer
        The parameters.
    samples : Dense or Hosted
        What goes in.

    Returns
    -------
    array, shape (samples, outputs)
        On the device.
    """
    run = compiled(samples.backend, output, activations)
    width = max(max(layer.weight.shape) for layer in layers)
    parts = samples.spans(width)
    most = parts[0].stop
    return attempt(
        lambda: joined(samples.backend, [run(layers, samples.dense(span)) for span in parts]),
        samples.backend,
        f"predicting {most:,} samples at once",
        advise_fewer(need_of_output, layers, most),
    )
