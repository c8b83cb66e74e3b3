"""What a solver is given, and what is looked at besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.losses import mean_error
from portable_bp.backends import compiled
from portable_bp.estimators.outputs import Output, out_of
from portable_bp.estimators.samples import Examples
from portable_bp.training import Training


class Validation(NamedTuple):
    """Examples that are held out, and how they are looked at.

    Attributes
    ----------
    activations : tuple of activation
        One a layer.
    output : Output
        What the output layer stands for.
    examples : Examples
        What is held out.
    score : callable
        ``score(backend, values, target, sample_weight)`` returns a float.
    with_loss : bool
        Whether the loss is wanted too, as callbacks want it.
    """

    activations: tuple[Any, ...]
    output: Output
    examples: Examples
    score: Callable[..., float]
    with_loss: bool

    def measure(self, layers: Sequence[Layer]) -> tuple[float, float | None]:
        """Return the score of layers, and their loss or None."""
        samples, target, (weight, _) = self.examples
        backend, out = samples.backend, out_of(self.activations, layers, samples)
        score = self.score(backend, compiled(backend, self.output.value)(out), target, weight)
        if not self.with_loss:
            return score, None
        return score, float(backend.to_numpy(compiled(backend, _weighted_mean, self.output.loss)(out, target, weight)))


class Problem(NamedTuple):
    """What a solver is given.

    Attributes
    ----------
    activations : tuple of activation
        One a layer.
    loss : loss
        Of every sample.
    alpha : float
        What the penalty counts for, divided as the sample weights were.
    layers : sequence of Layer
        Where to start.
    examples : Examples
        What to learn from.
    rates : tuple of float
        The dropout rate of each hidden layer.
    callbacks : sequence of callable
        Called with the training after every epoch or iteration.
    validation : Validation or None
        What is held out.
    """

    activations: tuple[Any, ...]
    loss: Any
    alpha: float
    layers: Sequence[Layer]
    examples: Examples
    rates: tuple[float, ...]
    callbacks: Sequence[Callable[[Training], Any]]
    validation: Validation | None


def _weighted_mean(loss: Any, out: Array, target: Array, sample_weight: Array | None) -> Array:
    error = mean_error(loss, out, target, sample_weight)
    return error if sample_weight is None else error / namespace(sample_weight).mean(sample_weight)
