"""A plot of the training and validation losses."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

from portable_bp.common.lookup import require
from portable_bp.storage import replace_file
from portable_bp.training import History

PLOT_EXTENSIONS = (".png", ".svg", ".pdf")
LOSS_LABELS = {"classification": "cross-entropy", "regression": "half the squared error, standardized"}


def plot_losses(history: History, title: str, task: str, path: str) -> None:
    """Plot the losses of every epoch as a .png, .svg or .pdf file, which is replaced only once the new one is complete."""
    figure = require("matplotlib.figure", "plot").Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    _plot_curves(axes, history)
    axes.set_title(title, loc="left", parse_math=False)
    axes.set(xlabel="epoch", ylabel=LOSS_LABELS[task])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with io.BytesIO() as buffer, warnings.catch_warnings():
        # The font may lack characters of the title.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, dpi=150, format=os.path.splitext(path)[1][1:].lower())
        replace_file(path, buffer.getvalue())


def _plot_curves(axes: Any, history: History) -> None:
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
