"""The history of a training, and the training in progress, as callbacks see it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Layer
from portable_bp.common.lookup import require
from portable_bp.training.plot import plot_history, plot_members


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

    diverged = False  # an error ends the training of a single network

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
        if members is None or np.all(members):
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
        _check_ends([facts["best_epoch"]], [facts["stop_reason"]])
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
        return _plot(plot_history, self, ax)


def _plot(draw: Callable[[Any, Any], None], history: Any, ax: Any) -> Any:
    """Draw a history into axes, or into those of a new figure."""
    if not history.loss:
        raise ValueError("this history has no finished epoch, so there is no loss to plot: train with epochs=1 or more.")
    require("matplotlib", "plot")
    if ax is None:
        ax = require("matplotlib.pyplot", "plot").subplots(figsize=(7.0, 4.0), layout="constrained")[1]
    draw(history, ax)
    return ax


def _check_ends(best_epochs: Any, stop_reasons: Any) -> None:
    """Raise a ValueError unless what an untrusted file says of the end of a training is of the right types."""
    for name, given, kind in (("best_epoch", best_epochs, int), ("stop_reason", stop_reasons, str)):
        if not isinstance(given, list) or not all(each is None or type(each) is kind for each in given):
            raise ValueError(f"its {name} is {str(given)[:40]!r}")


@dataclass
class PopulationHistory:
    """The losses of the members of a population, and how the training of each ended.

    ``history[k]`` is the `History` of member k, and ``len(history)`` the number of members.

    Attributes
    ----------
    members : int
        The number of members.
    loss : list of array, each of shape (members,)
        For each epoch, the mean loss of every member, as in `History`; NaN for members whose training had ended.
    validation_loss : list of array, each of shape (members,)
        The loss of every member on the validation data after each epoch; empty without such data.
    epochs : array of int, shape (members,)
        How many epochs each member finished.
    best_epoch : list of int or None
        For each member, the epoch whose weights `EarlyStopping` kept.
    stop_reason : list of str or None
        For each member, why its training ended before the last epoch; None if it did not.
    diverged : array of bool, shape (members,)
        Whether the loss or a weight of a member became infinite or NaN: it then has its last finite weights.
    """

    members: int
    loss: list[np.ndarray] = field(default_factory=list)
    validation_loss: list[np.ndarray] = field(default_factory=list)
    epochs: np.ndarray = field(init=False)
    best_epoch: list[int | None] = field(init=False)
    stop_reason: list[str | None] = field(init=False)
    diverged: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.epochs, self.diverged = np.zeros(self.members, int), np.zeros(self.members, bool)
        self.best_epoch, self.stop_reason = [None] * self.members, [None] * self.members

    def __len__(self) -> int:
        """Return the number of members."""
        return self.members

    def __getitem__(self, member: int) -> History:
        """Return the history of a member."""
        try:
            number = range(self.members)[operator.index(member)]
        except IndexError:
            raise IndexError(f"member {member} does not exist: the population has members 0 to {self.members - 1}.") from None
        losses = ([float(row[number]) for row in rows[: self.epochs[number]]] for rows in (self.loss, self.validation_loss))
        return History(*losses, best_epoch=self.best_epoch[number], stop_reason=self.stop_reason[number])

    @property
    def active(self) -> np.ndarray:
        """Which members are still trained, as booleans of shape (members,)."""
        return np.array([reason is None for reason in self.stop_reason])

    def ranking(self, by: str = "validation_loss") -> list[int]:
        """Return the numbers of the members, the one with the lowest loss first; those that diverged are last.

        Parameters
        ----------
        by : {"validation_loss", "loss"}
            The loss of the weights that a member has: after the epoch that `EarlyStopping` kept, or else the last one.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            If there are no validation data, or no finished epoch.
        """
        if by not in ("validation_loss", "loss"):
            raise ValueError(f"by is {by!r}, and should be 'validation_loss' or 'loss'.")
        rows = getattr(self, by)
        if not self.loss:
            raise ValueError("this history has no finished epoch, so there is no loss to compare: train with epochs=1 or more.")
        if not rows:
            raise ValueError("there were no validation data: give fit validation_data, or use by='loss'.")
        losses = [
            rows[max(best or epoch, 1) - 1][k] for k, (best, epoch) in enumerate(zip(self.best_epoch, self.epochs, strict=True))
        ]
        kept = np.where(np.isfinite(losses), losses, np.inf)
        return np.lexsort((kept, self.diverged)).tolist()

    @property
    def has_ended(self) -> bool:
        """Whether the training of every member ended before the last epoch."""
        return None not in self.stop_reason

    @property
    def monitored(self) -> np.ndarray:
        """For each member, its last validation loss if there are validation data, else its last training loss."""
        rows = self.validation_loss or self.loss
        return np.array([rows[max(epoch, 1) - 1][member] for member, epoch in enumerate(self.epochs)])

    def record(self, loss: np.ndarray, validation_loss: np.ndarray | None) -> None:
        """Add the losses of an epoch, of the members that are still trained."""
        active = self.active
        self.loss.append(np.where(active, loss, np.nan))
        if validation_loss is not None:
            self.validation_loss.append(np.where(active, validation_loss, np.nan))
        self.epochs += active

    def end(self, reason: str, members: Any = None) -> None:
        """Say why the training of some members ends, or of all that are still trained."""
        chosen = self.active if members is None else np.asarray(members)
        if chosen.dtype != bool or chosen.shape != (self.members,):
            raise ValueError(
                f"members to stop are {members!r}, and should be an array of {self.members} booleans, one for each member."
            )
        for member in np.flatnonzero(chosen):
            self.stop_reason[member] = reason

    def keep_best(self, epochs: np.ndarray, members: np.ndarray) -> None:
        """Say of which epoch the weights of some members are."""
        for member in np.flatnonzero(members):
            self.best_epoch[member] = int(epochs[member])

    def stored(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what a checkpoint stores: arrays, and facts in JSON."""
        shape = -1, self.members
        arrays = {name: np.asarray(getattr(self, name), "float64").reshape(shape) for name in ("loss", "validation_loss")}
        arrays |= {"epochs": self.epochs, "diverged": self.diverged.astype(np.uint8)}
        return arrays, {"best_epoch": self.best_epoch, "stop_reason": self.stop_reason}

    def restored(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> PopulationHistory:
        """Return the history that was stored; raise a ValueError if it is not valid."""
        _check_ends(facts["best_epoch"], facts["stop_reason"])
        history = PopulationHistory(self.members, list(arrays["loss"].copy()), list(arrays["validation_loss"].copy()))
        history.epochs, history.diverged = arrays["epochs"].astype(int), arrays["diverged"] != 0
        history.best_epoch, history.stop_reason = facts["best_epoch"], facts["stop_reason"]
        rows = [
            *history.loss,
            *history.validation_loss,
            history.epochs,
            history.diverged,
            facts["best_epoch"],
            facts["stop_reason"],
        ]
        if (
            any(len(row) != self.members for row in rows)
            or history.epochs.min() < 0
            or history.epochs.max() > len(history.loss)
        ):
            raise ValueError("its history is not of this population")
        return history

    def plot(self, ax: Any = None) -> Any:
        """Plot the losses of every epoch with matplotlib: of each member or, if there are many, their spread.

        More than 12 members are drawn as the median and as bands that hold half of them and nine in ten. A dashed line is the
        member with the lowest last loss, on validation data if there are any. The axis of losses is as in `History.plot`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw into. The default is a new figure of ``matplotlib.pyplot``.

        Returns
        -------
        matplotlib.axes.Axes
            The axes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no epoch is finished.
        """
        return _plot(plot_members, self, ax)


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
        self.history.end(str(reason), members)
