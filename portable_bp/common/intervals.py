"""Intervals from errors on held-out samples: split conformal prediction (doi:10.1080/01621459.2017.1307116).

Of n errors and that of a new sample, each is equally likely to have any rank. So the new error is at most the one with rank
ceil((n + 1) coverage) with a probability of at least the coverage, whatever the errors are.
"""

from __future__ import annotations

import math

DIGITS = 9  # that products of a coverage are exact to: 0.9 / (1 - 0.9) is 9 and a little in floating point


def rank_of_error(count: int, coverage: float) -> int:
    """Return the rank from 1 of the error that is the half-width of an interval; above the count if there are too few."""
    return max(1, math.ceil(round((count + 1) * coverage, DIGITS)))


def errors_needed(coverage: float) -> int:
    """Return the fewest errors that an interval of a coverage needs."""
    return math.ceil(round(coverage / (1.0 - coverage), DIGITS))
