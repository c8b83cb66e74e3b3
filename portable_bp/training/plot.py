"""Plot the losses of a training with matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from portable_bp.common.lookup import require

if TYPE_CHECKING:
    from portable_bp.training.history import History

WIDE = 10.0  # positive losses that differ by more than this factor have a logarithmic axis


def plot_history(history: History, axes: Any, training_label: str = "training") -> None:
    """Draw the losses of every epoch into axes, with labels and a legend."""
    epochs = range(1, len(history.loss) + 1)
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, history.loss, label=training_label, marker=marker)
    if history.validation_loss:
        axes.plot(epochs, history.validation_loss, label="validation", marker=marker)
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch, color="0.4", linestyle=":", label=f"best epoch: {history.best_epoch}")
        if history.validation_loss and history.best_epoch:
            axes.plot([history.best_epoch], [history.validation_loss[history.best_epoch - 1]], "o", color="C1")
    axes.set_xlim(0, len(epochs) + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _scale_losses(axes, [loss for loss in history.loss + history.validation_loss if math.isfinite(loss)])
    axes.set(xlabel="epoch", ylabel="loss")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _scale_losses(axes: Any, losses: list[float]) -> None:
    """Make the axis of losses logarithmic if they are positive and differ by more than a factor of ten."""
    if not losses or min(losses) <= 0.0 or max(losses) <= WIDE * min(losses):
        return
    axes.set_yscale("log", subs=[])
    if max(losses) < 1e4 * min(losses):  # over more decades, ticks between the powers of ten would be too many
        axes.yaxis.set_major_locator(require("matplotlib.ticker", "plot").LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
