"""The history of a training, and the training in progress, as callbacks see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
    diverged : bool
        Whether this is a member of a population that diverged. An error ends the training of a single network that does.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    stop_reason: str | None = None
    diverged: bool = False

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.loss)

    @property
    def has_ended(self) -> bool:
        """Whether training ended before the last epoch."""
        return self.stop_reason is not None

    @property
    def monitored(self) -> float:
        """The last validation loss if there are validation data, else the last training loss."""
        return (self.validation_loss or self.loss)[-1]

    def record(self, loss: Any, validation_loss: Any) -> None:
        """Add the losses of an epoch."""
        self.loss.append(loss)
        if validation_loss is not None:
            self.validation_loss.append(validation_loss)

    def end(self, reason: str, members: Any = None) -> None:
        """Say why training ends."""
        if np.ndim(members):
            raise ValueError(f"members to stop are {members!r}, and a single network has none: leave them out.")
        if members is None or members:
            self.stop_reason = reason

    def keep_best(self, epochs: Any, members: Any) -> None:
        """Say of which epoch the weights are."""
        if members:
            self.best_epoch = int(epochs)

    def stored(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what a checkpoint stores: arrays, and facts in JSON."""
        arrays = {name: np.asarray(getattr(self, name), "float64") for name in ("loss", "validation_loss")}
        return arrays, {"best_epoch": self.best_epoch, "stop_reason": self.stop_reason}

    def restored(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> History:
        """Return the history that was stored; raise a ValueError if it is not valid."""
        check_ends([facts["best_epoch"]], [facts["stop_reason"]])
        losses = ([float(number) for number in arrays[name]] for name in ("loss", "validation_loss"))
        return History(*losses, best_epoch=facts["best_epoch"], stop_reason=facts["stop_reason"])

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
        return plot_into(plot_history, self, ax)


def plot_into(draw: Callable[[Any, Any], None], history: Any, ax: Any) -> Any:
    """Draw a history into axes, or into those of a new figure."""
    if not history.loss:
        raise ValueError("this history has no finished epoch, so there is no loss to plot: train with epochs=1 or more.")
    require("matplotlib", "plot")
    if ax is None:
        ax = require("matplotlib.pyplot", "plot").subplots(figsize=(7.0, 4.0), layout="constrained")[1]
    draw(history, ax)
    return ax


def check_ends(best_epochs: Any, stop_reasons: Any) -> None:
    """Raise a ValueError unless what an untrusted file says of the end of a training is of the right types."""
    for name, given, kind in (("best_epoch", best_epochs, int), ("stop_reason", stop_reasons, str)):
        if not isinstance(given, list) or not all(each is None or type(each) is kind for each in given):
            raise ValueError(f"its {name} is {str(given)[:40]!r}")


@dataclass
class Training:
    """A training in progress, as callbacks receive it.

    A callback may assign other layers of the same shapes, or another state, with which training continues. In a population,
    arrays have a leading axis of members.

    Attributes
    ----------
    layers : sequence of Layer
        The parameters after the last finished epoch: arrays of the network's backend, not to be changed in place.
    layers_before_epoch : sequence of Layer
        The parameters before that epoch.
    history : History or PopulationHistory
        The losses so far.
    state : object
        The state of the optimizer; None before the first epoch.
    one_step : bool
        Whether an epoch is a single step: its training loss is then the loss of ``layers_before_epoch``.
    merge : callable
        ``merge(members, new, old)`` returns the new layers of some members, given as booleans of shape (members,), and the old
        layers of the others. The boolean of a single network has shape ().
    """

    layers: Sequence[Layer]
    layers_before_epoch: Sequence[Layer] = ()
    history: Any = field(default_factory=History)
    state: Any = None
    one_step: bool = False
    merge: Callable[[Any, Any, Any], Any] = lambda members, new, old: new if members else old

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(self.history.loss)

    @property
    def was_trained(self) -> np.ndarray:
        """Whether the last finished epoch trained the network, or each member: booleans of shape () or (members,)."""
        return np.asarray(self.history.epochs) == self.epoch

    def stop(self, reason: str = "a callback stopped it", members: Any = None) -> None:
        """End the training after this epoch.

        Parameters
        ----------
        reason : str
            What ``History.stop_reason`` says.
        members : array of bool, shape (members,), optional
            Which members of a population to stop. The default is all of them.
        """
        if not isinstance(reason, str):
            raise TypeError(f"reason is {reason!r}, and should be text; the members to stop are given after it.")
        self.history.end(reason, members)
