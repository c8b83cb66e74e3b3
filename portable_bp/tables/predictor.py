"""Predict the rows of a table with a model file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from portable_bp.network import Network, load
from portable_bp.storage import ModelFileError
from portable_bp.tables.columns import Column, take_rows
from portable_bp.tables.notes import find_recipe
from portable_bp.tables.outputs import check_output, rehearse, write_nothing, write_table
from portable_bp.tables.reading import ENDINGS, check_ignored, read_frame, take_columns
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.words import listed

# Numbers that go to the device at once: 64 MiB of float64.
MOST_NUMBERS = 2**23


def predict_table(
    model: str,
    table: str,
    output: str | None,
    say: Callable[[str], None],
    backend: str = "auto",
    ignored: Sequence[str] = (),
) -> str:
    """Predict the target of every row of a table.

    Parameters
    ----------
    model : str
        A model file with a recipe, as `train_table` writes it.
    table : str
        A CSV or Parquet file with the recipe's columns in any order, and perhaps the target, which is not looked at.
    output : str or None
        Where the predictions go; None to return them as CSV.
    say : callable
        Told, in a line, what the model does not know.
    backend : str
        As `load` takes it.
    ignored : sequence of str
        Columns to leave out.

    Returns
    -------
    str
        The predictions as CSV, in the order of the rows; nothing where a file was written.

    Raises
    ------
    ModelFileError
        If the model file is damaged, or has no recipe.
    ValueError
        If the table does not fit it.
    ImportError
        If polars or safetensors is not installed.
    OSError
        If a file cannot be read or written.
    """
    if output is not None:
        check_output(output, list(ENDINGS), [model, table])
    network = load(model, backend)
    recipe = find_recipe(model, network)
    if recipe is None:
        raise ModelFileError(f"{model} has no recipe of a table's columns: give a model that 'portable-bp train' wrote.")
    frame = read_frame(table, recipe.text, say)
    left_out = check_ignored(ignored, frame.columns) | {recipe.target.name}
    columns = take_columns(table, frame, [name for name in frame.columns if name not in left_out])
    recipe.refuse(table, columns)
    if output is not None:
        rehearse(output, write_nothing)
    for name, values in recipe.find_unseen(columns).items():
        say(f"column {name!r} has categories that training had not, taken as none of the known ones: {listed(values)}.")
    outputs = run_network(network, recipe, columns)
    if not np.isfinite(outputs).all():
        raise ModelFileError(f"{model} gives infinity or NaN for rows of {table}: its weights are of no use.")
    return write_table(recipe.target.restore(outputs), output)


def run_network(network: Network, recipe: Recipe, table: Mapping[str, Column]) -> np.ndarray:
    """Return a network's outputs for the rows of a table, some rows at a time.

    Parameters
    ----------
    network : Network
        On any backend.
    recipe : Recipe
        How the columns become its inputs.
    table : mapping of str to Column
        With the columns of the recipe.

    Returns
    -------
    array, shape (rows, outputs)
        On the host.

    Raises
    ------
    ValueError
        If a number is too far from those that the recipe was learned from.
    """
    rows = len(next(iter(table.values())).values)
    at_once = max(1, MOST_NUMBERS // max(network.sizes))
    parts: list[Any] = []
    for first in range(0, rows, at_once):
        part = recipe.prepare(take_rows(table, slice(first, first + at_once)))
        parts.append(network.backend.to_numpy(network.predict(part)))
    return np.concatenate(parts)
