"""One compiled function for each backend and each choice of activations, loss and optimizer, kept for the next call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from portable_bp.backends.contract import Backend


def compiled(backend: Backend, function: Callable[..., Any], *choices: Any) -> Callable[..., Any]:
    """Return a backend's compiled form of a function whose first arguments are fixed.

    Networks that make the same choices share it, so a library that compiles does so once.

    Parameters
    ----------
    backend : Backend
        Where it will run.
    function : callable
        A pure function of the choices and of arrays.
    *choices : objects
        Activations, losses, optimizers: what is no array.
    """
    try:
        return _kept(backend, function, *choices)
    except TypeError:  # a user's own piece that cannot be hashed cannot be kept
        return _kept.__wrapped__(backend, function, *choices)


@functools.lru_cache(maxsize=256)
def _kept(backend: Backend, function: Callable[..., Any], *choices: Any) -> Callable[..., Any]:
    return backend.compile(functools.partial(function, *choices))
