"""What scikit-learn's multilayer perceptron makes small: a batch's weighted mean loss, and a penalty on the weights.

error = sum(sample_weight * loss) / sum(sample_weight) + alpha / 2 * sum(weight^2) / sum(sample_weight), over one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.propagation import propagate


@dataclass(frozen=True)
class PenalizedLoss:
    """A batch's weighted mean of a loss, and a penalty.

    Parameters
    ----------
    loss : loss
        Of every sample.
    alpha : float
        What the penalty counts for.
    """

    loss: Any
    alpha: float

    def __call__(
        self,
        activations: Sequence[Any],
        layers: Sequence[Layer],
        inputs: Array,
        target: Array,
        sample_weight: Array | None,
    ) -> tuple[Array, list[Layer]]:
        """Return a batch's error and its gradient."""
        xp = namespace(inputs)
        counted: Any = inputs.shape[-2]
        if sample_weight is not None:
            counted = xp.sum(sample_weight)
            sample_weight = sample_weight * (inputs.shape[-2] / counted)
        passed = propagate(activations, self.loss, layers, inputs, target, sample_weight)
        if not self.alpha:
            return passed.error, passed.gradient
        decay = self.alpha / counted
        weights = [xp.reshape(layer.weight, (-1,)) for layer in layers]
        squares = sum(xp.vecdot(weight, weight) for weight in weights)
        gradient = [
            Layer(slope.weight + decay * layer.weight, slope.bias) for slope, layer in zip(passed.gradient, layers, strict=True)
        ]
        return passed.error + 0.5 * decay * squares, gradient
