"""The history of a population's training."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from portable_bp.training.history import History, check_ends, plot_into
from portable_bp.training.plot import plot_members


@dataclass(eq=False)
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
    active : array of bool, shape (members,)
        Which members are still trained.
    monitored : array, shape (members,)
        For each member, its last validation loss if there are validation data, else its last training loss.
    """

    members: int
    loss: list[np.ndarray] = field(default_factory=list)
    validation_loss: list[np.ndarray] = field(default_factory=list)
    epochs: np.ndarray = field(init=False)
    best_epoch: list[int | None] = field(init=False)
    stop_reason: list[str | None] = field(init=False)
    diverged: np.ndarray = field(init=False)
    active: np.ndarray = field(init=False)
    monitored: np.ndarray = field(init=False, repr=False)
    one_step: bool = field(default=False, init=False, repr=False)  # whether an epoch is a single step

    def __post_init__(self) -> None:
        self.epochs, self.diverged = np.zeros(self.members, int), np.zeros(self.members, bool)
        self.active, self.monitored = np.ones(self.members, bool), np.full(self.members, np.nan)
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
        return History(
            *losses,
            best_epoch=self.best_epoch[number],
            stop_reason=self.stop_reason[number],
            diverged=bool(self.diverged[number]),
        )

    def ranking(self, by: str = "validation_loss") -> list[int]:
        """Return the numbers of the members, the one with the lowest loss first; those that diverged are last.

        Parameters
        ----------
        by : {"validation_loss", "loss"}
            The loss of the weights that a member has: after the epoch that `EarlyStopping` kept, or else the last one. The
            training loss is measured before each step: if an epoch is a single step, that of the last weights is not known,
            and that of the weights before is compared.

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
        ends = [epoch if best is None else best for best, epoch in zip(self.best_epoch, self.epochs, strict=True)]
        # Of a single step, the loss of the weights after epoch e is measured in the next epoch, if there is one.
        later = int(self.one_step and by == "loss")
        places = [max(0, min(end + later, epoch) - 1) for end, epoch in zip(ends, self.epochs, strict=True)]
        losses = np.array([rows[place][member] for member, place in enumerate(places)])
        kept = np.where(np.isfinite(losses), losses, np.inf)
        return np.lexsort((kept, self.diverged)).tolist()

    @property
    def has_ended(self) -> bool:
        """Whether the training of every member ended before the last epoch."""
        return not self.active.any()

    def record(self, loss: np.ndarray, validation_loss: np.ndarray | None) -> None:
        """Add the losses of an epoch, of the members that are still trained."""
        self.loss.append(np.where(self.active, loss, np.nan))
        if validation_loss is not None:
            self.validation_loss.append(np.where(self.active, validation_loss, np.nan))
        self.monitored = np.where(self.active, loss if validation_loss is None else validation_loss, self.monitored)
        self.epochs = self.epochs + self.active

    def end(self, reason: str, members: Any = None) -> None:
        """Say why the training of some members ends, or of all that are still trained."""
        chosen = self.active if members is None else np.asarray(members)
        if chosen.dtype != bool or chosen.shape != (self.members,):
            raise ValueError(
                f"members to stop are {members!r}, and should be an array of {self.members} booleans, one for each member."
            )
        chosen = chosen & (self.epochs == len(self.loss))  # others have ended before, for another reason
        for member in np.flatnonzero(chosen):
            self.stop_reason[member] = reason
        self.active = self.active & ~chosen

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
        check_ends(facts["best_epoch"], facts["stop_reason"])
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
        history.one_step = self.one_step
        history.active = np.array([reason is None for reason in history.stop_reason])
        for row in history.validation_loss or history.loss:
            history.monitored = np.where(np.isnan(row), history.monitored, row)
        return history

    def chosen(self, members: Sequence[int]) -> PopulationHistory:
        """Return the history of some members."""
        history, places = PopulationHistory(len(members)), list(members)
        history.loss, history.validation_loss = ([row[places] for row in rows] for rows in (self.loss, self.validation_loss))
        for name in ("epochs", "diverged", "active", "monitored"):
            setattr(history, name, getattr(self, name)[places])
        history.best_epoch, history.stop_reason = [self.best_epoch[k] for k in places], [self.stop_reason[k] for k in places]
        history.one_step = self.one_step
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
        return plot_into(plot_members, self, ax)
