"""The objective of scikit-learn's multilayer perceptron: a batch's weighted mean loss plus a penalty on the weights.

error = sum(sample_weight * loss) / sum(sample_weight) + alpha / 2 * sum(weight^2) / sum(sample_weight), over one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from portable_bp.algorithm.arrays import Array, Layer, aligned, as_number, namespace
from portable_bp.algorithm.propagation import propagate


@dataclass(frozen=True)
class PenalizedLoss:
    """A batch's weighted mean loss with an L2 penalty.

    A batch whose sample weights add up to zero has an error and a gradient of zero; scikit-learn raises an error there. In a
    population, alpha may be a tuple of one number for each member.
    """

    loss: Any
    alpha: float | tuple[float, ...]

    def __call__(
        self,
        activations: Sequence[Any],
        layers: Sequence[Layer],
        inputs: Array,
        target: Array,
        sample_weight: Array | None,
    ) -> tuple[Array, list[Layer]]:
        """Return a batch's error and its gradient."""
        counted: Any = inputs.shape[-2]
        if sample_weight is not None:
            xp = namespace(sample_weight)
            counted = xp.sum(sample_weight, axis=-1)
            counted = xp.where(counted == 0.0, xp.inf, counted)  # whatever is divided by it is then zero
            sample_weight = sample_weight / counted[..., None] * inputs.shape[-2]
        passed = propagate(activations, self.loss, layers, inputs, target, sample_weight)
        if not self.alpha:
            return passed.error, passed.gradient
        return add_penalty(passed.error, passed.gradient, layers, as_number(self.alpha, layers[0].weight) / counted)


def add_penalty(error: Array, gradient: Sequence[Layer], layers: Sequence[Layer], decay: Any) -> tuple[Array, list[Layer]]:
    """Return an error with decay / 2 * sum(weight^2) added, and its gradient."""
    xp = namespace(error)
    weights = [xp.reshape(layer.weight, (*layer.weight.shape[:-2], -1)) for layer in layers]
    squares = sum(xp.vecdot(weight, weight) for weight in weights)
    added = [
        Layer(slope.weight + aligned(decay, layer.weight) * layer.weight, slope.bias)
        for slope, layer in zip(gradient, layers, strict=True)
    ]
    return error + 0.5 * decay * squares, added
