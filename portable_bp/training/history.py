"""The history of a training, and the training in progress, as callbacks see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.common.lookup import require
from portable_bp.training.plot import plot_history


@dataclass
class History:
    """The losses of a training, and how it ended.

    Attributes
    ----------
    loss : list of float
        The mean loss of each epoch's samples, measured on each batch before the step that learned from it.
    validation_loss : list of float
        The loss on the validation data after each epoch; empty without such data.
    best_epoch : int or None
        The epoch whose weights `EarlyStopping` kept, 0 for the initial weights; None without `EarlyStopping`.
    stop_reason : str or None
        Why training ended before the last epoch; None if it did not.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    stop_reason: str | None = None

    @property
    def monitored(self) -> float:
        """The last validation loss if there are validation data, else the last training loss."""
        return (self.validation_loss or self.loss)[-1]

    def plot(self, ax: Any = None) -> Any:
        """Plot the losses of every epoch with matplotlib.

        The axis of losses is logarithmic if they are positive and differ by more than a factor of ten. A dotted line marks
        ``best_epoch``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw into. The default is a new figure of ``matplotlib.pyplot``.

        Returns
        -------
        matplotlib.axes.Axes
            The axes, for a title of your own or to save the picture: ``ax.figure.savefig("losses.png")``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no epoch is finished.
        """
        if not self.loss:
            raise ValueError("this history has no finished epoch, so there is no loss to plot: train with epochs=1 or more.")
        require("matplotlib", "plot")
        if ax is None:
            ax = require("matplotlib.pyplot", "plot").subplots(figsize=(7.0, 4.0), layout="constrained")[1]
        plot_history(self, ax)
        return ax


@dataclass
class Training:
    """A training in progress, as callbacks receive it.

    A callback may assign other layers of the same shapes, or another state, with which training continues.

    Attributes
    ----------
    layers : sequence of Layer
        The parameters after the last finished epoch: arrays of the network's backend, not to be changed in place.
    layers_before_epoch : sequence of Layer
        The parameters before that epoch.
    history : History
        The losses so far.
    state : object
        The state of the optimizer; None before the first epoch.
    one_step : bool
        Whether an epoch is a single step: its training loss is then the loss of ``layers_before_epoch``.
    """

    layers: Sequence[Layer]
    layers_before_epoch: Sequence[Layer] = ()
    history: History = field(default_factory=History)
    state: Any = None
    one_step: bool = False

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(self.history.loss)

    def stop(self, reason: str = "a callback stopped it") -> None:
        """End the training after this epoch.

        Parameters
        ----------
        reason : str
            What ``History.stop_reason`` says.
        """
        self.history.stop_reason = str(reason)
