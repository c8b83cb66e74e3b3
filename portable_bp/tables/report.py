"""What ``portable-bp train`` prints about a table: how its columns were read, which are left out, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from portable_bp.tables.columns import LeftOut, kind_of
from portable_bp.tables.csv import ASSUMPTIONS
from portable_bp.tables.index import find_row_numbers
from portable_bp.tables.messages import counted, ignore_option, listed, quoted, shortened
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.table import Table

# If more columns have missing values, they share a line for each kind.
MAX_MISSING_LINES = 5
LEFT_OUT = {
    "ignored": "as requested",
    "index": "as an index of the rows (to use it as an input, rename it; in pandas, reset_index turns it into a column)",
    "constant": "with one value in all training rows",
    "constant or missing": "with one value in the training rows apart from missing ones (fill these to use it, such as with 0)",
    "empty": "with no value in any training row",
}
# Numbers that stand for a missing value in many files, since no measurement has them.
SENTINELS = {sign * number for sign in (-1, 1) for number in (9, 99, 999, 9999, 99999, 999999)}
MISSING = {
    "number": "replaced by the mean",
    "boolean": "replaced by the share of true values",
    "text": "treated as a category of its own",
}


def describe_rows(table: Table, frame: Any, target: str) -> Iterator[str]:
    """Say how many rows there are, and how they were read; ``frame`` has those with a target, and the columns of interest."""
    without = table.frame.height - frame.height
    skipped = f"; skipped {without:,} without a target" if without else ""
    yield f"{table.path}: {counted(table.frame.height, 'row')}{skipped}."
    yield from table.assumptions
    yield from table.describe_assumptions([target], ["missing"])
    # Other missing values come later, with what is done about them.
    yield from table.describe_assumptions(frame.columns, [kind for kind in ASSUMPTIONS if kind != "missing"])


def describe_rare_classes(target: Any) -> Iterator[str]:
    """Say which classes have a single row: training needs it, so that the score says nothing about them."""
    counts = target.value_counts()
    if rare := counts.filter(counts["count"] == 1)[target.name].sort().to_list():
        yield f"Not in the score, since training needs their only row: {quoted(rare)}."


def describe_columns(table: Table, frame: Any, recipe: Recipe) -> Iterator[str]:
    """Say what the columns of a recipe hold, what was left out, and what is missing; ``frame`` has the rows with a target."""
    names = [column.name for column in recipe.columns]
    selected = set(frame.columns)
    constant = [column.name for column in recipe.left_out if column.reason == "constant" and column.name in selected]
    yield from table.describe_kinds([*names, recipe.target.name])
    yield from _describe_left_out(recipe.left_out, table.frame)
    yield from table.describe_assumptions(constant, ["missing"])
    yield from _describe_missing(table, frame[names])
    yield from _describe_sentinels(frame[[*names, recipe.target.name]])
    if numbering := find_row_numbers(table.frame[names]):
        yield (
            f"Used as an input, although it numbers the rows: {quoted(numbering)}; if it is an identifier, leave it out with "
            f"{ignore_option(numbering)}."
        )


def _describe_left_out(columns: Sequence[LeftOut], frame: Any) -> Iterator[str]:
    missing = {series.name for series in frame if series.null_count()}
    by_reason: dict[str, list[str]] = {}
    for column in columns:
        reason = column.reason
        if reason == "constant" and column.value is None:
            reason = "empty"
        elif reason == "constant" and column.kind and column.name in missing:  # not dates, which cannot be inputs
            reason = "constant or missing"
        value = f" ({shortened(column.value)})" if column.value is not None else ""
        by_reason.setdefault(reason, []).append(repr(column.name) + value)
    for reason, names in by_reason.items():
        yield f"Left out, {LEFT_OUT[reason]}: {listed(names)}."


def _describe_sentinels(frame: Any) -> Iterator[str]:
    """Say which numbers may stand for missing values: those such as -999 that are far from all others of their column."""
    for series in frame:
        extremes = {series.min(), series.max()} if kind_of(series.dtype) == "number" else set()
        for value in sorted(extremes & SENTINELS):
            others = series.filter(series != value)
            reach = max(others.max() - others.min(), 1) if len(others) else 0
            if len(others) and abs(value - others.mean()) > 2 * reach:
                rows = counted(int((series == value).sum()), "row")
                yield (
                    f"Used as a number: {value:g} in {series.name!r} ({rows}); if it means a missing value, give it to "
                    "--missing as the file writes it."
                )


def _describe_missing(table: Table, frame: Any) -> Iterator[str]:
    """Say how many values are missing, which markers stood for them, and what is done about them."""
    missing = [(series, count) for series in frame if (count := series.null_count())]
    markers = {name: column.assumptions["missing"] for name, column in table.columns.items() if "missing" in column.assumptions}
    if len(missing) <= MAX_MISSING_LINES:
        for series, count in missing:
            shown = f" ({markers[series.name]})" if series.name in markers else ""
            treatment = MISSING[kind_of(series.dtype)]
            yield f"Column {series.name!r}: missing in {count:,} of {len(series):,} rows{shown}, {treatment}."
        return
    for kind, treatment in MISSING.items():
        names = [
            f"{series.name!r} (in {count:,}{f'; {markers[series.name]}' if series.name in markers else ''})"
            for series, count in missing
            if kind_of(series.dtype) == kind
        ]
        if names:
            yield f"Missing in some of {frame.height:,} rows, {treatment}: {listed(names)}."
