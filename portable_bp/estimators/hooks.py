"""The callback protocol of scikit-learn 1.9 and later: ``set_callbacks``, with its ProgressBar, ScoringMonitor and others.

It is separate from the parameter ``callbacks``, whose functions are called with a `portable_bp.training.Training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.estimators.parameters import FitArguments, Parameters, fitted_attributes
from portable_bp.training import Training


class Hooks:
    """A training callback that calls scikit-learn's callbacks: a task for the fit, and within it one for each epoch."""

    def __init__(self, model: Parameters, given: FitArguments) -> None:
        self.model: Any = model
        self.max_epochs = 1 if given.incremental else model.max_iter
        metadata = None if given.sample_weight is None else {"sample_weight": given.sample_weight}
        # X and y as the user gave them, so that a scorer finds the labels and column names that it knows.
        self.given = {"estimator": model, "X": given.X, "y": given.y, "metadata": metadata}
        self.fit_task = self.model._init_callback_context(max_subtasks=self.max_epochs)
        self.epoch_task: Any = None
        self.fit_task.call_on_fit_task_begin(**self.given)

    def begin_epoch(self, layers: Sequence[Layer]) -> None:
        """Begin the task of an epoch, or of an iteration of lbfgs, with the layers before it."""
        self.epoch_task = self.fit_task.subcontext(task_name="iteration" if self.model.solver == "lbfgs" else "epoch")
        self.epoch_task.call_on_fit_task_begin(**self.given, reconstruction_attributes=lambda: self._fitted(layers))

    def __call__(self, training: Training) -> None:
        """End the task of an epoch, and stop training if a callback asks for it, or else begin the next."""
        fitted = {"reconstruction_attributes": lambda: self._fitted(training.layers)}
        if self.epoch_task.call_on_fit_task_end(**self.given, **fitted):
            training.stop("a callback of set_callbacks stopped it")
        self.epoch_task = None
        if training.history.stop_reason is None and training.epoch < self.max_epochs:
            self.begin_epoch(training.layers)

    def end(self) -> None:
        """End the task of the fit, and first the task of an epoch that was begun but did not run."""
        if self.epoch_task is not None:  # as after the last iteration of lbfgs, which is not known to be the last
            self.epoch_task.call_on_fit_task_end(estimator=self.model)
        self.fit_task.call_on_fit_task_end(**self.given, reconstruction_attributes={})

    def _fitted(self, layers: Sequence[Layer]) -> dict[str, Any]:
        """Return the attributes that the model would have if fit ended now."""
        model = self.model
        # Copies, so that lists that a callback stores do not grow in later epochs.
        records = {name: list(value) for name, value in vars(model).items() if name.endswith("_") and isinstance(value, list)}
        return records | fitted_attributes(model._best_layers if model._stops_early else layers)
