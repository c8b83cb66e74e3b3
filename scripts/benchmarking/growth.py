"""How the cost grows with the number of weights and of samples, above what every step and every fit costs anyway."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import portable_bp as bp

FEWEST = 320  # weights, or samples: enough of them to take the same way as many do


def growth_with_weights(largest: int) -> dict[str, Any]:
    """Return the seconds of a step for networks of 10^3 weights and more, in batches of 64.

    Parameters
    ----------
    largest : int
        How many weights the last of them has.
    """
    return _growth(_step_of, largest)


def growth_with_samples(largest: int) -> dict[str, Any]:
    """Return the seconds of an epoch of 16-64-4 on 10^3 samples and more, in batches of 64.

    Parameters
    ----------
    largest : int
        How many samples the last has.
    """
    return _growth(_epoch_of, largest)


def slope(sizes: Sequence[float], seconds: Sequence[float], overhead: float) -> float:
    """Return the slope of log seconds against log size, the overhead taken off.

    Parameters
    ----------
    sizes, seconds : sequence of float
        What was measured.
    overhead : float
        In seconds.
    """
    return float(np.polyfit(np.log(sizes), np.log(np.asarray(seconds) - overhead), 1)[0])


def _growth(seconds_of: Callable[[int], float], largest: int) -> dict[str, Any]:
    sizes = [10**power for power in range(3, round(math.log10(largest)) + 1)]
    overhead = max(0.0, 2.0 * seconds_of(FEWEST) - seconds_of(2 * FEWEST))  # where the line through two small sizes begins
    seconds = [seconds_of(size) for size in sizes]
    above = [(size, took) for size, took in zip(sizes, seconds, strict=True) if took > 1.5 * overhead]
    fitted = slope(*map(list, zip(*above, strict=True)), overhead) if len(above) > 1 else math.nan  # type: ignore[arg-type]
    return {"sizes": sizes, "seconds": seconds, "overhead": overhead, "slope": fitted, "fitted_from": above[0][0]}


def _step_of(weights: int) -> float:
    """Return the seconds of a step of a square network of three layers, or of one with three weights."""
    width = max(1, round(math.sqrt(weights / 3)))
    steps = 10 if weights > 10**7 else 40 if weights > 10**6 else 300
    x = np.random.default_rng(0).random((64 * steps, width), dtype="float32")
    network = bp.Network([width] * 4, backend="numpy", seed=0)
    return min(_took(lambda: network.fit(x, x, batch_size=64, seed=0)) for _ in range(3)) / steps


def _epoch_of(samples: int) -> float:
    generator = np.random.default_rng(0)
    count = max(64, samples)
    x, target = generator.random((count, 16), dtype="float32"), generator.random((count, 4), dtype="float32")
    network = bp.Network([16, 64, 4], backend="numpy", seed=0)
    return min(_took(lambda: network.fit(x, target, batch_size=64, seed=0)) for _ in range(3))


def _took(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
