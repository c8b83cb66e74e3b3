"""What may watch training and stop it: any function of a `Training`, called after every epoch.

A callback that has a method ``finish`` is given the training once more at its end, unless an error ended it. One that has
the methods ``state_dict`` and ``load_state_dict`` has what the first returns kept in checkpoints, and given to the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.fields import COUNT, NOT_NEGATIVE, validate_fields
from portable_bp.training.history import Training


@dataclass
class EarlyStopping:
    """Stop when the loss has not improved for a while, and bring back the weights of the lowest loss.

    The loss is that of the validation data where there are any, after each epoch. Without them it is the training loss, which
    is measured before each step: where one batch holds all samples, it is exactly that of the weights before the epoch; where
    there are several, it is an average over the epoch and stands for the weights after it. If the last epoch has the lowest
    loss, the last weights stay.

    Every training begins anew: what was the best in an earlier one, such as an earlier `partial_fit`, is forgotten.

    Parameters
    ----------
    patience : int
        How many epochs without an improvement end the training.
    min_delta : float
        By how much the loss must fall below that of the last improvement to count as another one. Falls that are smaller still
        give the weights that are brought back.
    """

    patience: int = 10
    min_delta: float = 0.0
    _best_loss: float = field(default=math.inf, init=False, repr=False)
    _best_layers: Sequence[Layer] = field(default=(), init=False, repr=False)
    _best_epoch: int = field(default=0, init=False, repr=False)
    _improved_loss: float = field(default=math.inf, init=False, repr=False)
    _improved_epoch: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        validate_fields(self, patience=COUNT, min_delta=NOT_NEGATIVE)

    def __call__(self, training: Training) -> None:
        """Remember the weights if they are the best so far, or stop if there was no improvement for too long."""
        if training.epoch == 1:
            self._best_loss = self._improved_loss = math.inf
            self._improved_epoch = 0
        loss = training.history.monitored
        if loss < self._best_loss:
            self._best_loss, self._best_epoch = loss, _measured_epoch(training)
            self._best_layers = training.layers if self._best_epoch == training.epoch else training.layers_before_epoch
        if loss < self._improved_loss - self.min_delta:
            self._improved_loss, self._improved_epoch = loss, training.epoch
        elif training.epoch - self._improved_epoch >= self.patience:
            what = "has not improved" if math.isfinite(self._best_loss) else "has not been a finite number"
            training.stop(f"the loss {what} for {self.patience} epochs")

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, for a checkpoint."""
        return {
            "best_loss": self._best_loss,
            "best_layers": [tuple(layer) for layer in self._best_layers],
            "best_epoch": self._best_epoch,
            "improved_loss": self._improved_loss,
            "improved_epoch": self._improved_epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what it remembered when a checkpoint was written.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.
        """
        self._best_layers = [Layer(*layer) for layer in state["best_layers"]]
        self._best_loss, self._best_epoch = float(state["best_loss"]), int(state["best_epoch"])
        self._improved_loss, self._improved_epoch = float(state["improved_loss"]), int(state["improved_epoch"])

    def finish(self, training: Training) -> None:
        """Bring back the best weights, unless the last epoch had the lowest loss."""
        if training.epoch == 0 or not math.isfinite(self._best_loss):
            return
        training.history.best_epoch = training.epoch
        if self._best_epoch < _measured_epoch(training):
            training.layers, training.history.best_epoch = self._best_layers, self._best_epoch


def _measured_epoch(training: Training) -> int:
    """Return the epoch after which the network had the weights that the last loss belongs to."""
    return training.epoch - (training.one_step and not training.history.validation_loss)


def check_callbacks(callbacks: Iterable[Callable[[Training], Any]]) -> tuple[Callable[[Training], Any], ...]:
    """Return callbacks as a tuple, or raise a TypeError if one is no function of a training."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}, and should be a list of functions of a training.")
    given = tuple(callbacks)
    for callback in given:
        if not callable(callback) or isinstance(callback, type):
            is_of_scikit_learn = hasattr(callback, "on_fit_task_begin")
            other = "; scikit-learn's callbacks go to an estimator's set_callbacks" if is_of_scikit_learn else ""
            raise TypeError(
                f"callbacks holds {callback!r}, and should hold functions of a training, such as EarlyStopping(){other}."
            )
    return given
