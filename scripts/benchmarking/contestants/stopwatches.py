"""Stopwatches of libraries on a CUDA device: events in the stream that the library works in.

Each function starts one. What it returns stops it, waits for the device, and returns the seconds between.
"""

from __future__ import annotations

from collections.abc import Callable


def cupy_stopwatch() -> Callable[[], float]:
    """Start measuring in CuPy's current stream."""
    import cupy

    began = cupy.cuda.get_current_stream().record(cupy.cuda.Event())

    def seconds() -> float:
        ended = cupy.cuda.get_current_stream().record(cupy.cuda.Event())
        ended.synchronize()
        return cupy.cuda.get_elapsed_time(began, ended) / 1e3

    return seconds


def torch_stopwatch() -> Callable[[], float]:
    """Start measuring in PyTorch's current stream."""
    import torch

    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()

    def seconds() -> float:
        ended.record()
        ended.synchronize()
        return began.elapsed_time(ended) / 1e3

    return seconds
