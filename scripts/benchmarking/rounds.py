"""How it is measured: in rounds, everyone in turn, each warm and alone; a ratio is taken within a round."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np


def rest() -> None:
    """Wait until no thread of this process works or spins any more; say so where they do not stop.

    Libraries let their threads spin for a while, in case of more work, and what runs meanwhile would share its cores with them.
    """
    until = time.perf_counter() + 2.0
    while time.perf_counter() < until:
        used = time.process_time()
        time.sleep(0.02)
        if time.process_time() - used < 0.001:
            return
    warnings.warn("some library's threads have not come to rest: what was timed next shared its cores with them.", stacklevel=2)


class Turn(NamedTuple):
    """What a contestant does in a round.

    Attributes
    ----------
    run : callable
        Takes a number of steps, and returns when they are done.
    steps : int
        How many are timed.
    warm : int
        How many go before, untimed.
    """

    run: Callable[[int], object]
    steps: int
    warm: int


Who = TypeVar("Who")


def measure(turns: Mapping[Who, Turn], rounds: int, tell: Callable[[], object]) -> dict[Who, list[float]]:
    """Return the seconds of a step, one number a round, for everyone.

    Parameters
    ----------
    turns : mapping to Turn
        Who takes part.
    rounds : int
        How many.
    tell : callable
        Called after every turn.
    """
    seconds: dict[Who, list[float]] = {name: [] for name in turns}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(turns), len(turns)):
            turn = turns[name]
            rest()
            turn.run(turn.warm)
            began = time.perf_counter()
            turn.run(turn.steps)
            seconds[name].append((time.perf_counter() - began) / turn.steps)
            tell()
    return seconds


def quartiles(numbers: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile.

    Parameters
    ----------
    numbers : sequence of float
        One a round.
    """
    return [float(number) for number in np.quantile(np.asarray(numbers), [0.25, 0.5, 0.75])]


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the quartiles of the ratios, taken round by round.

    Parameters
    ----------
    mine, theirs : sequence of float
        One a round, of the same rounds.
    """
    return quartiles([one / other for one, other in zip(mine, theirs, strict=True)])


def steps_in(seconds: float, run: Callable[[int], object], most: int) -> int:
    """Return how many steps take about so long.

    Parameters
    ----------
    seconds : float
        How long a turn should be.
    run : callable
        Takes a number of steps; the first is not timed, since it may compile.
    most : int
        How many there may be.
    """
    run(1)
    count = 1
    while count < most:
        began = time.perf_counter()
        run(count)
        took = time.perf_counter() - began
        if took > seconds / 4:
            return max(1, min(most, round(count * seconds / took)))
        count = min(most, count * 4)
    return most
