"""Running out of memory, said in one sentence: what was asked for, what there is, and what would fit."""

from __future__ import annotations

import functools
import gc
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from portable_bp.backends.contract import Backend, Memory
from portable_bp.backends.selector import dtype_name, flag_of

Given = ParamSpec("Given")
Result = TypeVar("Result")

# Such as "Tried to allocate 20.00 MiB", "Out of memory allocating 1,234 bytes", "Unable to allocate 7.45 GiB for an array".
_ASKED = re.compile(r"allocat\w*\s+([\d.,]*\d)\s*([KMGTPE]?)(i?B|bytes)\b")
_PREFIXES = " KMGTPE"


class OutOfMemoryError(MemoryError):
    """A device has not enough memory; the message says what was asked for, and what would fit."""


def attempt(work: Callable[[], Result], backend: Backend, doing: str, advise: Callable[[Memory | None], str]) -> Result:
    """Return what work returns; where the library runs out of memory, say so as every library should.

    Parameters
    ----------
    work : callable
        Of no arguments.
    backend : Backend
        Whose memory it takes.
    doing : str
        What it is, as the beginning of a sentence.
    advise : callable
        Given what is free for all of the work, or None where that is not told, returns the end of the sentence.

    Raises
    ------
    OutOfMemoryError
        In the place of the library's own error, which is its cause.
    """
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
    raise OutOfMemoryError(f"{doing} ran out of memory on {flag_of(backend)}{said}; {advise(backend.memory())}.") from cause


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


def advise_fewer(memory: Memory | None, backend: Backend, need: Any, samples: int, remedy: str) -> str:
    """Return the advice to use fewer samples at once.

    Parameters
    ----------
    memory : Memory or None
        What is free for all of the work, where that is told.
    backend : Backend
        Where it is done.
    need : Need
        How many numbers it takes.
    samples : int
        How many there were.
    remedy : str
        What to do, with {} in the place of the number of samples that fit.
    """
    itemsize = itemsize_of(backend)
    if memory is None:
        taken = said_bytes(itemsize * (need.fixed + need.per_sample * samples))
        fitting = samples // 2
        said = f"that takes up to {taken}, and how much is free there is not told"
    else:
        # More than half of what has just failed is not promised, whatever the estimate says: memory may be in pieces.
        fitting = min(need.fitting(memory.free // itemsize), samples // 2)
        said = f"{said_free(memory)} for it, where {f'{fitting:,}' if fitting else 'not even one'} would fit"
    return f"{said}: {remedy.format(fitting)}" if fitting else f"{said}: {_larger(backend, 'a smaller network')}"


def advise_smaller(memory: Memory | None, backend: Backend, name: str, numbers: int) -> str:
    """Return the advice to give smaller data.

    Parameters
    ----------
    memory : Memory or None
        What is free, where that is told.
    backend : Backend
        Where the data were to go.
    name : str
        What the message calls them.
    numbers : int
        How many there are.
    """
    free = f" and {said_free(memory)}" if memory else ""
    remedy = _larger(backend, "fewer samples or a smaller network")
    return f"{name} takes {said_bytes(itemsize_of(backend) * numbers)}{free}: {remedy}"


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
