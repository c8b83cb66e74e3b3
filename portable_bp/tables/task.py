"""What a target asks for, classification or regression, and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from portable_bp.tables.columns import Column
from portable_bp.tables.targets import are_whole
from portable_bp.tables.words import counted

TASKS = ("classification", "regression")
# Whole numbers of so few values, each in so many rows on average, are classes.
FEW, ROWS_EACH = 20, 5
MOST_CLASSES = 1000
# Beyond it float64 does not tell whole numbers apart.
LARGEST_WHOLE = 2**53


class Task(NamedTuple):
    """What is to be learned.

    Attributes
    ----------
    name : {"classification", "regression"}
        Which of the two.
    reason : str
        Why, as the end of a sentence.
    """

    name: str
    reason: str


def choose_task(name: str, target: Column, wanted: str | None) -> Task:
    """Return what a target asks for.

    Parameters
    ----------
    name : str
        Of the target.
    target : Column
        None of it missing.
    wanted : {"classification", "regression"} or None
        What the user says.

    Raises
    ------
    ValueError
        If the target is constant, has too many classes, or is not what the user says.
    """
    values = len(set(target.values.tolist()))
    if values == 1:
        raise ValueError(
            f"the target {name!r} has one value, {target.values.tolist()[0]!r}, in every row: there is nothing to learn of it."
        )
    task = _infer(name, target, values) if wanted is None else Task(wanted, "as you said")
    if task.name == "regression" and target.kind != "number":
        raise ValueError(
            f"the target {name!r} is {target.kind}, and regression is of numbers: leave --task out, or convert it."
        )
    if task.name == "classification":
        _check_classes(name, target, values)
    return task


def _infer(name: str, target: Column, values: int) -> Task:
    if target.kind != "number":
        return Task("classification", f"since {name!r} is {target.kind}")
    rows = len(target.values)
    if not are_whole(target.values):
        return Task("regression", f"since {name!r} holds numbers with fractions")
    if values > max(2, min(FEW, rows // ROWS_EACH)):
        return Task("regression", f"since {name!r} holds {values:,} different whole numbers in {counted(rows, 'row')}")
    return Task("classification", f"since {name!r} holds only {values} different whole numbers in {counted(rows, 'row')}")


def _check_classes(name: str, target: Column, values: int) -> None:
    if values > MOST_CLASSES or 2 * values > len(target.values):
        raise ValueError(
            f"the target {name!r} has {values:,} different values in {counted(len(target.values), 'row')}, too many for "
            "classes: give another target" + (", or --task regression." if target.kind == "number" else ".")
        )
    if target.kind == "number" and np.abs(target.values).max() > LARGEST_WHOLE and are_whole(target.values):
        raise ValueError(f"the target {name!r} has whole numbers beyond 2**53, which cannot be told apart: write them as text.")
