"""The recipe of a model of a table: how its columns become inputs, and its outputs a column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.tables.columns import CategoryColumn, NumberColumn, find_kind, quoted
from portable_bp.tables.targets import ClassTarget, NumberTarget


@dataclass(frozen=True)
class Recipe:
    """How the columns of a table become the inputs of a network, and its outputs the target.

    Parameters
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        In the order of the inputs.
    target : ClassTarget or NumberTarget
        What the outputs are.
    """

    columns: tuple[NumberColumn | CategoryColumn, ...]
    target: ClassTarget | NumberTarget

    @property
    def inputs(self) -> int:
        """How many inputs the columns make."""
        return sum(column.width for column in self.columns)

    @property
    def text(self) -> set[str]:
        """The columns that hold text."""
        return {column.name for column in self.columns if column.kind == "text"}

    def prepare(self, frame: Any) -> np.ndarray:
        """Return the inputs that a network takes, float64 of shape (rows, inputs).

        Parameters
        ----------
        frame : polars.DataFrame
            With every column of the recipe, of its kind, in any order.

        Raises
        ------
        ValueError
            If a number is too far from those that the recipe was learned from.
        """
        return np.concatenate([column.prepare(frame[column.name]) for column in self.columns], axis=1)

    def refuse(self, path: str, frame: Any) -> None:
        """Raise ValueError, which calls the table `path`, unless a frame has the columns of the recipe and no others."""
        names = [column.name for column in self.columns]
        lacking = [name for name in names if name not in frame.columns]
        besides = [name for name in frame.columns if name not in names]
        wrong = []
        if lacking:
            wrong.append(f"it lacks {quoted(lacking)}, which the model was trained with")
        if besides:
            wrong.append(f"the model was not trained with {quoted(besides)} (leave out with --ignore {','.join(besides)!r})")
        for column in self.columns:
            kind = find_kind(frame[column.name]) if column.name in frame.columns else "missing"
            if kind not in (column.kind, "missing"):
                example = _example(frame[column.name])
                wrong.append(f"{column.name!r} is of kind {kind}{example}, and was of kind {column.kind} in training")
        if wrong:
            raise ValueError(f"{path} does not fit the model: {'; '.join(wrong[:10])}.")

    def find_unseen(self, frame: Any) -> dict[str, list[str | None]]:
        """Return the categories in a frame that the recipe does not know, sorted, by column; None is a missing value."""
        unseen = {
            column.name: [value for value in frame[column.name].unique().sort() if value not in column.categories]
            for column in self.columns
            if isinstance(column, CategoryColumn)
        }
        return {name: values for name, values in unseen.items() if values}

    def tell(self) -> Iterator[str]:
        """Yield lines that say what the inputs and outputs of the network are, for whoever holds the network alone."""
        yield "Its inputs are the columns, prepared so:"
        first = 0
        for column in self.columns:
            last = first + column.width - 1
            yield f"  {first if last == first else f'{first} to {last}'}: {column.tell()}"
            first = last + 1
        yield f"Its output is {self.target.tell()}."


def _example(series: Any) -> str:
    """Return the first text that is no number, which says why a column is text."""
    if find_kind(series) != "text":
        return ""
    strange = series.filter(series.is_not_null() & series.cast(float, strict=False).is_null())
    return f" (such as {strange[0][:40]!r})" if len(strange) else ""
