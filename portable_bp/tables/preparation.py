"""A table made ready to learn from: columns checked, the task chosen, rows shared out, the recipe learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portable_bp.lookup import find
from portable_bp.tables.columns import find_kind, learn_column, quoted
from portable_bp.tables.files import find_ignored, read_table, take_columns
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.settings import Settings
from portable_bp.tables.targets import choose_task, learn_target

FEWEST_ROWS = 10
# A text column of more is an identifier, or free text.
MOST_CATEGORIES, SMALL_TABLE = 1000, 20
# Of the rows that are not held out.
VALIDATION = 0.1
MISSING = {"number": "the mean", "boolean": "the share of true", "text": "a category by itself"}


class Prepared(NamedTuple):
    """A table made ready, as polars frames of rows that have a target; no row is in two of them.

    Attributes
    ----------
    training : polars.DataFrame
        To learn from: weights, means and categories.
    validation : polars.DataFrame
        To stop by.
    held_out : polars.DataFrame
        Seen by nothing but the score.
    recipe : Recipe
        Learned from the rows for training alone.
    """

    training: Any
    validation: Any
    held_out: Any
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
    table = _read_columns(settings)
    frame = table.filter(table[settings.target].is_not_null())
    _check_columns(settings, frame)
    _tell_missing(settings, table, frame, say)
    target = frame[settings.target]
    task, reason = choose_task(target, settings.task)
    labels = learn_target(target, task).prepare(target) if task == "classification" else np.zeros(len(target))
    rows = split_rows(labels, settings.held_out, np.random.default_rng(settings.seed))
    training, validation, held_out = (frame[part] for part in rows)
    learned = learn_target(training[settings.target], task)
    say(f"Task: {task}{f' into {learned.outputs} classes' if task == 'classification' else ''}, {reason}.")
    say(
        f"Rows: {len(rows[0]):,} to learn from, {len(rows[1]):,} to tell when to stop, {len(rows[2]):,} held out for the score."
    )
    return Prepared(training, validation, held_out, Recipe(tuple(map(learn_column, training.drop(settings.target))), learned))


def split_rows(labels: np.ndarray, held_out: float, generator: np.random.Generator) -> list[np.ndarray]:
    """Return which rows are to learn from, to stop by, and held out: of each label the same share, as nearly as can be.

    Parameters
    ----------
    labels : array, shape (rows,)
        The last row of each is one to learn from.
    held_out : float
        The share of rows for the score.
    generator : numpy.random.Generator
        Of the order.

    Raises
    ------
    ValueError
        If there are not enough rows.
    """
    names, groups, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Each label's rows, in any order, are laid out evenly from 0 to 1, and from there they are taken in turn.
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    places = np.concatenate([(np.arange(count) + generator.random()) / count for count in counts])
    places[np.cumsum(counts) - 1] = 1.0
    order = order[np.argsort(places, kind="stable")]
    score = max(1, round(len(order) * held_out))
    stop = score + max(1, round((len(order) - score) * VALIDATION))
    if len(order) - stop < len(names):
        raise ValueError(
            f"{len(order):,} rows cannot be shared out with {score:,} of them held out: give more rows of each class, or a "
            "smaller --held-out."
        )
    return [order[stop:], order[score:stop], order[:score]]


def _read_columns(settings: Settings) -> Any:
    frame = read_table(settings.table)
    find("column", settings.target, dict.fromkeys(frame.columns))
    ignored = find_ignored(settings.ignored, frame.columns)
    if settings.target in ignored:
        raise ValueError(f"{settings.target!r} is the target and cannot be ignored: give another one of the two.")
    names = [name for name in frame.columns if name not in ignored]
    if len(names) < 2:
        raise ValueError(f"{settings.table} has no column besides the target {settings.target!r} to learn from.")
    return take_columns(settings.table, frame, names)


def _check_columns(settings: Settings, frame: Any) -> None:
    path, rows = settings.table, frame.height
    if rows < FEWEST_ROWS:
        raise ValueError(f"{path} has {rows} rows with a value of {settings.target!r}, and {FEWEST_ROWS} are the fewest.")
    columns = frame.drop(settings.target)
    empty = [series.name for series in columns if series.null_count() == rows]
    if empty:
        raise ValueError(f"{path} has nothing in {quoted(empty)}: leave out with --ignore {','.join(empty)!r}.")
    most = min(MOST_CATEGORIES, rows / 2 if rows > SMALL_TABLE else rows)
    many = [series.name for series in columns if find_kind(series) == "text" and series.n_unique() > most]
    if many:
        raise ValueError(
            f"{path} has too many different texts in {quoted(many)} to take them as categories (identifiers, or free text?): "
            f"leave out with --ignore {','.join(many)!r}, or make numbers of them."
        )


def _tell_missing(settings: Settings, table: Any, frame: Any, say: Callable[[str], None]) -> None:
    left_out = table.height - frame.height
    say(
        f"{settings.table}: {table.height:,} rows" + (f", {left_out:,} of them without a target left out." if left_out else ".")
    )
    for series in frame:
        missing = series.null_count()
        if missing:
            taken = MISSING[find_kind(series)]
            say(f"Column {series.name!r}: missing in {missing:,} of {len(series):,} rows, taken as {taken}.")
