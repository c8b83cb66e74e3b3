"""Named arrays and a block of facts about them, in one safetensors file; what is read is taken as a stranger's.

The facts are JSON under one name of the file's own ``__metadata__``: one, since safetensors writes several in any order, and
the same arrays should give the same bytes. A checksum among them covers everything else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from portable_bp.common.lookup import require
from portable_bp.storage.nesting import read_json, refuse_deep_json
from portable_bp.storage.replacing import replace_file

BLOCK = "portable_bp"
# Version 2 has long notes in arrays, and 3 a gelu that is exact. A file has the oldest version that says what it holds.
FORMAT_VERSION = 3
# A header is read into memory before anything of it is known to be true.
LONGEST_HEADER = 4 * 2**20
DTYPES = {"BOOL": "bool", "F16": "float16", "F32": "float32", "F64": "float64"}
DTYPES |= {f"{letter}{bits}": f"{name}{bits}" for letter, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}


# The shape and the dtype of an array.
Form: TypeAlias = tuple[tuple[int, ...], str]


class ModelFileError(ValueError):
    """A model file or a checkpoint is damaged, or is not what it says that it is; the message says what is wrong with it."""


class Contents(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        By name.
    facts : dict
        What JSON can say.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def write_arrays(
    path: str | os.PathLike[str], kind: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], version: int = 1
) -> None:
    """Write arrays and facts, in the place of an old file where there is one.

    Parameters
    ----------
    path : path
        Where they go.
    kind : str
        What the file is: "model" or "checkpoint".
    arrays : mapping of str to numpy.ndarray
        By name.
    facts : mapping
        What JSON can say, but for the names that the file's own facts have: format_version, kind and sha256.
    version : int
        The first version of the format that has what the facts say.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If the facts are too long, or nested too deep.
    OSError
        If the file cannot be written; the old one is as it was.
    """
    save = require("safetensors.numpy", "files").save
    # safetensors writes the memory of an array whatever its strides are (its issue 825).
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    block = {"format_version": version, "kind": kind, **facts}
    text = json.dumps({**block, "sha256": _checksum(plain, block)})
    try:
        refuse_deep_json(text)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} cannot be written: {error}.") from None
    content = save(plain, {BLOCK: text})
    if int.from_bytes(content[:8], "little") > LONGEST_HEADER:
        raise ValueError(
            f"{os.fspath(path)} would have a header of more than {LONGEST_HEADER:,} bytes, which no reader would take: "
            "say less about the arrays."
        )
    replace_file(path, content)


def read_arrays(
    path: str | os.PathLike[str], kind: str, check: Callable[[dict[str, Any], dict[str, Form]], Any] = lambda facts, forms: None
) -> Contents:
    """Read what `write_arrays` wrote. Nothing of a file is run, and of a false one little is held in memory.

    Parameters
    ----------
    path : path
        Where it is.
    kind : str
        What the file should be.
    check : callable
        Given the facts, and the shape and dtype of each array, before any array is read; it raises ValueError where they are
        not those of such a file.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ModelFileError
        If it is damaged, or something else.
    OSError
        If it cannot be read.
    """
    safetensors = require("safetensors", "files")
    name = os.fspath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ModelFileError(f"{name} is no file, but a pipe or a device.")
    with open(path, "rb") as file:
        start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > LONGEST_HEADER:
        said = f"has a header of {length:,} bytes, and {LONGEST_HEADER:,} are the most" if len(start) == 8 else "is too short"
        raise ModelFileError(f"{name} {said}: it is damaged, or no safetensors file.")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            block = _read_block(name, kind, file.metadata() or {})
            forms = {key: _read_form(file, key) for key in sorted(file.keys())}
            _check(name, kind, check, block, forms)
            arrays = {key: file.get_tensor(key) for key in forms}
        matches = block.pop("sha256", None) == _checksum(arrays, block)
    except ModelFileError:
        raise
    # NumPy has its own words for shapes that it cannot have.
    except (safetensors.SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise ModelFileError(f"{name} is damaged, or no safetensors file: {str(error)[:200]}.") from None
    if not matches:
        raise ModelFileError(f"{name} is damaged: what it holds does not match its checksum.")
    return Contents(arrays, block)


def _read_block(name: str, kind: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    if BLOCK not in metadata:
        raise ModelFileError(f"{name} was not written by portable_bp: its metadata do not say what its arrays are.")
    block = read_json(metadata[BLOCK])
    version = block.get("format_version") if isinstance(block, dict) else None
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{name} is damaged: it does not say which version of the format it has.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{name} has version {version} of the format, and this portable_bp reads up to {FORMAT_VERSION}: "
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
        raise ModelFileError(f"{name} is no {kind}: {str(error)[:300]}.") from None


def _checksum(arrays: Mapping[str, np.ndarray], block: Mapping[str, Any]) -> str:
    import hashlib  # whose OpenSSL takes milliseconds to load, which importing a network should not

    digest = hashlib.sha256(json.dumps(block, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
