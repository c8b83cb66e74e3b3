"""The article's names of layers, a for the inputs, then b, c, d, and of weights; and the names of activations and losses."""

from __future__ import annotations

import string
from typing import Any

from portable_bp.algorithm.activations import ACTIVATIONS, Activation
from portable_bp.algorithm.losses import LOSSES, Loss

_NAMES = {kind: name for known in (ACTIVATIONS, LOSSES) for name, kind in reversed(known.items())}


def layer_letter(number: int) -> str:
    """Return a layer's letter: a for the inputs, which are layer 0, then b, and aa after z."""
    above, place = divmod(number, 26)
    return (layer_letter(above - 1) if above else "") + string.ascii_lowercase[place]


def weight_name(letter: str, row: int, column: int, fan_in: int) -> str:
    """Return a weight's name as in sections 4 and 5 of the article, numbered along the rows of W: w_b1, w_b2."""
    return f"w_{letter}{row * fan_in + column + 1}"


def piece_name(piece: Any) -> str:
    """Return the name of an activation or a loss: of a custom one, that of its class or function, or "custom"."""
    if isinstance(piece, Activation | Loss):
        name = getattr(piece.value, "__name__", type(piece.value).__name__)
        return "custom" if name == "<lambda>" else f"custom {name}" if name in _NAMES.values() else name
    return _NAMES.get(type(piece), type(piece).__name__)
