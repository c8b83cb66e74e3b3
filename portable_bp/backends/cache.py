"""Compiled functions, cached for each backend and choice of activations, loss and optimizer."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any

from portable_bp.backends.contract import Backend


@dataclasses.dataclass(frozen=True)
class _Pieces:
    """The pieces bound to a function, compared by ``identity``, since named tuples of different types compare equal."""

    pieces: tuple[Any, ...] = dataclasses.field(compare=False)
    identity: tuple[Any, ...]


def compiled(backend: Backend, function: Callable[..., Any], *pieces: Any) -> Callable[..., Any]:
    """Return a function compiled by a backend, with pieces bound to its first arguments.

    Equal pieces (activations, losses, optimizers: anything but arrays) share one compiled function, so networks that make the
    same choices compile once. Pieces must not change afterwards.
    """
    return _get(backend, "compile", function, pieces)


def looped(backend: Backend, function: Callable[..., Any], *pieces: Any) -> Callable[..., Any]:
    """Return a backend's loop over a function of pieces, then carry, constants and item, cached as in ``compiled``."""
    return _get(backend, "loop", function, pieces)


# The last function of each kind, with what it was built from: comparing pieces takes longer than a small network's prediction.
_last: dict[Any, tuple[tuple[Any, ...], Callable[..., Any]]] = {}


def clear() -> None:
    """Forget all compiled functions."""
    _last.clear()
    _build_cached.cache_clear()


def _get(backend: Backend, method: str, function: Callable[..., Any], pieces: tuple[Any, ...]) -> Callable[..., Any]:
    kind, source = (function, method), (backend, *pieces)
    known, built = _last.get(kind, ((), None))
    if built and len(known) == len(source) and all(map(operator.is_, known, source)):
        return built
    given = _Pieces(pieces, _identity(pieces))
    try:
        built = _build_cached(backend, method, function, given)
    except TypeError:  # a custom piece that cannot be hashed cannot be cached
        return _build_cached.__wrapped__(backend, method, function, given)
    _last[kind] = source, built
    return built


@functools.lru_cache(maxsize=256)
def _build_cached(backend: Backend, method: str, function: Callable[..., Any], given: _Pieces) -> Callable[..., Any]:
    return getattr(backend, method)(functools.partial(function, *given.pieces))


def _identity(piece: Any) -> tuple[Any, ...]:
    """Return a key that is equal only for equal pieces of the same types, including those inside."""
    if isinstance(piece, tuple):
        return type(piece), *map(_identity, piece)
    if dataclasses.is_dataclass(piece) and getattr(type(piece), "__hash__", None):
        return type(piece), *(_identity(getattr(piece, field.name)) for field in dataclasses.fields(piece))
    return type(piece), piece
