"""How deep JSON may be nested: how deep Python reads or writes it differs from version to version, and so we set a limit."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

DEEPEST = 100
# Linear in any text: the closing quote may be missing.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def read_json(text: str) -> Any:
    """Return what a text of JSON says, which may be a stranger's.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper than `DEEPEST`; the message is the end of a sentence.
    """
    refuse_deep_json(text)
    return json.loads(text)


def refuse_deep_json(text: str) -> None:
    """Raise ValueError if a text of JSON is nested deeper than `DEEPEST`."""
    brackets = np.frombuffer(_STRING.sub("", text).encode("ascii", "replace"), np.uint8)
    depth = int(np.cumsum(_STEPS[brackets], dtype=np.int32).max(initial=0))
    if depth > DEEPEST:
        raise ValueError(f"its lists and dicts are nested {depth:,} deep, and {DEEPEST} are the most")
