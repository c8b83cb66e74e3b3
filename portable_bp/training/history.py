"""What training leaves behind, and what a callback sees of it under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from portable_bp.algorithm.arrays import Layer


@dataclass
class History:
    """What training left behind.

    Attributes
    ----------
    loss : list of float
        The mean loss of each epoch's samples, each taken before the step that learned from it.
    validation_loss : list of float
        The loss on the validation data after each epoch; empty without such data.
    best_epoch : int or None
        The epoch after which the network had the weights that `EarlyStopping` left it with, 0 for those at the start; None
        without it.
    stop_reason : str or None
        Why training ended early; None where it did not.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    stop_reason: str | None = None

    @property
    def monitored(self) -> float:
        """The last validation loss where there is one, else the last loss."""
        return (self.validation_loss or self.loss)[-1]


@dataclass
class Training:
    """Training under way, as a callback sees it.

    Attributes
    ----------
    layers : sequence of Layer
        The parameters after the last finished epoch.
    layers_before_epoch : sequence of Layer
        The parameters before it.
    history : History
        The losses so far.
    state : object
        What the optimizer remembers; None before the first epoch.
    one_step : bool
        Whether an epoch is a single step: its training loss is then that of `layers_before_epoch`.
    """

    layers: Sequence[Layer]
    layers_before_epoch: Sequence[Layer] = ()
    history: History = field(default_factory=History)
    state: Any = None
    one_step: bool = False

    @property
    def epoch(self) -> int:
        """How many epochs are finished."""
        return len(self.history.loss)

    def stop(self, reason: str = "a callback stopped it") -> None:
        """End the training after this epoch.

        Parameters
        ----------
        reason : str
            Kept in the history.
        """
        self.history.stop_reason = str(reason)
