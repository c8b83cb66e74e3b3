"""One compiled function for each backend and each choice of activations, loss and optimizer, kept for the next call."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from portable_bp.backends.contract import Backend


@dataclasses.dataclass(frozen=True)
class _Choices:
    """Choices that are equal only where their types are too, all the way down: named tuples alone would not tell."""

    pieces: tuple[Any, ...] = dataclasses.field(compare=False)
    identity: tuple[Any, ...]


def compiled(backend: Backend, function: Callable[..., Any], *choices: Any) -> Callable[..., Any]:
    """Return a backend's compiled form of a function whose first arguments are fixed.

    Networks that make the same choices share it, so a library that compiles does so once. What it was compiled with must
    not change afterwards.

    Parameters
    ----------
    backend : Backend
        Where it will run.
    function : callable
        A pure function of the choices and of arrays.
    *choices : objects
        Activations, losses, optimizers: what is no array.
    """
    return _made(backend, "compile", function, choices)


def looped(backend: Backend, function: Callable[..., Any], *choices: Any) -> Callable[..., Any]:
    """Return a backend's loop over a function whose first arguments are fixed, kept as `compiled` keeps its own.

    Parameters
    ----------
    backend : Backend
        Where it will run.
    function : callable
        A pure function of the choices, then of carry, constants and item.
    *choices : objects
        Activations, losses, optimizers: what is no array.
    """
    return _made(backend, "loop", function, choices)


def _made(backend: Backend, how: str, function: Callable[..., Any], choices: tuple[Any, ...]) -> Callable[..., Any]:
    given = _Choices(choices, _identity(choices))
    try:
        return _kept(backend, how, function, given)
    except TypeError:  # a user's own piece that cannot be hashed cannot be kept
        return _kept.__wrapped__(backend, how, function, given)


@functools.lru_cache(maxsize=256)
def _kept(backend: Backend, how: str, function: Callable[..., Any], choices: _Choices) -> Callable[..., Any]:
    return getattr(backend, how)(functools.partial(function, *choices.pieces))


def _identity(piece: Any) -> tuple[Any, ...]:
    if isinstance(piece, tuple):
        return type(piece), *map(_identity, piece)
    if dataclasses.is_dataclass(piece) and getattr(type(piece), "__hash__", None):
        return type(piece), *(_identity(getattr(piece, field.name)) for field in dataclasses.fields(piece))
    return type(piece), piece
