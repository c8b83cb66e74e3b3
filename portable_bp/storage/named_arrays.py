"""Write named arrays and facts about them to a safetensors file, and read such files from untrusted sources.

The facts are a single JSON text in the file's ``__metadata__``, since safetensors writes several entries in any order, and the
same arrays should give the same bytes. They include a checksum of everything else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.storage.atomic_writing import replace_file
from portable_bp.storage.json_depth import read_json, refuse_deep_json

BLOCK = "portable_bp"
# Since version 2, long notes are arrays; since version 3, gelu is exact; since version 4, there are populations. A file has the
# oldest version that can express it.
FORMAT_VERSION = 4
# In bytes. The header is read into memory before anything in it has been checked.
MAX_HEADER = 4 * 2**20
DTYPES = {"BOOL": "bool", "F16": "float16", "F32": "float32", "F64": "float64"}
DTYPES |= {f"{letter}{bits}": f"{name}{bits}" for letter, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}


# The shape and the dtype of an array.
Form: TypeAlias = tuple[tuple[int, ...], str]


class ModelFileError(ValueError):
    """A model file or checkpoint is damaged or of another kind; the message says what is wrong with it."""


class Contents(NamedTuple):
    """The contents of a file: arrays by name, and facts that JSON can hold."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def write_arrays(
    path: str | os.PathLike[str], kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], version: int = 1
) -> None:
    """Write a file of a kind ("model" or "checkpoint"), or raise an error and leave an existing one unchanged.

    The facts must not use the names format_version, kind and sha256. ``version`` is the oldest format that can express them.
    """
    save = require("safetensors.numpy", "files").save
    # safetensors ignores an array's strides (its issue 825).
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    block = {"format_version": version, "kind": kind, **facts}
    text = json.dumps({**block, "sha256": _checksum(plain, block)})
    try:
        refuse_deep_json(text)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} cannot be written: {error}.") from None
    content = save(plain, {BLOCK: text})
    if int.from_bytes(content[:8], "little") > MAX_HEADER:
        raise ValueError(
            f"{os.fspath(path)} would have a header of more than {MAX_HEADER:,} bytes, which cannot be read again: shorten "
            "the notes, or the settings of your own pieces."
        )
    replace_file(path, content)


def read_arrays(
    path: str | os.PathLike[str], kind: str, check: Callable[[dict[str, Any], dict[str, Form]], Any] = lambda facts, forms: None
) -> Contents:
    """Read a file of a kind that ``write_arrays`` wrote, or raise a ModelFileError. Nothing in it is executed.

    ``check`` is given the facts, and the shape and dtype of each array, before any array is read into memory; it raises a
    ValueError if they do not fit together.
    """
    safetensors = require("safetensors", "files")
    name = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ModelFileError(f"{name} is a pipe or a device, not a file.")
    with open(path, "rb") as file:
        start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > MAX_HEADER:
        problem = f"its header would take {length:,} bytes, more than {MAX_HEADER:,}" if len(start) == 8 else "it is too short"
        raise ModelFileError(f"{name} is damaged, or not a safetensors file: {problem}.")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            block = _read_block(name, kind, file.metadata() or {})
            forms = {key: _read_form(file, key) for key in sorted(file.keys())}
            _check(name, kind, check, block, forms)
            arrays = {key: file.get_tensor(key) for key in forms}
        matches = block.pop("sha256", None) == _checksum(arrays, block)
    except ModelFileError:
        raise
    # NumPy raises several errors for shapes that it does not support.
    except (safetensors.SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise ModelFileError(f"{name} is damaged, or not a safetensors file: {str(error)[:200]}.") from None
    if not matches:
        raise ModelFileError(f"{name} is damaged: its contents do not match its checksum.")
    return Contents(arrays, block)


def _read_block(name: str, kind: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    if BLOCK not in metadata:
        raise ModelFileError(f"{name} was not written by portable_bp: its metadata has no entry {BLOCK!r}.")
    block = read_json(metadata[BLOCK])
    version = block.get("format_version") if isinstance(block, dict) else None
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{name} is damaged: it has no valid format_version.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{name} has format version {version}, and this version of portable_bp reads up to {FORMAT_VERSION}: "
            "install a newer one."
        )
    if block.get("kind") != kind:
        raise ModelFileError(f"{name} is a {str(block.get('kind'))[:40]} of portable_bp, not a {kind}.")
    return block


def _read_form(file: Any, key: str) -> Form:
    described = file.get_slice(key)
    if described.get_dtype() not in DTYPES:
        raise ValueError(f"{key} is of dtype {described.get_dtype()}, which NumPy does not have")
    return tuple(described.get_shape()), DTYPES[described.get_dtype()]


def _check(name: str, kind: str, check: Callable[..., Any], block: dict[str, Any], forms: dict[str, Form]) -> None:
    try:
        check(block, forms)
    except ValueError as error:
        raise ModelFileError(f"{name} is not a valid {kind}: {str(error)[:300]}.") from None


def _checksum(arrays: Mapping[str, np.ndarray], block: Mapping[str, Any]) -> str:
    import hashlib  # here, since it loads OpenSSL, which takes milliseconds

    digest = hashlib.sha256(json.dumps(block, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
