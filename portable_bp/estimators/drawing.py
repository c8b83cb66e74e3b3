"""Everything drawn at random before training starts, with scikit-learn's random numbers and in its order."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from portable_bp.algorithm.arrays import Layer
from portable_bp.backends import Backend
from portable_bp.estimators.sample_weights import require_weight
from portable_bp.estimators.samples import Examples


def draw_layers(backend: Backend, random_state: np.random.RandomState, sizes: Sequence[int], activation: str) -> list[Layer]:
    """Draw the layers of a new network (Glorot and Bengio, AISTATS 2010)."""
    factor = 2.0 if activation == "logistic" else 6.0
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        bound = math.sqrt(factor / (fan_in + fan_out))
        weight = random_state.uniform(-bound, bound, (fan_in, fan_out)).T
        layers.append(Layer(weight, random_state.uniform(-bound, bound, fan_out)))
    return [Layer(*map(backend.asarray, layer)) for layer in layers]


def continue_masks(
    earlier: np.random.Generator | None, random_state: np.random.RandomState, rates: Sequence[float]
) -> np.random.Generator | None:
    """Return the generator of the dropout masks: a copy of the one of earlier calls, or a new one if there is any dropout.

    If random_state is an integer, scikit-learn starts each call from it again. Masks that did so too would drop the same
    neurons for the same samples in every ``partial_fit``, and the other neurons would memorize the samples.
    """
    # Copies: a fit that fails must leave no trace, and everything else is drawn as without dropout.
    generator = copy.deepcopy(earlier)
    if generator is None and any(rates):
        return np.random.default_rng(list(copy.deepcopy(random_state).bytes(16)))
    return generator


def split_examples(
    examples: Examples, random_state: np.random.RandomState, fraction: float, strata: np.ndarray | None
) -> tuple[Examples, Examples]:
    """Return examples to learn from and a held-out fraction, with the same proportions of the strata."""
    learned, held_out = train_test_split(
        np.arange(examples.samples.count), random_state=random_state, test_size=fraction, stratify=strata
    )
    if len(held_out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    parts = examples.take(np.asarray(learned)), examples.take(np.asarray(held_out))
    remedy = "give X_val and y_val, or leave out the samples whose weight is zero"
    for part, name in zip(parts, ("left to learn from", "held out by early_stopping"), strict=True):
        weight, backend = part.sample_weight.array, part.samples.backend
        if weight is None:
            continue
        require_weight(backend, weight, f"sample_weight of the samples {name}", remedy)
        # R^2 needs two samples, and scikit-learn holds out two at least.
        if part is parts[1] and np.count_nonzero(backend.to_numpy(weight)) < 2:
            raise ValueError(f"sample_weight is zero for all but one of the samples {name}, but a score needs two: {remedy}.")
    return parts
