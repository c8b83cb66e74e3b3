"""The recipe of a model of a table: how its columns become inputs, and its outputs a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from portable_bp.tables.columns import BooleanColumn, CategoryColumn, Column, NumberColumn, learn_column
from portable_bp.tables.targets import ClassTarget, NumberTarget
from portable_bp.tables.words import quoted


@dataclass(frozen=True)
class Recipe:
    """How the columns of a table become the inputs of a network, and its outputs the target.

    Parameters
    ----------
    columns : tuple of NumberColumn, BooleanColumn or CategoryColumn
        In the order of the inputs.
    target : ClassTarget or NumberTarget
        What the outputs are.
    """

    columns: tuple[NumberColumn | BooleanColumn | CategoryColumn, ...]
    target: ClassTarget | NumberTarget

    @property
    def inputs(self) -> int:
        """How many inputs the columns make."""
        return sum(column.width for column in self.columns)

    @property
    def text(self) -> set[str]:
        """The columns that hold text."""
        return {column.name for column in self.columns if column.kind == "text"}

    def prepare(self, table: Mapping[str, Column]) -> np.ndarray:
        """Return the inputs that a network takes.

        Parameters
        ----------
        table : mapping of str to Column
            With every column of the recipe, of its kind, in any order.

        Returns
        -------
        array of float64, shape (rows, inputs)
            A row for each of the table's.

        Raises
        ------
        ValueError
            If a number is too far from those that the recipe was learned from.
        """
        return np.concatenate([column.prepare(_values(column.kind, table[column.name])) for column in self.columns], axis=1)

    def refuse(self, path: str, table: Mapping[str, Column]) -> None:
        """Raise unless a table has the columns of the recipe and no others.

        Parameters
        ----------
        path : str
            What the message calls the table.
        table : mapping of str to Column
            What was read.

        Raises
        ------
        ValueError
            If a column is missing, additional, or holds something else.
        """
        names = {column.name for column in self.columns}
        lacking = [column.name for column in self.columns if column.name not in table]
        besides = [name for name in table if name not in names]
        others = [
            f"{column.name!r} holds {_held(table[column.name], column.kind)} where the model knows {column.kind}s"
            for column in self.columns
            if column.name in table and table[column.name].kind not in (column.kind, "missing")
        ]
        wrong = [f"it lacks {quoted(lacking)}, which the model was trained with"] if lacking else []
        wrong += (
            [f"it has {quoted(besides)}, which the model was not trained with (--ignore leaves columns out)"] if besides else []
        )
        if wrong or others:
            raise ValueError(f"{path} does not fit the model: {'; '.join(wrong + others[:10])}.")

    def find_unseen(self, table: Mapping[str, Column]) -> dict[str, list[str]]:
        """Return the categories that the recipe does not know.

        Parameters
        ----------
        table : mapping of str to Column
            As `prepare` takes it.

        Returns
        -------
        dict of str to list of str
            By column, sorted, and "a missing value" where it is one; columns without any are left out.
        """
        unseen = {}
        for column in self.columns:
            if isinstance(column, CategoryColumn):
                values = set(_values("text", table[column.name]).tolist()) - set(column.categories)
                unseen[column.name] = [repr(value) for value in sorted(values - {None})] + ["a missing value"] * (
                    None in values
                )
        return {name: values for name, values in unseen.items() if values}


def learn_columns(table: Mapping[str, Column]) -> tuple[NumberColumn | BooleanColumn | CategoryColumn, ...]:
    """Return how each column of a table becomes numbers.

    Parameters
    ----------
    table : mapping of str to Column
        The rows that a network is trained with.

    Raises
    ------
    ValueError
        If a column's numbers are too large to standardize.
    """
    return tuple(learn_column(name, column) for name, column in table.items())


def _values(kind: str, column: Column) -> np.ndarray:
    """Return the values of a column, in the form of its kind where it is missing as a whole."""
    if column.kind == "missing" and kind == "text":
        return np.full(len(column.values), None, dtype=object)
    return column.values


def _held(column: Column, wanted: str) -> str:
    if column.kind != "text":
        return f"{column.kind}s"
    example = next((value for value in column.values if value is not None and not _is(wanted, value)), "")
    return f"text, such as {example[:40]!r},"


def _is(wanted: str, value: str) -> bool:
    try:
        return wanted == "number" and float(value) is not None
    except ValueError:
        return False
