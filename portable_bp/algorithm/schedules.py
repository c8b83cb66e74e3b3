"""Learning-rate schedules: functions of the number of updates so far.

``count`` is a floating-point array of shape (), so that a traced or recorded step keeps following the schedule.
A user's own schedule is any such function. Every schedule returns an array of the shape and dtype of ``count``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from portable_bp.algorithm.arrays import Array, as_number, namespace
from portable_bp.algorithm.fields import COUNT, NOT_NEGATIVE, POSITIVE, RATE, validate_member_fields


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every update.

    Parameters
    ----------
    rate : float
        The learning rate, above 0.

    Raises
    ------
    ValueError
        If the rate is not above 0.
    """

    rate: float

    def __post_init__(self) -> None:
        validate_member_fields(self, rate=POSITIVE)

    def __call__(self, count: Array) -> Array:
        """Return the rate."""
        return as_number(self.rate, count) + 0.0 * count


@dataclass(frozen=True)
class Step:
    """A learning rate that is multiplied by a factor at regular intervals (step decay, as in arXiv:1512.03385).

    Parameters
    ----------
    rate : float
        The learning rate at the start, above 0.
    every : int
        The number of updates between one change and the next, from 1 up.
    factor : float, default 0.1
        What the rate is multiplied by, above 0.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        validate_member_fields(self, rate=POSITIVE, every=COUNT, factor=POSITIVE)

    def __call__(self, count: Array) -> Array:
        """Return rate * factor^floor(count / every)."""
        # The half keeps floor on the right side where a compiler divides by multiplying with a rounded reciprocal.
        rate, factor, every = (as_number(number, count) for number in (self.rate, self.factor, self.every))
        return rate * factor ** namespace(count).floor((count + 0.5) / every)


@dataclass(frozen=True)
class Exponential:
    """A learning rate that is multiplied by the same factor at every update (exponential decay, as in arXiv:1512.00567).

    Parameters
    ----------
    rate : float
        The learning rate at the start, above 0.
    factor : float
        What the rate is multiplied by in ``over`` updates, above 0.
    over : int, default 1
        The number of updates that the factor stands for, from 1 up.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    rate: float
    factor: float
    over: int = 1

    def __post_init__(self) -> None:
        validate_member_fields(self, rate=POSITIVE, factor=POSITIVE, over=COUNT)

    def __call__(self, count: Array) -> Array:
        """Return rate * factor^(count / over)."""
        rate, factor, over = (as_number(number, count) for number in (self.rate, self.factor, self.over))
        return rate * factor ** (count / over)


@dataclass(frozen=True)
class Cosine:
    """A learning rate that falls along half a cosine and then stays the same (arXiv:1608.03983, without restarts).

    Parameters
    ----------
    rate : float
        The learning rate at the start, above 0.
    over : int
        The number of updates in which it falls, from 1 up.
    final : float, default 0.0
        The learning rate from then on, from 0 up.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    rate: float
    over: int
    final: float = 0.0

    def __post_init__(self) -> None:
        validate_member_fields(self, rate=POSITIVE, over=COUNT, final=NOT_NEGATIVE)

    def __call__(self, count: Array) -> Array:
        """Return final + (rate - final) * (1 + cos(pi * min(count / over, 1))) / 2."""
        xp = namespace(count)
        rate, over, final = (as_number(number, count) for number in (self.rate, self.over, self.final))
        progress = xp.minimum(count / over, 1.0)
        return final + (rate - final) * 0.5 * (1.0 + xp.cos(math.pi * progress))


@dataclass(frozen=True)
class WarmUp:
    """Another schedule, whose rate is scaled up linearly over the first updates (gradual warmup, arXiv:1706.02677).

    Parameters
    ----------
    schedule : float or schedule
        The learning rate to warm up to: a number above 0, or a schedule, which counts the updates of the warmup too.
    over : int
        The number of updates that the warmup takes, from 1 up; the last of them has the full rate.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    schedule: Any
    over: int

    def __post_init__(self) -> None:
        validate_member_fields(self, schedule=RATE, over=COUNT)

    def __call__(self, count: Array) -> Array:
        """Return the schedule's rate * min((count + 1) / over, 1)."""
        return rate_at(self.schedule, count) * namespace(count).minimum((count + 1.0) / as_number(self.over, count), 1.0)


def rate_at(learning_rate: Any, count: Array) -> Array | float:
    """Return the learning rate after that many updates: it is a number, one for each member, or a function of the count."""
    return learning_rate(count) if callable(learning_rate) else as_number(learning_rate, count)
