"""The callback protocol that scikit-learn has from 1.9 on: `set_callbacks`, with its ProgressBar, ScoringMonitor and others.

It is apart from the parameter ``callbacks``, whose functions are called with a `portable_bp.training.Training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.training import Training

try:
    from sklearn.callback import CallbackSupportMixin  # pyright: ignore[reportAssignmentType]
except ImportError:

    class CallbackSupportMixin:
        """Nothing: this scikit-learn is older than the protocol."""


class Hooks:
    """A training callback that calls the hooks of scikit-learn's callbacks: a task for the fit, and in it one for each epoch.

    Parameters
    ----------
    model : Perceptron
        It has callbacks, set by `set_callbacks` or by a meta-estimator.
    X, y, sample_weight
        As fit was given them, so that a scorer meets the labels and column names that it knows.
    epochs : int
        The most epochs, or iterations of lbfgs, that there may be.
    """

    def __init__(self, model: Any, X: Any, y: Any, sample_weight: Any, epochs: int) -> None:
        self.model, self.epochs = model, epochs
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.given = {"estimator": model, "X": X, "y": y, "metadata": metadata}
        self.fit_task = model._init_callback_context(max_subtasks=epochs)
        self.epoch_task: Any = None
        self.fit_task.call_on_fit_task_begin(**self.given)

    def begin_epoch(self, layers: Sequence[Layer]) -> None:
        """Begin the task of an epoch with the parameters before it."""
        self.epoch_task = self.fit_task.subcontext(task_name="iteration" if self.model.solver == "lbfgs" else "epoch")
        self.epoch_task.call_on_fit_task_begin(**self.given, reconstruction_attributes=lambda: self._fitted(layers))

    def __call__(self, training: Training) -> None:
        """End the task of an epoch, stop training if a callback says so, and else begin the next."""
        fitted = {"reconstruction_attributes": lambda: self._fitted(training.layers)}
        if self.epoch_task.call_on_fit_task_end(**self.given, **fitted):
            training.stop("a callback of set_callbacks stopped it")
        self.epoch_task = None
        if training.history.stop_reason is None and training.epoch < self.epochs:
            self.begin_epoch(training.layers)

    def end(self) -> None:
        """End the task of the fit, and before it that of an epoch that was begun and never made: lbfgs tells too late."""
        if self.epoch_task is not None:
            self.epoch_task.call_on_fit_task_end(estimator=self.model)
        self.fit_task.call_on_fit_task_end(**self.given, reconstruction_attributes={})

    def _fitted(self, layers: Sequence[Layer]) -> dict[str, Any]:
        """Return the attributes that the model would have if fit ended now."""
        model = self.model
        # What a callback keeps must not grow with the records of the epochs to come.
        records = {name: list(value) for name, value in vars(model).items() if name.endswith("_") and isinstance(value, list)}
        stops_early = model.early_stopping and model.solver != "lbfgs"
        return records | fitted_layers(model._best_layers if stops_early else layers)


def fitted_layers(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return a model's attributes for its layers, in scikit-learn's layout.

    Parameters
    ----------
    layers : sequence of Layer
        The parameters.
    """
    return {"coefs_": [layer.weight.mT for layer in layers], "intercepts_": [layer.bias for layer in layers]}
