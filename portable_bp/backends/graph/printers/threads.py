"""Work of NumPy divided among threads: NumPy and compiled code leave other threads running while they compute."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import numpy as np


def usable_threads() -> int:
    """Return how many threads may compute: as many as there are cores, or as OMP_NUM_THREADS says."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(given)) if given.isdigit() else cores


def run_in_threads(work: Sequence[Callable[[], None]], stop: Callable[[], None] = lambda: None) -> None:
    """Call functions at the same time, each in a thread, the first in this one; ``stop`` is called when that one ends."""
    others = [threading.Thread(target=np.errstate(all="ignore")(each)) for each in work[1:]]
    try:
        for each in others:
            each.start()
        work[0]()
    finally:  # an interrupt must not free the arrays that other threads still use
        stop()
        for each in others:
            if each.ident:
                each.join()
