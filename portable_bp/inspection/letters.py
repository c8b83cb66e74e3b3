"""The article's names: layers a, b, c, d from the inputs up, and the names of what is in them."""

from __future__ import annotations

import string


def layer_letter(number: int) -> str:
    """Return a layer's letter: a for the inputs, b for the layer above, and aa after z.

    Parameters
    ----------
    number : int
        The layer's number; the inputs are layer 0.
    """
    above, place = divmod(number, 26)
    return (layer_letter(above - 1) if above else "") + string.ascii_lowercase[place]


def weight_name(letter: str, row: int, column: int, fan_in: int) -> str:
    """Return a weight's name as sections 4 and 5 of the article have it, numbered along the rows of W: w_b1, w_b2.

    Parameters
    ----------
    letter : str
        The layer that the weight leads to.
    row, column : int
        Its place in W, counted from 0.
    fan_in : int
        The length of a row.
    """
    return f"w_{letter}{row * fan_in + column + 1}"
