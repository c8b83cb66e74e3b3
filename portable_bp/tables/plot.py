"""A plot of the training and validation losses."""

from __future__ import annotations

import io
import os
import warnings

from portable_bp.common.lookup import require
from portable_bp.storage import replace_file
from portable_bp.training import History, PopulationHistory, plot_history, plot_members

PLOT_EXTENSIONS = (".png", ".svg", ".pdf")
LOSS_LABELS = {"classification": "cross-entropy", "regression": "half the squared error, standardized"}


def plot_losses(history: History | PopulationHistory, title: str, task: str, path: str) -> None:
    """Plot the losses of every epoch as a .png, .svg or .pdf file, which is replaced only once the new one is complete."""
    figure = require("matplotlib.figure", "plot").Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    if isinstance(history, History):
        plot_history(history, axes, "training, with dropout")
    else:
        plot_members(history, axes, "training, with dropout")
    axes.set_title(title, loc="left", parse_math=False)
    axes.set_ylabel(LOSS_LABELS[task])
    with io.BytesIO() as buffer, warnings.catch_warnings():
        # The font may lack characters of the title.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, dpi=150, format=os.path.splitext(path)[1][1:].lower())
        replace_file(path, buffer.getvalue())
