"""What an ONNX file of a model of a table takes and gives, in words: it has the network alone."""

from __future__ import annotations

from collections.abc import Iterator

from portable_bp.tables.columns import BooleanColumn, CategoryColumn, NumberColumn
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.targets import ClassTarget
from portable_bp.tables.words import quoted


def tell_interface(recipe: Recipe) -> Iterator[str]:
    """Yield lines that say what the inputs and outputs of a network are.

    Parameters
    ----------
    recipe : Recipe
        Of the table that it was trained on.

    Yields
    ------
    str
        A line.
    """
    yield "It takes the columns as the recipe prepares them, in this order (from input 0 up):"
    first = 0
    for column in recipe.columns:
        last = first + column.width - 1
        yield f"  {first if last == first else f'{first} to {last}'}: {_tell_column(column)}"
        first = last + 1
    target = recipe.target
    if isinstance(target, ClassTarget):
        yield f"It gives a net for each class of {target.name!r}, the largest for the likeliest: {quoted(target.classes)}."
    else:
        yield f"It gives ({target.name!r} - {target.mean!r}) / {target.scale!r}."


def _tell_column(column: NumberColumn | BooleanColumn | CategoryColumn) -> str:
    if isinstance(column, NumberColumn):
        return f"({column.name!r} - {column.mean!r}) / {column.scale!r}, and 0 where it is missing"
    if isinstance(column, BooleanColumn):
        return f"{column.name!r} as 0 or 1, and {column.mean!r} where it is missing"
    return f"1 for what {column.name!r} is, and 0 for the others, of {quoted(column.categories)}"
