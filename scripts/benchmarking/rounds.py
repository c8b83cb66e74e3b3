"""How it is measured: in rounds, everyone in turn, each warm and alone; a ratio is taken within a round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


def rest() -> None:
    """Wait until no thread of this process works or spins any more, a second at most."""
    until = time.perf_counter() + 1.0
    while time.perf_counter() < until:
        used = time.process_time()
        time.sleep(0.02)
        if time.process_time() - used < 0.001:
            return


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


def measure(turns: Mapping[str, Turn], rounds: int, tell: Callable[[], object]) -> dict[str, list[float]]:
    """Return the seconds of a step, one number a round, for everyone.

    Parameters
    ----------
    turns : mapping of str to Turn
        Who takes part.
    rounds : int
        How many.
    tell : callable
        Called after every turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
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
        Takes a number of steps; it has run before.
    most : int
        How many there may be.
    """
    count = 1
    while count < most:
        began = time.perf_counter()
        run(count)
        took = time.perf_counter() - began
        if took > seconds / 4:
            return max(1, min(most, round(count * seconds / took)))
        count = min(most, count * 4)
    return most
