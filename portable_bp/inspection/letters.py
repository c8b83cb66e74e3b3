"""The article's names of layers, a for the inputs, then b, c, d, and of weights."""

from __future__ import annotations

import string


def layer_letter(number: int) -> str:
    """Return a layer's letter: a for the inputs, which are layer 0, then b, and aa after z."""
    above, place = divmod(number, 26)
    return (layer_letter(above - 1) if above else "") + string.ascii_lowercase[place]


def weight_name(letter: str, row: int, column: int, fan_in: int) -> str:
    """Return a weight's name as in sections 4 and 5 of the article, numbered along the rows of W: w_b1, w_b2."""
    return f"w_{letter}{row * fan_in + column + 1}"
