"""Train a network on the columns of a table, and leave a model file and a picture of its losses."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from portable_bp.common.lookup import require
from portable_bp.network import Network
from portable_bp.tables.files import check_output
from portable_bp.tables.notes import NOTE, write_recipe
from portable_bp.tables.picture import PICTURES, draw_losses
from portable_bp.tables.predictor import network_dtype, run_network
from portable_bp.tables.preparation import Prepared, prepare_table
from portable_bp.tables.settings import Settings
from portable_bp.training import EarlyStopping, History

PATIENCE = 30
# These let about half of what comes in through, which larger weights make up for.
HALVING = ("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus")
# Training with noise keeps a network from learning rows by heart; a sum bears less of it than a choice does.
DROPOUT = {"classification": 0.2, "regression": 0.1}


class Outcome(NamedTuple):
    """How a training ended.

    Attributes
    ----------
    score : str
        A line with the score on the rows held out; empty where no epoch was finished, and nothing was written.
    interrupted : bool
        Whether the user ended it before its time.
    """

    score: str
    interrupted: bool


def train_table(settings: Settings, say: Callable[[str], None]) -> Outcome:
    """Train a network on a table, and write it.

    An interruption (Ctrl-C) ends the training; the network as of the last finished epoch is written then.

    Parameters
    ----------
    settings : Settings
        What was chosen.
    say : callable
        Told, line by line, what is done and why.

    Raises
    ------
    ValueError
        If the table cannot be learned from, or something chosen is not possible; nothing is written then.
    ImportError
        If what an extra brings is not installed.
    OSError
        If a file cannot be read or written.
    DivergenceError
        If the loss becomes infinite; nothing is written then.
    """
    _check(settings)
    prepared = prepare_table(settings, say)
    network = _make(settings, prepared, say)
    interrupted = _fit(settings, prepared, network)
    if network.history is None or not network.history.loss:
        say("Interrupted before the first epoch was finished: nothing is written.")
        return Outcome("", interrupted)
    network.save(settings.model)
    say(_tell_end(network.history, interrupted))
    title = f"{os.path.basename(settings.table)}: learning {settings.target} ({'-'.join(map(str, network.sizes))})"
    draw_losses(network.history, title, prepared.recipe.target.task, settings.picture)
    say(f"Written: {settings.model}, and its losses as a picture, {settings.picture}.")
    return Outcome(_score(prepared, network), interrupted)


def _check(settings: Settings) -> None:
    """Raise unless all can be written, by name and folder, and what it takes is installed."""
    check_output(settings.model, [".safetensors"], [settings.table])
    check_output(settings.picture, PICTURES, [settings.table, settings.model])
    require("matplotlib.figure", "plot")
    if settings.progress:
        require("tqdm", "progress")


def _make(settings: Settings, prepared: Prepared, say: Callable[[str], None]) -> Network:
    network = Network(
        [prepared.recipe.inputs, *settings.hidden, prepared.recipe.target.outputs],
        settings.activation,
        "identity",
        backend=settings.backend,
        seed=settings.seed,
        initializer="he_uniform" if settings.activation in HALVING else "glorot_uniform",
    )
    network.notes[NOTE] = write_recipe(prepared.recipe)
    dropout = f"dropout {DROPOUT[prepared.recipe.target.task]}"
    say(f"Network: {'-'.join(map(str, network.sizes))}, {settings.activation}, {dropout}, on {network.backend.name}.")
    # Written once for trial: the disk may be full, or the recipe too long for a model file.
    trial = f"{os.path.realpath(settings.model)}.trial"
    network.save(trial)
    os.remove(trial)
    return network


def _fit(settings: Settings, prepared: Prepared, network: Network) -> bool:
    """Train, and return whether the user ended it."""
    recipe = prepared.recipe
    training, validation = (
        (recipe.encode(rows, network_dtype(network)).all(), recipe.target.prepare(rows[settings.target]))
        for rows in (prepared.training, prepared.validation)
    )
    batch_size = settings.batch_size or min(max(prepared.training.height // 100, 32), 256)
    try:
        network.fit(
            *training,
            loss=recipe.target.loss,
            optimizer="adam",
            learning_rate=settings.learning_rate,
            epochs=settings.epochs,
            batch_size=batch_size,
            validation_data=validation,
            callbacks=[EarlyStopping(patience=PATIENCE)],
            progress=settings.progress,
            dropout=DROPOUT[recipe.target.task],
        )
    except KeyboardInterrupt:
        return True
    return False


def _tell_end(history: History, interrupted: bool) -> str:
    epochs = len(history.loss)
    if interrupted:
        return f"Interrupted: the model is that of epoch {epochs}, the last that was finished."
    why = f", since {history.stop_reason}" if history.stop_reason else ", all that --epochs allows"
    return f"Ended after epoch {epochs}{why}; the model is that of epoch {history.best_epoch}, the best."


def _score(prepared: Prepared, network: Network) -> str:
    target = prepared.recipe.target
    outputs = run_network(network, prepared.recipe.encode(prepared.held_out, network_dtype(network)))
    return target.score(outputs, prepared.held_out[target.name], prepared.training[target.name])
