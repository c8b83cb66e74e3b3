"""Errors for running out of memory that say what was requested, what is free, and what would fit."""

from __future__ import annotations

import functools
import gc
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

from portable_bp.backends.contract import Backend, Memory
from portable_bp.backends.selector import dtype_name, flag_of

Given = ParamSpec("Given")
Result = TypeVar("Result")
# Returns the end of an OutOfMemoryError's message, given the backend and its memory, or None if that is unknown.
Advice: TypeAlias = Callable[[Backend, Memory | None], str]

# Such as "Tried to allocate 20.00 MiB", "Out of memory allocating 1,234 bytes", "Unable to allocate 7.45 GiB for an array".
_REQUEST = re.compile(r"allocat\w*\s+([\d.,]*\d)\s*([KMGTPE]?)(i?B|bytes)\b")
_PREFIXES = " KMGTPE"


class OutOfMemoryError(MemoryError):
    """A device does not have enough memory; the message says what was requested, what is free, and what would fit."""


def attempt(work: Callable[[], Result], backend: Backend, doing: str, advise: Advice) -> Result:
    """Return what work returns, or raise an OutOfMemoryError that begins with what was being done."""
    try:
        return work()
    except OutOfMemoryError:
        raise
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        # The traceback keeps the failed frames alive, and so their arrays: drop it. Free memory is measured after this block,
        # since Python keeps the error that is being handled, and those in its context, until then. The work's own arrays
        # are gone by that time, so all the memory that it could use is counted.
        cause = error.with_traceback(None)
        cause.__cause__ = cause.__context__ = None
    gc.collect()  # JAX makes reference cycles that hold frames
    requested = requested_bytes(str(cause))
    failed = f" (a request for {format_bytes(requested)} failed)" if requested else ""
    raise OutOfMemoryError(
        f"{doing} ran out of memory on {flag_of(backend)}{failed}; {advise(backend, backend.memory())}."
    ) from cause


def release_frames(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Decorate a function to drop the traceback's frames, and so their arrays, if it runs out of memory.

    A notebook keeps the last traceback, so the arrays would still take memory at the next attempt.
    """

    @functools.wraps(function)
    def run(*arguments: Given.args, **options: Given.kwargs) -> Result:
        try:
            return function(*arguments, **options)
        except OutOfMemoryError as error:
            raise error.with_traceback(None) from error.__cause__

    return run


def advise_fewer(need: Callable[[Any], Any], layers: Any, samples: int, remedy: str = "give at most {:,} at a time") -> Advice:
    """Return the advice to use fewer samples at a time.

    ``need(layers)`` returns a ``Need``; the number of samples that fit replaces {} in the remedy.
    """

    def advise(backend: Backend, memory: Memory | None) -> str:
        itemsize, needed = itemsize_of(backend), need(layers)
        if memory is None:
            taken = format_bytes(itemsize * (needed.fixed + needed.per_sample * samples))
            fitting = samples // 2
            state = f"this takes up to {taken}, and the free memory is unknown"
        else:
            # Advise at most half of what has just failed, whatever the estimate: free memory may be fragmented.
            fitting = min(needed.fitting(memory.free // itemsize), samples // 2)
            state = f"{format_free(memory)}, {f'enough for {fitting:,}' if fitting else 'not enough for one'}"
        return f"{state}: {remedy.format(fitting) if fitting else _larger(backend, 'a smaller network')}"

    return advise


def advise_smaller(name: str, count: Callable[[], int]) -> Advice:
    """Return the advice to give less data than the argument of this name, whose numbers are counted when advice is needed."""

    def advise(backend: Backend, memory: Memory | None) -> str:
        free = f" and {format_free(memory)}" if memory else ""
        remedy = _larger(backend, "fewer samples or a smaller network")
        return f"{name} takes {format_bytes(itemsize_of(backend) * count())}{free}: {remedy}"

    return advise


def _larger(backend: Backend, smaller: str) -> str:
    narrower = ", or dtype='float32'" if itemsize_of(backend) == 8 else ""
    return f"use {smaller}, or a device with more memory{narrower}"


def itemsize_of(backend: Backend) -> int:
    """Return the size of a backend's floating-point numbers in bytes."""
    return {"float32": 4, "float64": 8}[dtype_name(backend.dtype)]


def requested_bytes(message: str) -> int | None:
    """Return the size of the failed allocation that an error message of NumPy, CuPy, PyTorch or JAX states, or None."""
    found = _REQUEST.search(message)
    if found is None:
        return None
    number, prefix, unit = found.groups()
    power = _PREFIXES.index(prefix or " ")
    return int(float(number.replace(",", "")) * (1000 if unit == "B" else 1024) ** power)


def format_bytes(number: int) -> str:
    """Return a number of bytes as text, such as "268 MB"."""
    size, power = float(number), 0
    while size >= 999.5 and power < len(_PREFIXES) - 1:
        size, power = size / 1000.0, power + 1
    return f"{size:.3g} {_PREFIXES[power].strip().replace('K', 'k')}B" if power else f"{number} bytes"


def format_free(memory: Memory) -> str:
    """Return the free memory as text, such as "268 MB of 1 GB is free"."""
    return f"{format_bytes(memory.free)} of {format_bytes(memory.total)} is free"
