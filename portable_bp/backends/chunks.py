"""Process rows in chunks, so that neither all of them nor all intermediate results are in memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace

from portable_bp.backends.cache import compiled
from portable_bp.backends.contract import Backend

# Numbers in the widest layer of a chunk: 256 MiB of float32, of which a forward pass holds about four. Chunks this large keep a
# device busy, so splitting costs no time.
CHUNK_SIZE = 2**26


def spans(rows: int, width: int, chunk_size: int | None = None) -> list[slice]:
    """Return slices of rows, each with up to ``width`` numbers; all but the last are equal, so few shapes are compiled."""
    height = max(1, (chunk_size or CHUNK_SIZE) // width)
    return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]


def joined(backend: Backend, parts: Sequence[Any]) -> Any:
    """Return the concatenated rows of at least one array; they are along the last axis but one."""
    return parts[0] if len(parts) == 1 else compiled(backend, _concatenate)(list(parts))


def _concatenate(parts: Sequence[Any]) -> Any:
    return array_namespace(parts[0]).concat(parts, axis=-2)
