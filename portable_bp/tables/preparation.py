"""A table made ready to learn from: columns checked, the task chosen, rows shared out, the recipe learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.common.lookup import find, require
from portable_bp.tables.columns import LeftOut, advise_ignore, find_kind, kind_of, listed, quoted, shortened
from portable_bp.tables.files import Table, find_ignored, read_table, take_columns
from portable_bp.tables.index import find_counting, find_index
from portable_bp.tables.inference import REMARKS
from portable_bp.tables.learning import learn_columns, leave_out_constant
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.settings import Settings
from portable_bp.tables.targets import choose_task, learn_target

FEWEST_ROWS = 10
# A text column of more is an identifier, or free text.
MOST_CATEGORIES, SMALL_TABLE = 1000, 20
# Of more columns with missing values, each does not have a line of its own.
MOST_LINES = 5
# Of the rows that are not held out.
VALIDATION = 0.1
LEFT_OUT = {
    "ignored": "as you said",
    "index": "as an index of the rows (to learn from it, give it another name; in pandas, reset_index makes columns of it)",
    "constant": "since it has one value in every row to learn from",
    "or missing": "since it has one value to learn from besides missing ones (fill these to learn from it, such as with 0)",
    "empty": "since it has no value in any row to learn from",
}
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
    read, table, left_out = _read_columns(settings)
    frame = table.filter(table[settings.target].is_not_null())
    without = table.height - frame.height
    say(f"{settings.table}: {table.height:,} rows" + (f", {without:,} of them without a target left out." if without else "."))
    # What is missing of the other columns is told once it is known what is done about it.
    assumed = read.tell_assumed(frame.columns, [kind for kind in REMARKS if kind != "missing"])
    for line in (*read.remarks, *read.tell_assumed([settings.target], ["missing"]), *assumed):
        say(line)
    _check_columns(settings, frame)
    target = frame[settings.target]
    task, reason = choose_task(target, settings.task)
    labels = learn_target(target, task).prepare(target) if task == "classification" else np.zeros(len(target))
    rows = split_rows(labels, settings.held_out, np.random.default_rng(settings.seed))
    training, validation, held_out = (frame[part] for part in rows)
    columns, constant = learn_columns(training.drop(settings.target))
    kinds = {column.name: column.kind for column in (*columns, *constant)}
    readings = tuple(reading for reading in read.readings(list(kinds)) if kinds[reading.name] == reading.kind)
    recipe = Recipe(columns, learn_target(training[settings.target], task), (*left_out, *constant), readings)
    if not columns:
        raise ValueError(
            f"{settings.table} has no column to learn from: {quoted([column.name for column in constant])} "
            f"{'has' if len(constant) == 1 else 'have'} one value, or none, in every row to learn from."
        )
    for line in read.tell_kinds([*(column.name for column in columns), settings.target]):
        say(line)
    _tell_left_out(recipe.left_out, table, say)
    for line in read.tell_assumed([column.name for column in constant], ["missing"]):
        say(line)
    _tell_missing(read, frame[[column.name for column in columns]], say)
    _tell_counting(table[[column.name for column in columns]], say)
    say(f"Task: {task}{f' into {recipe.target.outputs} classes' if task == 'classification' else ''}, {reason}.")
    say(
        f"Rows: {len(rows[0]):,} to learn from, {len(rows[1]):,} to tell when to stop, {len(rows[2]):,} held out for the score."
    )
    return Prepared(training, validation, held_out, recipe)


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


def _read_columns(settings: Settings) -> tuple[Table, Any, list[LeftOut]]:
    """Return the table, the columns to learn from and the target, and what is left out before a value of it is looked at."""
    read = read_table(settings.table, options=settings.reading)
    frame = read.frame
    if frame.width == 1 and settings.target not in frame.columns:
        raise ValueError(
            f"{settings.table} has one column, {quoted(frame.columns)}: its first line should name the columns; delete what "
            "stands above these."
        )
    find("column", settings.target, dict.fromkeys(frame.columns))
    ignored = find_ignored(settings.ignored, frame.columns)
    if settings.target in ignored:
        raise ValueError(f"{settings.target!r} is the target and cannot be ignored: give another one of the two.")
    index = set(find_index(settings.table, frame)) - ignored - {settings.target}
    left_out = [LeftOut(name, "ignored") for name in frame.columns if name in ignored]
    left_out += [LeftOut(name, "index") for name in frame.columns if name in index]
    frame = frame.drop(*ignored, *index)
    # Dates are refused, but those of one date say nothing.
    dates = [name for name, dtype in frame.schema.items() if dtype.is_temporal() and name != settings.target]
    constant = leave_out_constant(frame, [name for name in dates if frame[name].drop_nulls().n_unique() == 1])
    frame = frame.drop(column.name for column in constant)
    if frame.width < 2:
        besides = f" and {quoted([column.name for column in left_out])}, left out," if left_out else ""
        raise ValueError(f"{settings.table} has no column besides the target {settings.target!r}{besides} to learn from.")
    return read, take_columns(read, frame.columns, [settings.target]), [*left_out, *constant]


def _check_columns(settings: Settings, frame: Any) -> None:
    path, rows = settings.table, frame.height
    if rows < FEWEST_ROWS:
        raise ValueError(f"{path} has {rows} rows with a value of {settings.target!r}, and {FEWEST_ROWS} are the fewest.")
    polars = require("polars", "table")
    text = [name for name, dtype in frame.schema.items() if kind_of(dtype) == "text" and name != settings.target]
    most = min(MOST_CATEGORIES, rows / 2 if rows > SMALL_TABLE else rows)
    values = frame.select(polars.col(text).n_unique()).row(0) if text else ()
    many = [name for name, count in zip(text, values, strict=True) if count > most]
    if many:
        raise ValueError(
            f"{path} has too many different texts in {quoted(many)} to take them as categories (identifiers, or free text?): "
            f"leave out with {advise_ignore(many)}, or make numbers of them."
        )


def _tell_left_out(columns: Sequence[LeftOut], table: Any, say: Callable[[str], None]) -> None:
    """Say which columns are no inputs, a line for each reason."""
    missing = {series.name for series in table if series.null_count()}
    by_reason: dict[str, list[str]] = {}
    for column in columns:
        reason = column.reason
        if reason == "constant":
            reason = "empty" if column.value is None else "or missing" if column.name in missing else "constant"
        value = f" ({shortened(column.value)})" if column.value is not None else ""
        by_reason.setdefault(reason, []).append(repr(column.name) + value)
    for reason, names in by_reason.items():
        say(f"Left out, {LEFT_OUT[reason]}: {listed(names)}.")


def _tell_missing(read: Table, frame: Any, say: Callable[[str], None]) -> None:
    """Say how many values are missing, what of the file was taken as missing besides empty cells, and what is done about it."""
    missing = [(series, count) for series in frame if (count := series.null_count())]
    marks = {name: column.remarks["missing"] for name, column in read.columns.items() if "missing" in column.remarks}
    if len(missing) <= MOST_LINES:
        for series, count in missing:
            marked = f" ({marks[series.name]})" if series.name in marks else ""
            taken = MISSING[find_kind(series)]
            say(f"Column {series.name!r}: missing in {count:,} of {len(series):,} rows{marked}, taken as {taken}.")
        return
    for kind, taken in MISSING.items():
        told = [
            f"{series.name!r} (in {count:,}{f'; {marks[series.name]}' if series.name in marks else ''})"
            for series, count in missing
            if find_kind(series) == kind
        ]
        if told:
            say(f"Missing in some of {frame.height:,} rows, taken as {taken}: {listed(told)}.")


def _tell_counting(frame: Any, say: Callable[[str], None]) -> None:
    if counting := find_counting(frame):
        say(
            f"Learned from, though it counts the rows: {quoted(counting)}; if that is an identifier, leave it out with "
            f"{advise_ignore(counting)}."
        )
