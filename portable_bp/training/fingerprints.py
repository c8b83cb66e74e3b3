"""Fingerprints: digests by which any process recognizes data, weights and a user's own functions."""

from __future__ import annotations

import dis
import functools
import inspect
import json
import math
import pathlib
import sys
import types
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Number
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.backends import Backend, Rows, backend_of, spans

# Types that only hold other objects, with the attributes that hold them.
HOLDERS: dict[type, tuple[str, ...]] = {
    types.MethodType: ("__func__", "__self__"),
    functools.partial: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    property: ("fget", "fset"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
}


def fingerprint_array(backend: Backend, array: Array | Rows | None) -> str | None:
    """Return a digest of an array's shape and of all its numbers, the same on every backend; None for None.

    The array has at least one axis. Its numbers are fetched in chunks of rows.
    """
    if array is None:
        return None
    digest, shape = _digest(), tuple(array.shape)
    if isinstance(array, Rows):
        chunks: Iterable[Array] = (chunk for _, chunk in array.chunks(backend))
    else:
        chunks = (array[span, ...] for span in spans(shape[0], max(1, math.prod(shape[1:]))))
    dtype = ""
    for chunk in chunks:
        rows = np.ascontiguousarray(backend.to_numpy(chunk))
        little = rows.dtype.newbyteorder("<")
        digest.update(rows.astype(little, copy=False))
        dtype = little.str
    digest.update(repr((shape, dtype)).encode())
    return digest.hexdigest()


def fingerprint_layers(backend: Backend, layers: Sequence[Layer]) -> str:
    """Return a digest of the weights and biases of all layers."""
    return _digest_of([fingerprint_array(backend, parameter) for layer in layers for parameter in layer])


def fingerprint_piece(piece: Any) -> str:
    """Return a digest of a user's own object or function: its settings, its code, and the digests of what it refers to.

    None of its code runs. A library's object is identified by its name, its settings and what it closes over.
    """
    return _Reader().digest(piece)


def _digest() -> Any:
    import hashlib  # here, since it loads OpenSSL, which takes milliseconds

    return hashlib.sha256()


def _digest_of(facts: Any) -> str:
    digest = _digest()
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


class _Reader:
    """Computes digests, and caches them, since an object may occur again or contain itself."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Any, str]] = {}

    def digest(self, thing: Any) -> str:
        """Return the digest of an object."""
        if id(thing) not in self._read:
            self._read[id(thing)] = thing, "what it is a part of"  # the object is kept, so that its id is not reused
            self._read[id(thing)] = thing, _digest_of(self._contents(thing))
        return self._read[id(thing)][1]

    def _all(self, things: Iterable[Any]) -> list[str]:
        return [self.digest(thing) for thing in things]

    def _contents(self, thing: Any) -> Any:
        """Return the contents of an object, as JSON values."""
        if _is_plain(thing) or thing is ...:
            return repr(thing)
        if isinstance(thing, np.ndarray) and thing.dtype.hasobject:
            return self.digest(thing.tolist())
        if is_array_api_obj(thing):
            return fingerprint_array(backend := backend_of(thing), namespace(thing).reshape(thing, (-1,))), repr(backend)
        if isinstance(thing, types.CodeType):
            return [thing.co_code.hex(), thing.co_names, self._all(thing.co_consts)]
        if isinstance(thing, types.FunctionType):
            inside = [cell.cell_contents for cell in thing.__closure__ or () if cell != types.CellType()]
            return [self._all((thing.__code__, thing.__defaults__, thing.__kwdefaults__, inside)), self._globals(thing)]
        for kind, names in HOLDERS.items():
            if isinstance(thing, kind):
                return [kind.__name__, self._all(getattr(thing, name) for name in names)]
        if isinstance(thing, Mapping):
            return [type(thing).__qualname__, sorted(self._all(pair) for pair in thing.items())]
        if isinstance(thing, Set):
            return sorted(self._all(thing))
        if isinstance(thing, Sequence):
            return [type(thing).__qualname__, self._all(thing), self.digest(type(thing))]
        if inspect.isclass(thing):
            members = {} if _is_library(thing) else self._members(thing)
            return [thing.__qualname__, members, self._all(thing.__bases__)]
        if inspect.ismodule(thing) or (inspect.isroutine(thing) and not hasattr(thing, "__wrapped__")):
            return _name(thing)
        return [_name(thing), self._all((type(thing), self._settings(thing), getattr(thing, "__wrapped__", None)))]

    def _settings(self, thing: Any) -> dict[str, Any]:
        kept = dict(getattr(thing, "__dict__", {}))
        if _is_library(type(thing)):  # whose other attributes may be caches or locks
            return {name: value for name, value in kept.items() if _is_plain(value) or is_array_api_obj(value)}
        slots = {name for kind in type(thing).__mro__ for name, slot in vars(kind).items() if inspect.ismemberdescriptor(slot)}
        return kept | {name: getattr(thing, name) for name in slots if hasattr(thing, name)}

    def _members(self, kind: type) -> dict[str, str]:
        """Return digests of the members of a class; dunder names only of functions, since Python adds others."""
        return {
            name: self.digest(value)
            for name, value in vars(kind).items()
            if isinstance(value, types.FunctionType) or not (name.startswith("__") or inspect.ismemberdescriptor(value))
        }

    def _globals(self, function: types.FunctionType) -> dict[str, str]:
        """Return digests of the globals that a function uses."""
        if _is_library(function):
            return {}
        names = _global_names(function.__code__) & function.__globals__.keys()
        return {name: self._global(function.__globals__[name]) for name in names}

    def _global(self, thing: Any) -> str:
        is_function = inspect.isroutine(thing) or hasattr(thing, "__wrapped__")
        return _name(thing) if is_function and _is_library(thing) else self.digest(thing)


def _is_plain(thing: Any) -> bool:
    return thing is None or isinstance(thing, Number | np.generic | str | bytes | range)


def _name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__)


def _global_names(code: types.CodeType) -> set[str]:
    """Return the names of the globals that code uses."""
    looked_up = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return looked_up.union(*(_global_names(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)))


def _is_library(thing: Any) -> bool:
    """Return whether a function or class belongs to Python, to this package or to an installed one."""
    top = str(getattr(thing, "__module__", None)).partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    installed = {"site-packages", "dist-packages"}.intersection(pathlib.Path(file).parts)
    return bool(installed) or top in sys.stdlib_module_names or top == __name__.partition(".")[0]
