"""How the time grows with the number of weights and of samples, above the fixed overhead of every step and every fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import portable_bp as bp
from scripts.benchmarking.rounds import rest

BATCH = 64


def growth_with_weights(largest: int) -> dict[str, Any]:
    """Return the seconds of a step for networks of about 10^3 weights and more, in batches of 64."""
    return _growth(_step_of, 10**3, largest)


def growth_with_samples(largest: int) -> dict[str, Any]:
    """Return the seconds of an epoch of 16-64-4 on 10^3 samples and more, in batches of 64."""
    return _growth(_epoch_of, 10**3, largest)


def slope(sizes: Sequence[float], seconds: Sequence[float], overhead: float) -> float:
    """Return the slope of log(seconds - overhead) against log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(np.asarray(seconds) - overhead), 1)[0])


def _growth(measure: Callable[[int], tuple[int, float]], smallest: int, largest: int) -> dict[str, Any]:
    # The overhead is the intercept of the line through two small sizes.
    (few, took_few), (more, took_more) = measure(smallest // 3), measure(2 * smallest // 3)
    overhead = max(0.0, (more * took_few - few * took_more) / (more - few))
    sizes, seconds = zip(*(measure(10**power) for power in range(3, round(math.log10(largest)) + 1)), strict=True)
    above = [(size, took) for size, took in zip(sizes, seconds, strict=True) if took > 1.5 * overhead]
    fitted = slope([size for size, _ in above], [took for _, took in above], overhead) if len(above) > 1 else None
    return {"sizes": sizes, "seconds": seconds, "overhead": overhead, "slope": fitted, "fitted": [size for size, _ in above]}


def _step_of(weights: int) -> tuple[int, float]:
    """Return how many weights a square network of three layers has, and the seconds of its step."""
    width = round(math.sqrt(weights / 3))
    steps = 10 if weights > 10**7 else 40 if weights > 10**6 else 300
    x = np.random.default_rng(0).random((BATCH * steps, width), dtype="float32")
    network = bp.Network([width] * 4, "sigmoid", "sigmoid", backend="numpy", seed=0)
    return 3 * width**2, _fastest(lambda: network.fit(x, x, batch_size=BATCH, seed=0)) / steps


def _epoch_of(samples: int) -> tuple[int, float]:
    """Return the number of samples, and the seconds of an epoch."""
    generator = np.random.default_rng(0)
    x, target = generator.random((samples, 16), dtype="float32"), generator.random((samples, 4), dtype="float32")
    network = bp.Network([16, 64, 4], "sigmoid", "sigmoid", backend="numpy", seed=0)
    return samples, _fastest(lambda: network.fit(x, target, batch_size=BATCH, seed=0))


def _fastest(run: Callable[[], object]) -> float:
    """Return the least of four times: a disturbance only adds to a measurement."""
    took = []
    for _ in range(4):
        rest()
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return min(took)
