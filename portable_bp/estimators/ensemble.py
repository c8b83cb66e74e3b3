"""What MLPEnsembleClassifier and MLPEnsembleRegressor share: members trained at once, and the mean of their outputs."""

from __future__ import annotations

import collections
import copy
import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.checks import check_predict
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.perceptron import Perceptron
from portable_bp.estimators.problem import Validation
from portable_bp.estimators.together import Job, Outcome, fit_together


class Ensemble(Perceptron):
    """Several networks of the same sizes, trained on the same samples from different random numbers."""

    n_estimators: int
    estimators_: list[Any]

    _member_kind: Any  # the class of the members
    _parameter_constraints: dict = {"n_estimators": [Interval(Integral, 1, None, closed="left")]}

    def _calibrate(self, validations: Sequence[Validation | None]) -> None:
        """Learn from the validation data of the members how far the predictions may be off; classifiers do not."""

    def _fit(self, given: FitArguments) -> Any:
        if getattr(self, "_skl_callbacks", None):
            raise ValueError(
                f"set_callbacks was called on this {type(self).__name__}, and its callbacks follow a single fit, not several "
                f"at once: call set_callbacks() to remove them, or fit {self._member_kind.__name__}."
            )
        members = self._begin_members(given)
        outcomes = sorted(fit_together([Job(member, given) for member in members]), key=lambda outcome: outcome.number)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        for name in self._data_attributes:
            vars(self).pop(name, None)
            if hasattr(members[0], name):
                setattr(self, name, getattr(members[0], name))
        self.estimators_, self.n_iter_ = members, [member.n_iter_ for member in members]
        self._calibrate([outcome.validation for outcome in outcomes])
        for message in _messages(outcomes):
            warnings.warn(message, ConvergenceWarning, stacklevel=4)  # the line that called fit
        return self

    def _begin_members(self, given: FitArguments) -> list[Any]:
        """Return new members, or copies of the fitted ones if this call of fit continues their training."""
        parameters = self.get_params(deep=False)
        count = parameters.pop("n_estimators")
        random_state = check_random_state(parameters.pop("random_state"))
        if not (hasattr(self, "estimators_") and (self.warm_start or given.incremental)):
            # As scikit-learn's BaggingClassifier draws them.
            seeds = random_state.randint(np.iinfo(np.int32).max, size=count)
            return [self._member_kind(**parameters, random_state=int(seed)) for seed in seeds]
        if count != len(self.estimators_):
            raise ValueError(
                f"n_estimators is {count}, but the fitted ensemble has {len(self.estimators_)} members, whose training this "
                "call continues: set n_estimators back, or fit with warm_start=False."
            )
        return [_copied(member).set_params(**parameters) for member in self.estimators_]

    def _fitted_backend(self) -> Backend:
        return self.estimators_[0]._fitted_backend()

    def _member_values(self, X: Any, method: str) -> tuple[Backend, Array]:
        """Return the backend, and the probabilities or predictions on it, of shape (members, samples, outputs)."""
        check_is_fitted(self)
        samples = check_predict(self, X, method)
        values = [member._values(samples) for member in self.estimators_]
        return samples.backend, compiled(samples.backend, stack)(values)

    def _predict_values(self, X: Any, method: str) -> tuple[Backend, Array]:
        backend, values = self._member_values(X, method)
        return backend, compiled(backend, mean)(values)


def _copied(member: Any) -> Any:
    """Return a copy whose training can continue without a change of the member: its lists are other ones."""
    twin = copy.copy(member)
    vars(twin).update({name: list(value) for name, value in vars(twin).items() if isinstance(value, list)})
    return twin


def _messages(outcomes: Sequence[Outcome]) -> list[str]:
    """Return each warning of the members once, with the number of members that it is about."""
    counts = collections.Counter(outcome.warning for outcome in outcomes if outcome.warning is not None)
    return [f"{count} of {len(outcomes)} members: {warning}" for warning, count in counts.items()]


def stack(arrays: Sequence[Array]) -> Array:
    """Return arrays with a new leading axis."""
    return namespace(arrays[0]).stack(arrays, axis=0)


def mean(values: Array) -> Array:
    """Return the mean of the members."""
    return namespace(values).mean(values, axis=0)


def spread(values: Array) -> Array:
    """Return the standard deviation of the members."""
    return namespace(values).std(values, axis=0)
