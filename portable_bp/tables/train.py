"""Train networks on a table, and write a model file and a plot of their losses."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from portable_bp.common.lookup import require
from portable_bp.network import Network
from portable_bp.tables.files import check_output
from portable_bp.tables.options import TrainingOptions
from portable_bp.tables.plot import PLOT_EXTENSIONS, plot_losses
from portable_bp.tables.predict import dtype_of, run_network
from portable_bp.tables.prepare import PreparedTable, prepare_table
from portable_bp.tables.recipe_json import NOTE, write_recipe
from portable_bp.training import DivergenceError, EarlyStopping, History, PopulationHistory

PATIENCE = 30
# These pass on about half of their input, which larger initial weights make up for.
HALVING_ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus")
# Dropout keeps a network from memorizing rows; regression tolerates less of this noise than classification.
DROPOUT = {"classification": 0.2, "regression": 0.1}


class TrainingResult(NamedTuple):
    """How training ended."""

    score: str  # a line with the score on the held-out rows, or that it was interrupted
    interrupted: bool


def train_table(options: TrainingOptions, report: Callable[[str], None]) -> TrainingResult:
    """Train networks on a table, whose mean predicts, and write the model and a plot of the losses.

    Ctrl-C ends training; the weights of the last finished epoch are then written.

    Parameters
    ----------
    options : TrainingOptions
        The table and the target, the networks and how to train them, and where to write the model.
    report : callable
        Called with each line about what is done and why.

    Raises
    ------
    ValueError
        If a network cannot learn from the table, or an option is not valid; nothing is written then.
    ImportError
        If an optional package is not installed.
    OSError
        If a file cannot be read or written.
    DivergenceError
        If the loss of every network is no longer finite; nothing is written then.
    KeyboardInterrupt
        If it is interrupted before the first epoch is finished; nothing is written then.
    """
    _check(options)
    prepared = prepare_table(options, report)
    network = _build_network(options, prepared, report)
    interrupted = _fit(options, prepared, network)
    if network.history is None or not network.history.loss:
        raise KeyboardInterrupt  # before the first epoch was finished
    chosen = _without_diverged(network, report)
    report(_describe_end(chosen.history, interrupted))
    chosen.save(options.model)
    try:
        return TrainingResult(_finish(options, prepared, network, chosen, report), interrupted)
    except KeyboardInterrupt:
        return TrainingResult(f"Interrupted before the score was known; the model is written: {options.model}.", True)


def _finish(
    options: TrainingOptions, prepared: PreparedTable, network: Network, chosen: Network, report: Callable[[str], None]
) -> str:
    """Plot the losses, add the errors on the held-out rows to the model, and return its score."""
    outputs = run_network(chosen, prepared.recipe.encode(prepared.held_out, dtype_of(network)))
    true = prepared.held_out[options.target]
    target = prepared.recipe.target.calibrated(outputs, true)
    chosen.notes[NOTE] = write_recipe(replace(prepared.recipe, target=target))
    chosen.save(options.model)
    title = f"{os.path.basename(options.table)}: learning {options.target} ({_describe_sizes(network)})"
    plot_losses(network.history, title, target.task, options.picture)
    report(f"Written: {options.model}, and a plot of its losses, {options.picture}.")
    return target.score(outputs, true, prepared.training[options.target])


def _check(options: TrainingOptions) -> None:
    """Raise an error if a file cannot be written, or a package is not installed, before any work is done."""
    check_output(options.model, [".safetensors"], [options.table])
    check_output(options.picture, PLOT_EXTENSIONS, [options.table, options.model])
    for package in ("polars", "matplotlib.figure", "safetensors", *(("tqdm",) if options.progress else ())):
        require(package, "table")


def _build_network(options: TrainingOptions, prepared: PreparedTable, report: Callable[[str], None]) -> Network:
    network = Network(
        [prepared.recipe.inputs, *options.hidden, prepared.recipe.target.outputs],
        options.activation,
        prepared.recipe.target.activation,
        backend=options.backend,
        seed=options.seed,
        population=options.members if options.members > 1 else None,
        initializer="he_uniform" if options.activation in HALVING_ACTIVATIONS else "glorot_uniform",
    )
    network.notes[NOTE] = write_recipe(prepared.recipe)
    dropout = f"dropout {DROPOUT[prepared.recipe.target.task]}"
    name, end = ("Network", "") if options.members == 1 else ("Networks", "; their mean predicts")
    report(f"{name}: {_describe_sizes(network)}, {options.activation}, {dropout}, on {network.backend.name}{end}.")
    # Saved once as a trial: the disk may be full, or the recipe too long for a model file.
    trial = f"{os.path.realpath(options.model)}.trial"
    network.save(trial)
    os.remove(trial)
    return network


def _fit(options: TrainingOptions, prepared: PreparedTable, network: Network) -> bool:
    """Train a network or a population, and return whether the user interrupted it."""
    recipe = prepared.recipe
    training, validation = (
        (recipe.encode(rows, dtype_of(network)).all_inputs(), recipe.target.encode(rows[options.target]))
        for rows in (prepared.training, prepared.validation)
    )
    try:
        network.fit(
            *training,
            loss=recipe.target.loss,
            optimizer="adam",
            learning_rate=options.learning_rate,
            epochs=options.epochs,
            batch_size=options.batch_size or min(max(prepared.training.height // 100, 32), 256),
            validation_data=validation,
            callbacks=[EarlyStopping(patience=PATIENCE)],
            progress=options.progress,
            dropout=DROPOUT[recipe.target.task],
            shared_order=network.population is not None,  # a batch is then read and moved once for all members
        )
    except KeyboardInterrupt:
        return True
    except DivergenceError:
        if network.population is None:
            raise
        message = f"the losses of all {network.population} networks became infinite or NaN, and nothing is written"
        raise DivergenceError(f"{message}: give a smaller --learning-rate.") from None
    return False


def _describe_sizes(network: Network) -> str:
    sizes = "-".join(map(str, network.sizes))
    return sizes if network.population is None else f"{network.population} x {sizes}"


def _describe_end(history: History | PopulationHistory, interrupted: bool) -> str:
    first, epochs = (len(history.loss),) * 2 if isinstance(history, History) else (min(history.epochs), max(history.epochs))
    if interrupted:
        others = "" if first == epochs else "; networks that had stopped before have those of their last epoch"
        return f"Interrupted: the model has the weights of epoch {epochs}, the last one that was finished{others}."
    if isinstance(history, PopulationHistory):
        when = f"epoch {epochs}" if first == epochs else f"epochs {first} to {epochs}"
        count = history.stop_reason.count(None)
        whose = "" if count == len(history) else f" for {count} of {len(history)} networks"
        reason = f"the most that --epochs allows{whose}" if count else f"since no loss has improved for {PATIENCE} epochs"
        return f"Stopped after {when}, {reason}; each network has the weights of its best epoch."
    reason = f"since {history.stop_reason}" if history.stop_reason else "the most that --epochs allows"
    return f"Stopped after epoch {epochs}, {reason}; the model has the weights of epoch {history.best_epoch}, the best one."


def _without_diverged(network: Network, report: Callable[[str], None]) -> Network:
    """Return a population without the members that diverged; a single network is returned as it is."""
    if network.population is None or not network.history.diverged.any():
        return network
    kept = network.population - int(network.history.diverged.sum())
    count = f"{network.population - kept} of {network.population} networks"
    report(f"Left out, since their losses became infinite or NaN: {count}.")
    chosen = network.best(kept)
    chosen.notes = network.notes
    return chosen
