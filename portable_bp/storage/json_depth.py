"""A limit on the nesting of JSON, since Python's own limit differs between versions."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

MAX_DEPTH = 100
# Takes linear time for any text, because the closing quote is optional.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_LEVEL_CHANGES = np.zeros(256, np.int8)
_LEVEL_CHANGES[list(b"[{")] = 1
_LEVEL_CHANGES[list(b"]}")] = -1


def read_json(text: str) -> Any:
    """Parse untrusted JSON, or raise a ValueError whose message has no final period."""
    refuse_deep_json(text)
    return json.loads(text)


def refuse_deep_json(text: str) -> None:
    """Raise a ValueError if JSON is nested deeper than ``MAX_DEPTH``."""
    brackets = np.frombuffer(_STRING.sub("", text).encode("ascii", "replace"), np.uint8)
    depth = int(np.cumsum(_LEVEL_CHANGES[brackets], dtype=np.int32).max(initial=0))
    if depth > MAX_DEPTH:
        raise ValueError(f"its lists and dicts are nested {depth:,} levels deep, more than {MAX_DEPTH}")
