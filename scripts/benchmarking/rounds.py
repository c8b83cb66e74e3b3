"""How time is measured: in rounds, in which every contestant takes a turn, warm and alone; ratios are taken within a round."""

from __future__ import annotations

import contextlib
import math
import random
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import NamedTuple, TypeVar

import numpy as np

HOST, EVENTS = "by the host's clock", "by CUDA events"


def rest(patience: float = 2.0) -> None:
    """Wait up to ``patience`` seconds until all threads of this process are idle, and warn if they are not.

    Thread pools spin for a while after their work; whatever is timed meanwhile would share its cores with them.
    """
    deadline = time.perf_counter() + patience
    while time.perf_counter() < deadline:
        used = time.process_time()
        time.sleep(0.02)
        if time.process_time() - used < 0.001:
            return
    warnings.warn("threads of some library did not become idle: what was timed next shared its cores with them.", stacklevel=2)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer with a TimeoutError, as soon as it runs Python code; call this in the main thread."""
    if seconds == math.inf:
        yield
        return
    reason, interrupted = f"it took more than {round(seconds, 1):g} s", False

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return  # a library whose import was interrupted may never be imported again
            frame = frame.f_back
        interrupted = True
        raise TimeoutError(reason)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)  # again and again: a library may catch the error and continue
    try:
        yield
    except Exception as error:
        if interrupted:  # by an error that the library may have replaced by its own
            raise TimeoutError(reason) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


class Turn(NamedTuple):
    """What a contestant does in a round."""

    run: Callable[[int], object]  # takes a number of steps, and returns when they are done
    steps: int  # timed
    warm: int  # run before, not timed
    stopwatch: Callable[[], Callable[[], float]] | None = None  # times the work on a device, see ``contestants.stopwatches``

    def time(self) -> dict[str, float]:
        """Run the timed steps, and return the seconds of one by each clock."""
        stop = None if self.stopwatch is None else self.stopwatch()
        began = time.perf_counter()
        self.run(self.steps)
        seconds = {HOST: time.perf_counter() - began}
        if stop is not None:
            seconds[EVENTS] = stop()
        return {clock: took / self.steps for clock, took in seconds.items()}


Who = TypeVar("Who")


def measure(turns: Mapping[Who, Turn], rounds: int, label: str, patience: float = 2.0) -> dict[Who, dict[str, list[float]]]:
    """Return the seconds of a step, one a round, by who took the turn and by clock; the label names the progress bar."""
    from tqdm import tqdm

    seconds: dict[Who, dict[str, list[float]]] = {who: {} for who in turns}
    with tqdm(total=rounds * len(turns), desc=label, unit="turn", leave=False) as bar:
        for _ in range(rounds):
            for who in random.sample(list(turns), len(turns)):
                rest(patience)
                turns[who].run(turns[who].warm)
                for clock, took in turns[who].time().items():
                    seconds[who].setdefault(clock, []).append(took)
                bar.update()
    return seconds


def by_host(seconds: Mapping[Who, Mapping[str, list[float]]]) -> dict[Who, list[float]]:
    """Return what ``measure`` found by the host's clock alone."""
    return {who: clocks[HOST] for who, clocks in seconds.items()}


def quartiles(numbers: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return [float(number) for number in np.quantile(np.asarray(numbers), [0.25, 0.5, 0.75])]


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the quartiles of the ratios of two contestants' seconds, round by round; one may have left after some rounds."""
    return quartiles([one / other for one, other in zip(mine, theirs, strict=False)])


def steps_lasting(seconds: float, run: Callable[[int], object], most: int) -> int:
    """Return how many steps take about that long, ``most`` at most; the first step, which may compile, does not count."""
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


def steps_within(seconds: float, run: Callable[[int], object], most: int) -> int:
    """Return how many steps take no longer than that: all where possible, so that the fixed costs of a run count least.

    The function must have run before.
    """
    began = time.perf_counter()
    run(most)
    took = time.perf_counter() - began
    if took <= seconds:
        return most
    count = max(min(most, 5), int(most * seconds / took))
    run(count)  # which may compile again
    return count
