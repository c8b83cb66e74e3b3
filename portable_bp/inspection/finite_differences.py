"""Central differences at several steps, which tell a wrong derivative from rounding and from a kink.

The central difference (F(x + h) - F(x - h)) / 2h has a truncation error of h^2 F'''/6 and a rounding error proportional to
1/h. Of the differences at several steps, the one that changes least from step to step is used, and this change is its error.
At a kink, the left and right differences stay apart however small the step, and a derivative between them is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

AGREES, KINK, UNDECIDED, DIFFERS = range(4)

TOLERANCE = 1e-6  # relative; central differences of a smooth function in float64 are accurate to about 1e-9
STEPS = 2e-4 * 8.0 ** -np.arange(8)  # relative to the size of x
WIGGLES = (4e-16, 1e-9, 1.7e-9, 2.3e-9)
EPSILON = float(np.finfo(np.float64).eps)


class Comparison(NamedTuple):
    """Derivatives compared with finite differences, each array of shape (derivatives,).

    Attributes
    ----------
    outcome : array
        AGREES, KINK, UNDECIDED (rounding errors are larger than the distance) or DIFFERS.
    derivative, difference : array
        Both.
    """

    outcome: np.ndarray
    derivative: np.ndarray
    difference: np.ndarray


def compare(
    evaluate: Callable[[np.ndarray], np.ndarray], derivative: np.ndarray, size: np.ndarray, tolerance: np.ndarray | float
) -> Comparison:
    """Compare derivatives with finite differences of ``evaluate``, which takes a step for each and returns a value for each.

    ``size`` holds the size of what is moved, at least 1: steps are relative to it. A distance up to ``tolerance``
    plus TOLERANCE times the finite difference is accepted.
    """
    with np.errstate(all="ignore"):  # values may overflow, and a moved out may leave the domain of a logarithm
        base = evaluate(0.0 * size)
        # Over so short a step a smooth function is a straight line: what is left of a second difference is rounding.
        bends = [evaluate(wiggle * size) - 2.0 * base + evaluate(-wiggle * size) for wiggle in WIGGLES]
        # Terms of the size of x may cancel in a value that is small and constant over that step, as in the tails of gelu_tanh.
        noise = np.abs(np.stack(bends)).max(axis=0) + 2.0 * EPSILON * np.abs(base) + EPSILON * size
        steps = STEPS[:, None] * size
        right = (np.stack([evaluate(step) for step in steps]) - base) / steps
        left = (base - np.stack([evaluate(-step) for step in steps])) / steps
        return _judge(derivative, left, right, noise / steps, tolerance)


def _judge(
    derivative: np.ndarray, left: np.ndarray, right: np.ndarray, rounding: np.ndarray, tolerance: np.ndarray | float
) -> Comparison:
    """Compare derivatives with the left and right differences of all steps, of shape (steps, derivatives)."""
    central = 0.5 * (left + right)
    change = np.abs(np.diff(central, axis=0)) + 2.0 * rounding[1:]
    best = np.argmin(np.where(np.isnan(change), np.inf, change), axis=0)

    def pick(table: np.ndarray, offset: int = 1) -> np.ndarray:
        return np.take_along_axis(table, best[None, :] + offset, axis=0)[0]

    uncertainty, difference = pick(change, 0), pick(central)
    # A jump of the slope keeps its size as the step shrinks; the curvature of a smooth function shrinks with the step.
    jump, jump_before = np.abs(pick(right) - pick(left)), np.abs(pick(right, 0) - pick(left, 0))
    stays = (jump > 0.5 * jump_before) & (jump < 2.0 * jump_before) & (jump > 10.0 * pick(rounding))
    nearest = np.clip(derivative, np.minimum(pick(left), pick(right)), np.maximum(pick(left), pick(right)))
    accepted = tolerance + TOLERANCE * np.abs(difference)
    distance = np.abs(derivative - difference)
    agrees = distance <= accepted
    kink = ~agrees & stays & (np.abs(derivative - nearest) <= accepted + uncertainty)
    # Differences that change with every step say nothing.
    unsteady = uncertainty > np.maximum(0.05 * np.maximum(np.abs(pick(left)), np.abs(pick(right))), accepted)
    undecided = ~np.isfinite(difference) | ~(uncertainty < np.inf) | (distance <= 10.0 * uncertainty) | unsteady
    outcome = np.select([agrees, kink, undecided], [AGREES, KINK, UNDECIDED], DIFFERS)
    return Comparison(outcome, derivative, difference)
