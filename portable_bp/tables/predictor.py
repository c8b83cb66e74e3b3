"""Predict the rows of a table with a model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portable_bp.extras import require
from portable_bp.network import Network, load
from portable_bp.storage import ModelFileError
from portable_bp.tables.columns import quoted
from portable_bp.tables.files import find_ignored, read_table, take_columns
from portable_bp.tables.notes import find_recipe
from portable_bp.tables.recipe import Recipe

# Numbers that go to the device at once: 64 MiB of float64.
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
    frame = read_table(table, recipe.text)
    left_out = find_ignored(ignored, frame.columns) | {recipe.target.name}
    frame = take_columns(table, frame, [name for name in frame.columns if name not in left_out])
    recipe.refuse(table, frame)
    for name, values in recipe.find_unseen(frame).items():
        say(f"column {name!r} has categories that training had not, taken as none of the known ones: {quoted(values)}.")
    outputs = run_network(network, recipe, frame)
    if not np.isfinite(outputs).all():
        raise ModelFileError(f"{model} gives infinity or NaN for rows of {table}: its weights are of no use.")
    return require("polars", "table").DataFrame(recipe.target.restore(outputs))


def run_network(network: Network, recipe: Recipe, frame: Any) -> np.ndarray:
    """Return a network's outputs for the rows of a frame, on the host, of shape (rows, outputs); some rows at a time."""
    at_once = max(1, MOST_NUMBERS // max(network.sizes))
    parts: list[Any] = [network.predict(recipe.prepare(part)) for part in frame.iter_slices(at_once)]
    return np.concatenate([network.backend.to_numpy(part) for part in parts])
