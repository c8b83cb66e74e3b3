"""The output layers of the estimators, with the losses as scikit-learn reports them."""

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
from portable_bp.estimators.samples import Samples


class Output(NamedTuple):
    """An output layer: its activation, the loss to minimize, and the function from its out to probabilities or predictions."""

    activation: Any  # the cross-entropies take the raw net
    loss: Any
    value: Callable[[Array], Array]


@dataclass(frozen=True)
class LogLoss(CrossEntropy):
    """The cross-entropy of one class among several, from a clipped probability as scikit-learn reports it."""

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of each sample, in nats."""
        xp = namespace(out)
        return -xp.log(_clip(xp.sum(one_hot(target, out) * softmax(out), axis=-1)))


@dataclass(frozen=True)
class BinaryLogLoss(BinaryCrossEntropy):
    """The cross-entropy of yes-or-no outputs, from clipped probabilities as scikit-learn reports it."""

    def value(self, out: Array, target: Array) -> Array:
        """Return the cross-entropy of each sample, in nats."""
        xp = namespace(out)
        probability = _clip(sigmoid(out))
        return -xp.sum(target * xp.log(probability) + (1.0 - target) * xp.log(1.0 - probability), axis=-1)


def _clip(probability: Array) -> Array:
    """Return probabilities that are at least the machine epsilon away from 0 and 1."""
    xp = namespace(probability)
    epsilon = float(xp.finfo(probability.dtype).eps)
    return xp.minimum(xp.maximum(probability, epsilon), 1.0 - epsilon)


# By the names that scikit-learn gives the output activations.
OUTPUTS = {
    "softmax": Output(Identity(), LogLoss(), softmax),
    "logistic": Output(Identity(), BinaryLogLoss(), sigmoid),
    "identity": Output(Identity(), SquaredError(), Identity().value),
    "exp": Output(Exp(), Poisson(), Identity().value),
}


def compute_output(activations: tuple[Any, ...], layers: Sequence[Layer], samples: Samples) -> Array:
    """Return the output layer's out, of shape (samples, outputs), on the device."""
    run = compiled(samples.backend, output, activations)
    width = max(max(layer.weight.shape) for layer in layers)
    spans = samples.spans(width)
    at_once = spans[0].stop
    return attempt(
        lambda: joined(samples.backend, [run(layers, samples.chunk(span)) for span in spans]),
        samples.backend,
        f"predicting {at_once:,} samples at once",
        advise_fewer(need_of_output, layers, at_once),
    )
