"""Predict the rows of a table with a model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portable_bp.backends import spans
from portable_bp.backends.selector import dtype_name
from portable_bp.common.lookup import require
from portable_bp.network import Network, load
from portable_bp.storage import ModelFileError
from portable_bp.tables.columns import MOST_NAMED, NumberColumn, listed, quoted, shortened
from portable_bp.tables.encoding import Encoded
from portable_bp.tables.files import Table, find_ignored, read_table, take_columns
from portable_bp.tables.index import find_index
from portable_bp.tables.notes import find_recipe
from portable_bp.tables.recipe import Recipe

# Numbers that go to the device at once: 32 MiB of float32.
MOST_NUMBERS = 2**23


def predict_table(
    model: str, table: str, say: Callable[[str], None], backend: str = "auto", ignored: Sequence[str] = ()
) -> Any:
    """Return the predictions for every row of a table, in their order, as a polars frame.

    Parameters
    ----------
    model : str
        A model file with a recipe, as `train_table` writes it.
    table : str
        A CSV or Parquet file with the recipe's columns in any order, and perhaps the target, which is not looked at.
    say : callable
        Told, in a line, what the model does not know.
    backend : str
        As `load` takes it.
    ignored : sequence of str
        Columns to leave out.

    Raises
    ------
    ModelFileError
        If the model file is damaged, or has no recipe.
    ValueError
        If the table does not fit it.
    ImportError
        If polars or safetensors is not installed.
    OSError
        If a file cannot be read.
    """
    network = load(model, backend)
    recipe = find_recipe(model, network)
    if recipe is None:
        raise ModelFileError(f"{model} has no recipe of a table's columns: give a model that 'portable-bp train' wrote.")
    read = read_table(table, recipe.known)
    whole = _choose_columns(recipe, read, ignored, say)
    recipe.refuse(table, whole)
    encoded = recipe.encode(whole, network_dtype(network))
    for line in read.tell_remarks(whole.columns):
        say(line)
    _tell_assumed(recipe, read.frame, whole, encoded, say)
    outputs = run_network(network, encoded)
    if not np.isfinite(outputs).all():
        raise ModelFileError(f"{model} gives infinity or NaN for rows of {table}: its weights are of no use.")
    return require("polars", "table").DataFrame(recipe.target.restore(outputs))


def run_network(network: Network, encoded: Encoded) -> np.ndarray:
    """Return a network's outputs for the rows of a table, on the host, of shape (rows, outputs); some rows at a time."""
    parts: list[Any] = [
        network.backend.to_numpy(network.predict(encoded.make(span)))
        for span in spans(encoded.rows, max(network.sizes), MOST_NUMBERS)
    ]
    return np.concatenate(parts)


def network_dtype(network: Network) -> str:
    """Return the name of the dtype that a network takes."""
    return dtype_name(network.backend.dtype)


def _choose_columns(recipe: Recipe, table: Table, ignored: Sequence[str], say: Callable[[str], None]) -> Any:
    """Return the columns of a table that the recipe may want: not those that training left out, nor an index of its own."""
    known = [column.name for column in recipe.left_out]
    left_out = {*find_ignored(ignored, [*table.frame.columns, *known]), *known, recipe.target.name}
    expected = left_out | {column.name for column in recipe.columns}
    if index := [name for name in find_index(table.path, table.frame) if name not in expected]:
        say(f"left out, as an index of the rows: {quoted(index)}.")
    left_out.update(index)
    needed = [column.name for column in recipe.columns]
    return take_columns(table, [name for name in table.frame.columns if name not in left_out], needed)


def _tell_assumed(recipe: Recipe, frame: Any, whole: Any, encoded: Encoded, say: Callable[[str], None]) -> None:
    """Say which numbers are missing, and what of a table the model does not know, in a line for each kind."""
    numbers = [whole[column.name] for column in recipe.columns if isinstance(column, NumberColumn)]
    if missing := [
        f"{series.name!r} (in {count:,} of {whole.height:,} rows)" for series in numbers if (count := series.null_count())
    ]:
        say(f"missing values are replaced by the mean of training: {listed(missing)}.")
    unseen = recipe.find_unseen(whole, encoded)
    for name, values in list(unseen.items())[:MOST_NAMED]:
        say(f"column {name!r} has categories that training had not, taken as none of the known ones: {quoted(values)}.")
    if len(unseen) > MOST_NAMED:
        say(f"{len(unseen) - MOST_NAMED:,} more columns have categories that training had not, taken so too.")
    if changed := recipe.find_changed(frame):
        values = [
            f"{name!r} (such as {shortened(now)}; {'nothing' if then is None else shortened(then)} in training)"
            for name, (then, now) in changed.items()
        ]
        say(f"columns that were constant in training differ, which changes no prediction: {listed(values)}.")
    if far := recipe.find_far(whole):
        values = [f"{name!r} (such as {now:g}; {low:g} to {high:g} in training)" for name, (now, low, high) in far.items()]
        say(f"numbers far outside the range of training, for which predictions may be far off: {listed(values)}.")
