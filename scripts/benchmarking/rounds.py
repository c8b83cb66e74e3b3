"""How it is measured: in rounds, everyone in turn, each warm and alone; a ratio is taken within a round."""

from __future__ import annotations

import math
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np


def rest(patience: float = 2.0) -> None:
    """Wait until no thread of this process works or spins any more; say so where they do not stop.

    Libraries let their threads spin for a while, in case of more work, and what runs meanwhile would share its cores with them.

    Parameters
    ----------
    patience : float
        How many seconds to wait, at most.
    """
    until = time.perf_counter() + patience
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
    stopwatch : callable, optional
        Measures what is done on a device, as a contestant's does.
    """

    run: Callable[[int], object]
    steps: int
    warm: int
    stopwatch: Callable[[], Callable[[], float]] | None = None


def by_host(turn: Turn) -> float:
    """Take a turn, and return the seconds of a step by the host's clock.

    Parameters
    ----------
    turn : Turn
        One that is warm.
    """
    began = time.perf_counter()
    turn.run(turn.steps)
    return (time.perf_counter() - began) / turn.steps


Who = TypeVar("Who")


def measure(
    turns: Mapping[Who, Turn],
    rounds: int,
    tell: Callable[[], object],
    take: Callable[[Turn], Any] = by_host,
    until: float = math.inf,
    patience: float = 2.0,
) -> dict[Who, list[Any]]:
    """Return the seconds of a step, one number a round, for everyone.

    Parameters
    ----------
    turns : mapping to Turn
        Who takes part.
    rounds : int
        How many.
    tell : callable
        Called after every turn.
    take : callable
        Takes a turn, and returns the seconds of a step, by whatever clocks.
    until : float
        When, by `time.time`, no other round is begun; there is one in any case.
    patience : float
        How many seconds to wait for threads to rest, at most.
    """
    seconds: dict[Who, list[Any]] = {name: [] for name in turns}
    order = random.Random(0)
    for number in range(rounds):
        if number and time.time() > until:
            break
        for name in order.sample(list(turns), len(turns)):
            turn = turns[name]
            rest(patience)
            turn.run(turn.warm)
            seconds[name].append(take(turn))
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


def fewer_steps(seconds: float, run: Callable[[int], object], most: int) -> int:
    """Return how many steps take no longer than that, all of them where they can: what begins and ends a run counts least then.

    Parameters
    ----------
    seconds : float
        How long a turn may be.
    run : callable
        Takes a number of steps, and has been run before.
    most : int
        How many there are.
    """
    began = time.perf_counter()
    run(most)
    took = time.perf_counter() - began
    if took <= seconds:
        return most
    count = max(min(most, 5), int(most * seconds / took))
    run(count)  # which may compile anew
    return count
