"""A picture of how the losses fell."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

from portable_bp.common.lookup import require
from portable_bp.storage import replace_file
from portable_bp.training import History

PICTURES = (".png", ".svg", ".pdf")
LOSSES = {"classification": "cross-entropy", "regression": "half the squared error, standardized"}


def draw_losses(history: History, title: str, task: str, path: str) -> None:
    """Save a picture of the losses of every epoch.

    Parameters
    ----------
    history : History
        Of at least one epoch.
    title : str
        What stands above it.
    task : {"classification", "regression"}
        Which loss it was.
    path : str
        A file that ends in .png, .svg or .pdf; it is replaced once the new one is whole.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If it cannot be written.
    """
    figure = require("matplotlib.figure", "plot").Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    _draw_curves(axes, history)
    axes.set_title(title, loc="left", parse_math=False)
    axes.set(xlabel="epoch", ylabel=LOSSES[task])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with io.BytesIO() as buffer, warnings.catch_warnings():
        # Of signs that the font does not have.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, dpi=150, format=os.path.splitext(path)[1][1:].lower())
        replace_file(path, buffer.getvalue())


def _draw_curves(axes: Any, history: History) -> None:
    epochs = range(1, len(history.loss) + 1)
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, history.loss, label="training, with dropout", marker=marker)
    axes.plot(epochs, history.validation_loss, label="validation", marker=marker)
    axes.set_xlim(0, len(epochs) + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if min(history.loss + history.validation_loss) > 0.0:
        axes.set_yscale("log", subs=[])
        axes.yaxis.set_major_locator(require("matplotlib.ticker", "plot").LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
    if history.best_epoch:
        best = history.validation_loss[history.best_epoch - 1]
        axes.plot([history.best_epoch], [best], "o", color="C1", label=f"kept: epoch {history.best_epoch}")
