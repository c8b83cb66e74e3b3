"""Prepare a table for training: check its columns, choose the task, split the rows, and fit the recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import find, require
from portable_bp.tables.columns import LeftOut, kind_of
from portable_bp.tables.fitting import fit_columns, leave_out_constant
from portable_bp.tables.index import find_index
from portable_bp.tables.messages import counted, ignore_option, quoted
from portable_bp.tables.options import TrainingOptions, find_columns
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.report import describe_columns, describe_rare_classes, describe_rows
from portable_bp.tables.table import Table, read_table
from portable_bp.tables.targets import choose_task, fit_target

MIN_ROWS = 10
# A text column with more different texts holds identifiers or free text; in a small table, every text may be different.
MAX_CATEGORIES, SMALL_TABLE = 1000, 20
# Of the rows that are not held out for the score.
VALIDATION_SHARE = 0.1


class PreparedTable(NamedTuple):
    """A table ready for training: polars frames of the rows that have a target, each row in one of them."""

    training: Any  # for the weights, means and categories
    validation: Any  # for early stopping
    held_out: Any  # for the score alone
    recipe: Recipe  # fitted to the training rows alone


def prepare_table(options: TrainingOptions, report: Callable[[str], None]) -> PreparedTable:
    """Read a table and prepare it for training; ``report`` is called with each line about what was found and decided.

    Raises ValueError if a network cannot learn from the table, ImportError if polars is not installed, and OSError if the file
    cannot be read.
    """
    table = read_table(options.table, options=options.csv)
    chosen, left_out = _choose_columns(options, table)
    frame = chosen.filter(chosen[options.target].is_not_null())
    for line in describe_rows(table, frame, options.target):
        report(line)
    _check_rows(options, frame)
    task, reason = choose_task(frame[options.target], options.task)
    training, validation, held_out = _split_frame(options, frame, task)
    recipe = _fit_recipe(options, table, training, task, left_out)
    for line in describe_columns(table, frame, recipe):
        report(line)
    rare = describe_rare_classes(frame[options.target]) if task == "classification" else ()
    report(f"Task: {task}{f' into {recipe.target.outputs} classes' if task == 'classification' else ''}, {reason}.")
    for line in rare:
        report(line)
    report(
        f"Rows: {training.height:,} for training, {validation.height:,} for validation (to decide when to stop), "
        f"{held_out.height:,} held out for the score."
    )
    return PreparedTable(training, validation, held_out, recipe)


def split_rows(labels: np.ndarray, held_out: float, generator: np.random.Generator) -> list[np.ndarray]:
    """Draw the training, validation and held-out rows, each with nearly the same proportions of the labels.

    Every label of ``labels``, of shape (rows,), has at least one training row; ValueError if there are too few rows for that.
    """
    names, groups, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # The rows of each label, in random order, are spread evenly from 0 to 1; all rows are then taken in that order.
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    positions = np.concatenate([(np.arange(count) + generator.random()) / count for count in counts])
    # The last row of each label is one for training.
    positions[np.cumsum(counts) - 1] = 1.0
    order = order[np.argsort(positions, kind="stable")]
    score = max(1, round(len(order) * held_out))
    stop = score + max(1, round((len(order) - score) * VALIDATION_SHARE))
    if len(order) - stop < len(names):
        raise ValueError(
            f"{len(order):,} rows cannot be split with {score:,} of them held out, since too few remain for training: give "
            "more rows of each class, or a smaller --held-out."
        )
    return [order[stop:], order[score:stop], order[:score]]


def _choose_columns(options: TrainingOptions, table: Table) -> tuple[Any, list[LeftOut]]:
    """Return the target and the columns that may be inputs, and those that are left out whatever the training rows are."""
    frame, target = table.frame, options.target
    if frame.width == 1 and target not in frame.columns:
        raise ValueError(
            f"{table.path} has one column, {quoted(frame.columns)}: its first line should name the columns; delete any lines "
            "above the names."
        )
    find("column", target, dict.fromkeys(frame.columns))
    ignored = find_columns("--ignore", options.ignored, frame.columns)
    if target in ignored:
        raise ValueError(f"{target!r} is the target and cannot be ignored: give another --target, or another --ignore.")
    index = set(find_index(table.path, frame)) - ignored - {target}
    left_out = [LeftOut(name, "ignored") for name in frame.columns if name in ignored]
    left_out += [LeftOut(name, "index") for name in frame.columns if name in index]
    frame = frame.drop(*ignored, *index)
    # A network cannot take dates, but a constant date can be left out.
    dates = [name for name, dtype in frame.schema.items() if dtype.is_temporal() and name != target]
    constant = leave_out_constant(frame, [name for name in dates if frame[name].drop_nulls().n_unique() == 1])
    frame = frame.drop(column.name for column in constant)
    if frame.width < 2:
        besides = f" (left out: {quoted([column.name for column in left_out])})" if left_out else ""
        raise ValueError(f"{table.path} has no column to learn from besides the target {target!r}{besides}: add columns.")
    return table.select(frame.columns, needed=[target]), [*left_out, *constant]


def _check_rows(options: TrainingOptions, frame: Any) -> None:
    """Raise ValueError if there are too few rows, or too many different texts in a column."""
    path, rows = options.table, frame.height
    if rows < MIN_ROWS:
        raise ValueError(
            f"{path} has {counted(rows, 'row')} with a value of {options.target!r}, but training needs at least {MIN_ROWS}: "
            "give a larger table."
        )
    polars = require("polars", "table")
    text = [name for name, dtype in frame.schema.items() if kind_of(dtype) == "text" and name != options.target]
    most = min(MAX_CATEGORIES, rows / 2 if rows > SMALL_TABLE else rows)
    values = frame.select(polars.col(text).n_unique()).row(0) if text else ()
    many = [name for name, count in zip(text, values, strict=True) if count > most]
    if many:
        raise ValueError(
            f"{path} has too many different texts in {quoted(many)} to use them as categories (are they identifiers or free "
            f"text?): leave out with {ignore_option(many)}, or convert to numbers."
        )


def _split_frame(options: TrainingOptions, frame: Any, task: str) -> list[Any]:
    """Return the training, validation and held-out rows of a frame, stratified by class."""
    target = frame[options.target]
    labels = fit_target(target, task).encode(target) if task == "classification" else np.zeros(len(target))
    return [frame[rows] for rows in split_rows(labels, options.held_out, np.random.default_rng(options.seed))]


def _fit_recipe(options: TrainingOptions, table: Table, training: Any, task: str, left_out: list[LeftOut]) -> Recipe:
    """Fit a recipe to the training rows; ValueError if no column has different values in them."""
    columns, constant = fit_columns(training.drop(options.target))
    if not columns:
        raise ValueError(
            f"{table.path} has no column to learn from: {quoted([column.name for column in constant])} "
            f"{'has' if len(constant) == 1 else 'have'} one value, or none, in all training rows; give a column with different "
            "values."
        )
    kinds = {column.name: column.kind for column in (*columns, *constant)}
    formats = tuple(form for form in table.formats(list(kinds)) if kinds[form.name] == form.kind)
    return Recipe(columns, fit_target(training[options.target], task), (*left_out, *constant), formats)
