"""Learning-rate schedules: functions of how many updates have been made.

``count`` is a floating-point array of shape (), so that a step that was traced or captured once goes on following the
schedule. A user's own schedule is any function of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.algorithm.fields import COUNT, NOT_NEGATIVE, POSITIVE, RATE, validate_fields


@dataclass(frozen=True)
class Constant:
    """The same rate at every update.

    Parameters
    ----------
    rate : float
        The learning rate.
    """

    rate: float

    def __post_init__(self) -> None:
        validate_fields(self, rate=POSITIVE)

    def __call__(self, count: Array) -> Array:
        """Return the rate."""
        return self.rate + 0.0 * count


@dataclass(frozen=True)
class Step:
    """The rate is multiplied by a factor every so many updates.

    Parameters
    ----------
    rate : float
        The learning rate at the start.
    every : int
        After how many updates it changes.
    factor : float
        What it is multiplied by.
    """

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        validate_fields(self, rate=POSITIVE, every=COUNT, factor=POSITIVE)

    def __call__(self, count: Array) -> Array:
        """Return rate * factor^floor(count / every)."""
        # The half keeps floor on the right side where a compiler divides by multiplying with a rounded reciprocal.
        return self.rate * self.factor ** namespace(count).floor((count + 0.5) / self.every)


@dataclass(frozen=True)
class Exponential:
    """The rate shrinks by the same factor at every update.

    Parameters
    ----------
    rate : float
        The learning rate at the start.
    factor : float
        What it is multiplied by, over so many updates.
    over : int
        How many updates the factor stands for.
    """

    rate: float
    factor: float
    over: int = 1

    def __post_init__(self) -> None:
        validate_fields(self, rate=POSITIVE, factor=POSITIVE, over=COUNT)

    def __call__(self, count: Array) -> Array:
        """Return rate * factor^(count / over)."""
        return self.rate * self.factor ** (count / self.over)


@dataclass(frozen=True)
class Cosine:
    """The rate falls along half a cosine, then stays (arXiv:1608.03983, without restarts).

    Parameters
    ----------
    rate : float
        The learning rate at the start.
    over : int
        In how many updates it falls.
    final : float
        The learning rate at the end.
    """

    rate: float
    over: int
    final: float = 0.0

    def __post_init__(self) -> None:
        validate_fields(self, rate=POSITIVE, over=COUNT, final=NOT_NEGATIVE)

    def __call__(self, count: Array) -> Array:
        """Return the rate at a point of the half-cosine."""
        xp = namespace(count)
        progress = xp.minimum(count / self.over, 1.0)
        return self.final + (self.rate - self.final) * 0.5 * (1.0 + xp.cos(math.pi * progress))


@dataclass(frozen=True)
class WarmUp:
    """Another schedule, reached in equal steps over the first updates.

    Parameters
    ----------
    schedule : float or schedule
        What to warm up to.
    over : int
        How many updates the way takes; the last of them has the full rate.
    """

    schedule: Any
    over: int

    def __post_init__(self) -> None:
        validate_fields(self, schedule=RATE, over=COUNT)

    def __call__(self, count: Array) -> Array:
        """Return the schedule's rate, scaled down during the first updates."""
        return rate_at(self.schedule, count) * namespace(count).minimum((count + 1.0) / self.over, 1.0)


def rate_at(learning_rate: Any, count: Array) -> Array | float:
    """Return the learning rate of an update.

    Parameters
    ----------
    learning_rate : float or schedule
        A number, or a function of the count.
    count : array, shape ()
        How many updates were made before this one.
    """
    return learning_rate(count) if callable(learning_rate) else learning_rate
