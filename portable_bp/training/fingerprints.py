"""Fingerprints: short texts that tell data, weights and functions of a user's own from others, in any process."""

from __future__ import annotations

import functools
import inspect
import json
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.backends import Backend, backend_of, spans


def fingerprint_array(backend: Backend, array: Array | None) -> str | None:
    """Return a digest of an array's shape and of all its numbers, the same on every backend; None of None.

    Parameters
    ----------
    backend : Backend
        Where the array is; its numbers are fetched some rows at a time.
    array : array or None
        With at least one axis.
    """
    if array is None:
        return None
    digest = _digest()
    digest.update(repr(tuple(array.shape)).encode())
    for span in spans(array.shape[0], max(1, math.prod(array.shape[1:]))):
        rows = np.ascontiguousarray(backend.to_numpy(array[span, ...]))
        digest.update(rows.dtype.newbyteorder("<").str.encode())
        digest.update(rows.astype(rows.dtype.newbyteorder("<"), copy=False))
    return digest.hexdigest()


def fingerprint_layers(backend: Backend, layers: Sequence[Layer]) -> str:
    """Return a digest of the weights and biases of all layers."""
    return _digest_of([fingerprint_array(backend, parameter) for layer in layers for parameter in layer])


def fingerprint_piece(piece: Any) -> str:
    """Return a digest of what an object or function of the user's own is made of: settings, code, and what that refers to.

    Nothing of it is called. What a function takes from modules is told by its name, but for numbers and texts.
    """
    return _digest_of(_contents(piece, ()))


def _digest() -> Any:
    import hashlib  # whose OpenSSL takes milliseconds to load, which importing a network should not

    return hashlib.sha256()


def _digest_of(facts: Any) -> str:
    digest = _digest()
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _contents(thing: Any, within: tuple[int, ...]) -> Any:
    """Return what JSON can say of a thing; within are the ids of what it is a part of, which may be one of its own parts."""
    if id(thing) in within:
        return "what it is a part of"
    parts = functools.partial(_contents, within=(*within, id(thing)))
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes | range):
        return repr(thing)
    if isinstance(thing, types.CodeType):
        return [thing.co_code.hex(), thing.co_names, list(map(parts, thing.co_consts))]
    if isinstance(thing, types.FunctionType):
        plain = {
            name: repr(value)
            for name, value in thing.__globals__.items()
            if name in thing.__code__.co_names and isinstance(value, bool | int | float | str)
        }
        inside = [parts(cell.cell_contents) for cell in thing.__closure__ or () if cell != types.CellType()]
        return [parts(thing.__code__), parts(thing.__defaults__), parts(thing.__kwdefaults__), inside, plain]
    if isinstance(thing, types.MethodType):
        return [parts(thing.__func__), parts(thing.__self__)]
    if isinstance(thing, functools.partial):
        return [parts(thing.func), parts(thing.args), parts(thing.keywords)]
    if isinstance(thing, Mapping):
        return [type(thing).__qualname__, sorted([repr(key), parts(value)] for key, value in thing.items())]
    if isinstance(thing, set | frozenset):
        return sorted(map(repr, thing))
    if isinstance(thing, list | tuple):
        return [type(thing).__qualname__, *map(parts, thing)]
    if isinstance(thing, np.ndarray) and thing.dtype.hasobject:
        return parts(thing.tolist())
    if is_array_api_obj(thing):
        return fingerprint_array(backend := backend_of(thing), namespace(thing).reshape(thing, (-1,))), repr(backend)
    if inspect.isclass(thing) or inspect.ismodule(thing) or inspect.isroutine(thing):
        return getattr(thing, "__qualname__", thing.__name__)
    methods = {name: parts(value) for name, value in vars(type(thing)).items() if isinstance(value, types.FunctionType)}
    return [type(thing).__qualname__, parts(getattr(thing, "__dict__", {})), methods]
