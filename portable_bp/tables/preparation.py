"""A table made ready to learn from: columns checked, the task chosen, rows shared out, the recipe learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from portable_bp.lookup import find
from portable_bp.tables.columns import Column, take_rows
from portable_bp.tables.reading import check_ignored, read_frame, take_columns
from portable_bp.tables.recipe import Recipe, learn_columns
from portable_bp.tables.settings import Settings
from portable_bp.tables.split import Split, split_rows
from portable_bp.tables.targets import learn_target
from portable_bp.tables.task import Task, choose_task
from portable_bp.tables.words import counted, quoted

FEWEST_ROWS = 10
# A text column of more is an identifier, or free text.
MOST_CATEGORIES, SMALL_TABLE = 1000, 20


class Prepared(NamedTuple):
    """A table made ready.

    Attributes
    ----------
    columns : dict of str to Column
        All but the target, of the rows that have one.
    target : Column
        The target of these rows.
    split : Split
        Which of them are for what.
    recipe : Recipe
        Learned from the rows for training alone.
    """

    columns: dict[str, Column]
    target: Column
    split: Split
    recipe: Recipe


def prepare_table(settings: Settings, say: Callable[[str], None]) -> Prepared:
    """Read a table and make it ready to learn from.

    Parameters
    ----------
    settings : Settings
        What was chosen.
    say : callable
        Told, line by line, what was found and decided.

    Raises
    ------
    ValueError
        If it cannot be learned from.
    ImportError
        If polars is not installed.
    OSError
        If it cannot be read.
    """
    columns = _read_columns(settings, say)
    target = columns.pop(settings.target)
    present = ~target.missing
    _check_rows(settings, len(present), int(present.sum()), say)
    columns, target = take_rows(columns, present), Column(target.kind, target.values[present])
    _check_columns(settings.table, columns)
    task = choose_task(settings.target, target, settings.task)
    labels = target.values if task.name == "classification" else np.zeros(len(target.values))
    groups = np.unique(labels, return_inverse=True)[1]
    split = split_rows(groups, settings.held_out, np.random.default_rng(settings.seed))
    learned = learn_columns(take_rows(columns, split.training))
    recipe = Recipe(learned, learn_target(settings.target, Column(target.kind, target.values[split.training]), task.name))
    _tell(columns, recipe, split, task, say)
    return Prepared(columns, target, split, recipe)


def _read_columns(settings: Settings, say: Callable[[str], None]) -> dict[str, Column]:
    frame = read_frame(settings.table, (), say)
    if frame.width < 2:
        raise ValueError(
            f"{settings.table} has one column, {quoted(frame.columns)}, and a table has a target and columns to tell it from: "
            "separate them with commas, semicolons, tabs or vertical bars."
        )
    find("column", settings.target, dict.fromkeys(frame.columns))
    ignored = check_ignored(settings.ignored, frame.columns)
    if settings.target in ignored:
        raise ValueError(f"{settings.target!r} is the target and cannot be ignored: give another one of the two.")
    names = [name for name in frame.columns if name not in ignored]
    if len(names) < 2:
        raise ValueError(f"{settings.table} has no column left besides the target {settings.target!r}: ignore fewer.")
    return take_columns(settings.table, frame, names)


def _check_rows(settings: Settings, rows: int, present: int, say: Callable[[str], None]) -> None:
    without = f" with a value of {settings.target!r}" if present < rows else ""
    if present < FEWEST_ROWS:
        raise ValueError(
            f"{settings.table} has {counted(present, 'row')}{without}, and {FEWEST_ROWS} are the fewest: add some."
        )
    say(f"{settings.table}: {counted(present, 'row')}{without}.")
    if present < rows:
        say(f"{counted(rows - present, 'row')} without one left out.")


def _check_columns(path: str, columns: dict[str, Column]) -> None:
    empty = [name for name, column in columns.items() if column.missing.all()]
    if empty:
        raise ValueError(f"{path} has nothing in {quoted(empty)}: leave them out with --ignore.")
    different = {name: len(set(column.values.tolist())) for name, column in columns.items() if column.kind == "text"}
    rows = len(next(iter(columns.values())).values)
    most = min(MOST_CATEGORIES, rows / 2 if rows > SMALL_TABLE else rows)
    many = [name for name, values in different.items() if values > most]
    if many:
        raise ValueError(
            f"{path} has too many different texts in {quoted(many)} to take them as categories ({max(different.values()):,} in "
            f"{counted(rows, 'row')}; identifiers, or free text?): leave them out with --ignore, or make numbers of them."
        )


def _tell(columns: dict[str, Column], recipe: Recipe, split: Split, task: Task, say: Callable[[str], None]) -> None:
    for column in recipe.columns:
        missing = int(columns[column.name].missing.sum())
        taken = {
            "number": "taken as the mean",
            "boolean": "taken as the share of true",
            "text": "taken as a category by itself",
        }
        if missing:
            say(f"Column {column.name!r}: {counted(missing, 'missing value')}, {taken[column.kind]}.")
    of_what = f"classification into {recipe.target.outputs} classes" if task.name == "classification" else "regression"
    say(f"Task: {of_what}, {task.reason}.")
    say(
        f"Rows: {len(split.training):,} to learn from, {len(split.validation):,} to stop by, {len(split.held_out):,} held out "
        "for the score."
    )
