"""Predict the rows of a table with a model file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.activations import ACTIVATIONS, Identity
from portable_bp.backends import spans
from portable_bp.backends.selector import dtype_name
from portable_bp.common.lookup import MAX_NAMES, require
from portable_bp.network import Network, load
from portable_bp.storage import ModelFileError
from portable_bp.tables.columns import NumberColumn
from portable_bp.tables.encoding import EncodedTable
from portable_bp.tables.index import find_index
from portable_bp.tables.messages import listed, quoted, shortened
from portable_bp.tables.options import find_columns
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.recipe_json import find_recipe
from portable_bp.tables.table import Table, read_table

# Numbers that go to the device at once: 32 MiB of float32.
CHUNK_SIZE = 2**23


def predict_table(
    model: str,
    table: str,
    report: Callable[[str], None],
    backend: str = "auto",
    ignored: Sequence[str] = (),
    interval: float | None = None,
) -> Any:
    """Predict every row of a table.

    Parameters
    ----------
    model : str
        A model file with a recipe, as `train_table` writes it.
    table : str
        A CSV or Parquet file with the recipe's columns in any order; if it has the target, that is not used.
    report : callable
        Called with each line about an assumption, or about a difference from the training table.
    backend : str
        As in `load`.
    ignored : sequence of str
        Columns to leave out.
    interval : float, optional
        The share of new values that intervals around predicted numbers are to hold, between 0 and 1.

    Returns
    -------
    polars.DataFrame
        The predictions, in the order of the rows; for classes, also the probability of each, and with ``interval`` also the
        limits of the intervals.

    Raises
    ------
    ModelFileError
        If the model file is damaged, or has no recipe.
    ValueError
        If the table does not fit the model, or the model has no such intervals.
    ImportError
        If polars or safetensors is not installed.
    OSError
        If a file cannot be read.
    """
    network, recipe = load_model(model, backend)
    if recipe is None:
        raise ModelFileError(f"{model} has no recipe for the columns of a table: give a model that 'portable-bp train' wrote.")
    half_width = None if interval is None else recipe.target.half_width(interval)
    read = read_table(table, recipe.known_formats)
    chosen = _choose_columns(recipe, read, ignored, report)
    recipe.check_columns(table, chosen)
    encoded = recipe.encode(chosen, dtype_of(network))
    lines = (*read.assumptions, *read.describe_assumptions(chosen.columns), *_describe_missing(recipe, chosen))
    for line in (*lines, *_describe_differences(recipe, read.frame, encoded)):
        report(line)
    outputs = run_network(network, encoded)
    if not np.isfinite(outputs).all():
        raise ModelFileError(f"{model} predicts infinity or NaN for rows of {table}: train the model again.")
    predicted = recipe.target.decode(outputs)
    if half_width is not None:
        name = recipe.target.name
        numbers = np.array(predicted[name])
        predicted |= {f"{name}_low": (numbers - half_width).tolist(), f"{name}_high": (numbers + half_width).tolist()}
        report(f"interval: {name!r} plus or minus {half_width:.4g}, for rows that are like those of training.")
    return require("polars", "table").DataFrame(predicted)


def load_model(path: str, backend: str = "auto") -> tuple[Network, Recipe | None]:
    """Return the network of a model file, and its recipe for tables or None."""
    network = load(path, backend)
    recipe = find_recipe(path, network)
    # Older networks for classes end in the identity, newer ones in the softmax.
    if recipe is not None and isinstance(network.activations[-1], Identity):
        network.activations = (*network.activations[:-1], ACTIVATIONS[recipe.target.activation]())
    return network, recipe


def run_network(network: Network, encoded: EncodedTable) -> np.ndarray:
    """Return the mean outputs of networks for the rows of a table on the host, float64 of shape (rows, outputs)."""
    members = network.population or 1
    outputs: list[Any] = []
    for span in spans(encoded.height, members * max(network.sizes), CHUNK_SIZE):
        given = network.backend.to_numpy(network.predict(encoded.inputs(span))).astype(np.float64)
        outputs.append(given if network.population is None else given.mean(axis=0))
    return np.concatenate(outputs)


def dtype_of(network: Network) -> str:
    """Return the name of a network's dtype."""
    return dtype_name(network.backend.dtype)


def _choose_columns(recipe: Recipe, table: Table, ignored: Sequence[str], report: Callable[[str], None]) -> Any:
    """Return the columns of a table without the target, those that training left out, and an index."""
    inputs, known = ([column.name for column in columns] for columns in (recipe.columns, recipe.left_out))
    left_out = {*find_columns("--ignore", ignored, [*table.frame.columns, *known]), *known, recipe.target.name}
    if index := [name for name in find_index(table.path, table.frame) if name not in left_out and name not in inputs]:
        report(f"left out, as an index of the rows: {quoted(index)}.")
    left_out.update(index)
    return table.select([name for name in table.frame.columns if name not in left_out], inputs)


def _describe_missing(recipe: Recipe, frame: Any) -> Iterator[str]:
    numbers = [frame[column.name] for column in recipe.columns if isinstance(column, NumberColumn)]
    if missing := [
        f"{series.name!r} (in {count:,} of {frame.height:,} rows)" for series in numbers if (count := series.null_count())
    ]:
        yield f"missing values are replaced by the mean of training: {listed(missing)}."


def _describe_differences(recipe: Recipe, frame: Any, encoded: EncodedTable) -> Iterator[str]:
    """Say how the values of a table differ from those of the training table."""
    unseen = recipe.find_unseen(frame, encoded)
    for name, values in list(unseen.items())[:MAX_NAMES]:
        yield f"column {name!r} has categories that training did not have, encoded as none of the known ones: {quoted(values)}."
    if len(unseen) > MAX_NAMES:
        yield f"{len(unseen) - MAX_NAMES:,} more columns have categories that training did not have, encoded likewise."
    if changed := recipe.find_changed(frame):
        values = [
            f"{name!r} (such as {shortened(now)}; {'nothing' if then is None else shortened(then)} in training)"
            for name, (then, now) in changed.items()
        ]
        yield f"columns that were constant in training have other values, which does not affect predictions: {listed(values)}."
    if far := recipe.find_far(frame):
        values = [f"{name!r} (such as {now:g}; {low:g} to {high:g} in training)" for name, (now, low, high) in far.items()]
        yield f"numbers far outside the range of training, for which predictions may be far off: {listed(values)}."
