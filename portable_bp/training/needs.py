"""The memory that a training takes, for the advice when memory runs out."""

from __future__ import annotations

import math

from portable_bp.algorithm.needs import Need, count, need_of_step
from portable_bp.common.trees import leaves
from portable_bp.training.batches import MAX_NUMBERS
from portable_bp.training.history import Training
from portable_bp.training.settings import Settings


def need_of_training(training: Training, settings: Settings, samples: int) -> Need:
    """Return an upper bound: what a step takes, and what is kept from one epoch to the next."""
    parameters, per_sample = count(training.layers), settings.numbers_per_sample(training.layers)
    # If memory ran out before the optimizer's state was created, assume Adam's, which is the largest.
    state = sum(math.prod(leaf.shape) for leaf in leaves(training.state) if hasattr(leaf, "shape")) or 2 * parameters
    need = need_of_step(training.layers, state, per_sample)
    # The parameters before an epoch, after it, and the best ones; the order of the samples; and two chunks of batches.
    kept = 3 * parameters + state + 2 * samples + 2 * min(MAX_NUMBERS, samples * per_sample)
    return need._replace(fixed=need.fixed + kept)
