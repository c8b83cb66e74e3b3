"""Running out of memory, said in one sentence: what was asked for, what there is, and what would fit."""

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
# Ends the sentence of an OutOfMemoryError, given the backend and its free memory, or None if that is unknown.
Advice: TypeAlias = Callable[[Backend, Memory | None], str]

# Such as "Tried to allocate 20.00 MiB", "Out of memory allocating 1,234 bytes", "Unable to allocate 7.45 GiB for an array".
_ASKED = re.compile(r"allocat\w*\s+([\d.,]*\d)\s*([KMGTPE]?)(i?B|bytes)\b")
_PREFIXES = " KMGTPE"


class OutOfMemoryError(MemoryError):
    """A device has not enough memory; the message says what was asked for, and what would fit."""


def attempt(work: Callable[[], Result], backend: Backend, doing: str, advise: Advice) -> Result:
    """Return what work returns, or raise an OutOfMemoryError whose sentence begins with what was being done."""
    try:
        return work()
    except OutOfMemoryError:
        raise
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        # The traceback holds the frames that failed, and they hold every array of theirs. It is dropped, and what is free is
        # asked for only after this block, for until then Python itself holds the error that is being handled, and through its
        # context those before it. Then the work's own arrays are gone, and what is free is what the work had to itself.
        cause = error.with_traceback(None)
        cause.__cause__ = cause.__context__ = None
    gc.collect()  # frames may be held by a cycle, as JAX makes
    asked = bytes_asked(str(cause))
    said = f", asking for {said_bytes(asked)} more" if asked else ""
    raise OutOfMemoryError(
        f"{doing} ran out of memory on {flag_of(backend)}{said}; {advise(backend, backend.memory())}."
    ) from cause


def release_frames(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return the function, whose frames are dropped from the traceback where it runs out of memory.

    Whoever keeps a traceback, as a notebook does, keeps its frames and their arrays: they would still be there at the next try.
    """

    @functools.wraps(function)
    def run(*arguments: Given.args, **options: Given.kwargs) -> Result:
        try:
            return function(*arguments, **options)
        except OutOfMemoryError as error:
            raise error.with_traceback(None) from error.__cause__

    return run


def advise_fewer(need: Callable[[Any], Any], layers: Any, samples: int, remedy: str = "give up to {:,} at a time") -> Advice:
    """Return the advice to use fewer samples at once than there were.

    ``need(layers)`` returns a `Need`; the number of samples that fit takes the place of {} in the remedy.
    """

    def advise(backend: Backend, memory: Memory | None) -> str:
        itemsize, needed = itemsize_of(backend), need(layers)
        if memory is None:
            taken = said_bytes(itemsize * (needed.fixed + needed.per_sample * samples))
            fitting = samples // 2
            said = f"that takes up to {taken}, and how much is free there is not told"
        else:
            # No more than half of what has just failed is advised, whatever the estimate: free memory may be in pieces.
            fitting = min(needed.fitting(memory.free // itemsize), samples // 2)
            said = f"{said_free(memory)} for it, where {f'{fitting:,}' if fitting else 'not even one'} would fit"
        return f"{said}: {remedy.format(fitting)}" if fitting else f"{said}: {_larger(backend, 'a smaller network')}"

    return advise


def advise_smaller(name: str, numbers: int) -> Advice:
    """Return the advice to give less data than the argument of this name, which holds so many numbers."""

    def advise(backend: Backend, memory: Memory | None) -> str:
        free = f" and {said_free(memory)}" if memory else ""
        remedy = _larger(backend, "fewer samples or a smaller network")
        return f"{name} takes {said_bytes(itemsize_of(backend) * numbers)}{free}: {remedy}"

    return advise


def _larger(backend: Backend, smaller: str) -> str:
    narrower = ", or dtype='float32'" if itemsize_of(backend) == 8 else ""
    return f"use {smaller}, or a device with more memory{narrower}"


def itemsize_of(backend: Backend) -> int:
    """Return how many bytes one of a backend's numbers takes.

    Parameters
    ----------
    backend : Backend
        It has a floating-point dtype.
    """
    return {"float32": 4, "float64": 8}[dtype_name(backend.dtype)]


def bytes_asked(message: str) -> int | None:
    """Return how many bytes a library says that it could not allocate, or None where it does not.

    Parameters
    ----------
    message : str
        Of NumPy's, CuPy's, PyTorch's or JAX's error.
    """
    found = _ASKED.search(message)
    if found is None:
        return None
    number, prefix, unit = found.groups()
    power = _PREFIXES.index(prefix or " ")
    return int(float(number.replace(",", "")) * (1000 if unit == "B" else 1024) ** power)


def said_bytes(number: int) -> str:
    """Return a number of bytes in words, such as "268 MB".

    Parameters
    ----------
    number : int
        Of bytes.
    """
    size, power = float(number), 0
    while size >= 999.5 and power < len(_PREFIXES) - 1:
        size, power = size / 1000.0, power + 1
    return f"{size:.3g} {_PREFIXES[power].strip().replace('K', 'k')}B" if power else f"{number} bytes"


def said_free(memory: Memory) -> str:
    """Return what is free, in words.

    Parameters
    ----------
    memory : Memory
        As a backend tells it.
    """
    return f"{said_bytes(memory.free)} of {said_bytes(memory.total)} are free"
