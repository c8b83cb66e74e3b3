"""What an explanation is made of: headings, paragraphs and formulas, which printers write as text, Markdown or LaTeX.

The parts of a formula are symbols, derivatives, matrices, function calls, and strings: numbers as they are shown and the
operators + - * = ( ), with .* for a product of numbers at the same place, and ... for what is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

MAX_SHOWN = 6  # rows or columns of a matrix that are shown; of a larger one, the first three and the last


class Symbol(NamedTuple):
    """A name such as net_b1: of a quantity, a layer and a neuron or weight, numbered from 1."""

    name: str
    layer: str = ""
    place: int = 0
    transposed: bool = False


class Derivative(NamedTuple):
    """The partial derivative of one quantity with respect to another."""

    of: Symbol
    by: Symbol


class Spelled(NamedTuple):
    """An expression in the spelling of each format."""

    text: str
    latex: str


class Matrix(NamedTuple):
    """Rows of numbers, or of other parts."""

    rows: tuple[tuple[Parts, ...], ...]


class Call(NamedTuple):
    """A function of something, by the function's name."""

    function: str
    argument: Parts


Part: TypeAlias = "Symbol | Derivative | Spelled | Matrix | Call | str"
Parts: TypeAlias = tuple[Part, ...]


class Heading(NamedTuple):
    """A heading; level 1 is the title."""

    level: int
    text: str


class Paragraph(NamedTuple):
    """Sentences, between which there may be symbols."""

    parts: tuple[Part, ...]


class Formula(NamedTuple):
    """An equation with two or more sides, the first of which is what the others equal."""

    sides: tuple[Parts, ...]


Document: TypeAlias = "list[Heading | Paragraph | Formula]"


def formula(*sides: Part | Sequence[Part]) -> Formula:
    """Return an equation of sides, each a part or several."""
    return Formula(tuple(tuple(side) if type(side) in (list, tuple) else (side,) for side in sides))  # pyright: ignore[reportArgumentType]


def paragraph(*parts: Part) -> Paragraph:
    """Return a paragraph of sentences and symbols."""
    return Paragraph(parts)


def numbers(array: np.ndarray, decimals: int, exact: bool = False) -> list[str]:
    """Return numbers as they are shown, all alike: with no more decimals than they need.

    They have exponents where nearly all digits would be lost, unless they are rounded results, which are exact.
    """
    finite = array[np.isfinite(array)]
    largest = float(np.max(np.abs(finite), initial=0.0))
    needed = next((few for few in range(decimals + 1) if np.array_equal(np.round(finite, few), finite)), None)
    is_tiny = needed is None and decimals > 1 and largest < 10.0 ** (1 - decimals) and not exact
    needed = decimals if needed is None else needed
    if is_tiny or largest >= 1e7:
        return [f"{number:.{max(decimals - 1, 0)}e}" for number in array.ravel()]
    return [f"{0.0 if abs(number) < 0.5 * 10.0**-needed else number:.{needed}f}" for number in array.ravel()]


def broken(sides: Sequence[Parts], width: Callable[[Parts], int], limit: int) -> list[list[Parts]]:
    """Return the sides of an equation in lines: one that a line has no room for begins a new one.

    The first side stands in a line of its own if it is long.
    """
    first, *others = sides
    lines = [[first]]
    indent = used = width(first)
    if used > 0.4 * limit and used + sum(map(width, others)) > limit:
        indent, used = 4, limit
    for side in others:
        is_first_line_short = len(lines) == len(lines[0]) == 1 and used < limit
        if used + width(side) > limit and not is_first_line_short:
            lines.append([])
            used = indent
        lines[-1].append(side)
        used += width(side)
    return lines


def shown_places(count: int) -> list[int | None]:
    """Return which of some rows are shown, with None for those that are left out."""
    return list(range(count)) if count <= MAX_SHOWN else [0, 1, 2, None, count - 1]


def matrix(rows: Sequence[Sequence[Part]]) -> Matrix:
    """Return a matrix of given entries, large ones abbreviated."""
    columns = shown_places(len(rows[0]))
    return Matrix(
        tuple(
            tuple(("...",) if row is None or column is None else (rows[row][column],) for column in columns)
            for row in shown_places(len(rows))
        )
    )


def is_abbreviated(array: np.ndarray) -> bool:
    """Return whether only a part of a matrix is shown."""
    return max(array.shape) > MAX_SHOWN


def statistics(array: np.ndarray, decimals: int) -> str:
    """Return the shape, the extremes and the mean of a matrix as text."""
    finite = array[np.isfinite(array)]
    if not finite.size:
        return f"{array.shape[0]} x {array.shape[1]}, no finite numbers"
    smallest, largest, mean = numbers(np.array([finite.min(), finite.max(), finite.mean()]), decimals)
    nonfinite = "" if finite.size == array.size else f", {array.size - finite.size} not finite"
    return f"{array.shape[0]} x {array.shape[1]}, from {smallest} to {largest}, mean {mean}{nonfinite}"


def is_exponential(number: str) -> bool:
    """Return whether a shown number has an exponent."""
    return "e" in number and math.isfinite(float(number))
