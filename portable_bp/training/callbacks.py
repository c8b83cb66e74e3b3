"""What may watch training and stop it: any function of a `Training`, called after every epoch.

A callback that has a method ``finish`` is given the training once more at its end, unless an error ended it. One that has
the methods ``state_dict`` and ``load_state_dict`` has what the first returns kept in checkpoints, and given to the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.settings import COUNT, NOT_NEGATIVE, settle
from portable_bp.training.history import Training


@dataclass
class EarlyStopping:
    """Stop when the loss has not improved for a while, and bring back the best weights.

    The loss is that of the validation data where there are any, after each epoch. Else it is that of the training data, which
    is taken on the way, so that the weights that go with it are those that the epoch began with.

    Parameters
    ----------
    patience : int
        How many epochs without an improvement end the training.
    min_delta : float
        By how much the loss must fall to count as improved.
    """

    patience: int = 10
    min_delta: float = 0.0
    _best_loss: float = field(default=math.inf, init=False, repr=False)
    _best_layers: Sequence[Layer] = field(default=(), init=False, repr=False)
    _best_epoch: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        settle(self, patience=COUNT, min_delta=NOT_NEGATIVE)

    def __call__(self, training: Training) -> None:
        """Remember the weights if they are the best so far, or stop if they have been worse for too long."""
        if training.epoch == 1:
            self._best_loss, self._best_layers, self._best_epoch = math.inf, training.began, 0
        loss = training.history.monitored
        measured_after = bool(training.history.validation_loss)
        if loss < self._best_loss - self.min_delta:
            self._best_layers = training.layers if measured_after else training.began
            self._best_loss, self._best_epoch = loss, training.epoch if measured_after else training.epoch - 1
        elif training.epoch - self._best_epoch >= self.patience + (not measured_after):
            training.stop(f"the loss has not improved for {self.patience} epochs")

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, for a checkpoint."""
        layers = [tuple(layer) for layer in self._best_layers]
        return {"best_loss": self._best_loss, "best_layers": layers, "best_epoch": self._best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what it remembered when a checkpoint was written.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.
        """
        self._best_layers = [Layer(*layer) for layer in state["best_layers"]]
        self._best_loss, self._best_epoch = float(state["best_loss"]), int(state["best_epoch"])

    def finish(self, training: Training) -> None:
        """Bring back the weights of the best epoch."""
        if math.isfinite(self._best_loss):
            training.layers = self._best_layers
            training.history.best_epoch = self._best_epoch
