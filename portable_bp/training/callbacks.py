"""Callbacks: functions of a `Training` that are called after every epoch, to watch it, change it or stop it.

If a callback has a method ``finish``, it is called once at the end of the training, unless an error ended it. A checkpoint
stores what a callback's ``state_dict`` returns, and passes it to ``load_state_dict`` when the training resumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.fields import COUNT, NOT_NEGATIVE, validate_fields
from portable_bp.training.history import Training


@dataclass
class EarlyStopping:
    """Stop when the loss has not improved for a while, and restore the weights with the lowest loss.

    Prechelt (doi:10.1007/3-540-49430-8_3) compares such stopping criteria.

    If there are validation data, the loss is measured on them after each epoch. If not, it is the training loss, which is
    measured before each step: if one batch holds all samples, it is exactly the loss of the weights before the epoch; if there
    are several batches, it is an average over the epoch and stands for the weights after it. If the last epoch has the lowest
    loss, the last weights are kept.

    Each training starts afresh: the best loss of an earlier one, such as an earlier ``partial_fit``, is forgotten. The members
    of a population are stopped and restored one by one.

    Parameters
    ----------
    patience : int, default 10
        How many epochs without an improvement end the training, from 1 up.
    min_delta : float, default 0.0
        How far the loss must fall below that of the last improvement to count as another one, from 0 up. The weights with
        the lowest loss are restored even if it fell by less.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import portable_bp as bp
    >>> network = bp.Network([2, 4, 1], backend="numpy", seed=0)
    >>> stopping = bp.EarlyStopping(patience=3)
    >>> history = network.fit([[0.0, 1.0]], [1.0], epochs=1000, callbacks=[stopping])
    >>> history.stop_reason
    'the loss has not improved for 3 epochs'
    """

    patience: int = 10
    min_delta: float = 0.0
    # Arrays of shape (), or (members,) in a population.
    _best_loss: Any = field(default=math.inf, init=False, repr=False)
    _best_layers: Sequence[Layer] = field(default=(), init=False, repr=False)
    _best_epoch: Any = field(default=0, init=False, repr=False)
    _improved_loss: Any = field(default=math.inf, init=False, repr=False)
    _improved_epoch: Any = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        validate_fields(self, patience=COUNT, min_delta=NOT_NEGATIVE)

    def __call__(self, training: Training) -> None:
        """Remember the weights if they are the best so far; stop if there was no improvement for too long."""
        loss, trained = np.asarray(training.history.monitored), training.was_trained
        if training.epoch == 1:
            self._best_loss = self._improved_loss = np.full(loss.shape, math.inf)
            self._best_epoch = self._improved_epoch = np.zeros(loss.shape, int)
            self._best_layers = ()
        is_best = trained & (loss < self._best_loss)
        if is_best.any():
            epoch = training.epoch - _lag(training)
            layers = training.layers_before_epoch if _lag(training) else training.layers
            self._best_layers = training.merge(is_best, layers, self._best_layers or layers)
            self._best_loss, self._best_epoch = (
                np.where(is_best, loss, self._best_loss),
                np.where(is_best, epoch, self._best_epoch),
            )
        has_improved = trained & (loss < self._improved_loss - self.min_delta)
        self._improved_loss = np.where(has_improved, loss, self._improved_loss)
        self._improved_epoch = np.where(has_improved, training.epoch, self._improved_epoch)
        is_late = trained & (training.epoch - self._improved_epoch >= self.patience)
        for members, what in (
            (is_late & np.isfinite(self._best_loss), "has not improved"),
            (is_late & ~np.isfinite(self._best_loss), "has not been a finite number"),
        ):
            if members.any():
                training.stop(f"the loss {what} for {self.patience} epochs", members)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to store."""
        return {
            "best_loss": np.asarray(self._best_loss).tolist(),
            "best_layers": [tuple(layer) for layer in self._best_layers],
            "best_epoch": np.asarray(self._best_epoch).tolist(),
            "improved_loss": np.asarray(self._improved_loss).tolist(),
            "improved_epoch": np.asarray(self._improved_epoch).tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned when the checkpoint was written."""
        self._best_layers = [Layer(*layer) for layer in state["best_layers"]]
        self._best_loss, self._improved_loss = (np.array(state[name], float) for name in ("best_loss", "improved_loss"))
        self._best_epoch, self._improved_epoch = (np.array(state[name], int) for name in ("best_epoch", "improved_epoch"))

    def finish(self, training: Training) -> None:
        """Restore the best weights, unless the last epoch had the lowest loss."""
        if training.epoch == 0:
            return
        epochs = np.asarray(training.history.epochs)
        has_best = np.isfinite(self._best_loss) & ~np.asarray(training.history.diverged)
        is_restored = has_best & (self._best_epoch < epochs - _lag(training))
        if is_restored.any():
            training.layers = training.merge(is_restored, self._best_layers, training.layers)
        training.history.keep_best(np.where(is_restored, self._best_epoch, epochs), has_best)


def _lag(training: Training) -> int:
    """Return how many epochs ago the network had the weights whose loss was measured last."""
    return int(training.one_step and not training.history.validation_loss)


def finish(callbacks: Iterable[Callable[[Training], Any]], training: Training) -> None:
    """Call the method ``finish`` of those callbacks that have it."""
    for callback in callbacks:
        getattr(callback, "finish", lambda _: None)(training)


def check_callbacks(callbacks: Iterable[Callable[[Training], Any]]) -> tuple[Callable[[Training], Any], ...]:
    """Return callbacks as a tuple, or raise a TypeError if one of them cannot be called with a training."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}, and should be a list of functions of a training: put it into a list.")
    given = tuple(callbacks)
    for callback in given:
        if not callable(callback) or isinstance(callback, type):
            is_of_scikit_learn = hasattr(callback, "on_fit_task_begin")
            other = "; scikit-learn's callbacks go to an estimator's set_callbacks" if is_of_scikit_learn else ""
            raise TypeError(
                f"callbacks holds {callback!r}, and should hold functions of a training, such as EarlyStopping(){other}."
            )
    return given
