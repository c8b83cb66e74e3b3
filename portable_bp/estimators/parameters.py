"""The parameters that both estimators have, and the arguments of a call of fit."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.dropout import check_rates
from portable_bp.algorithm.fields import COUNT
from portable_bp.backends import Backend, backend_of
from portable_bp.estimators.problem import LbfgsSettings, StochasticSettings

try:
    from sklearn.callback import CallbackSupportMixin  # pyright: ignore[reportAssignmentType]
except ImportError:

    class CallbackSupportMixin:
        """Empty, since scikit-learn before 1.9 has no callback protocol."""


Settings = TypeVar("Settings", LbfgsSettings, StochasticSettings)


class FitArguments(NamedTuple):
    """The arguments of a call of fit, or of partial_fit if it is incremental."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    classes: Any = None
    incremental: bool = False


class Parameters(CallbackSupportMixin, BaseEstimator):
    """An estimator with scikit-learn's parameters of a multilayer perceptron, and its weights once it is fitted."""

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: Any
    max_fun: int
    backend: Any
    dropout: Any
    callbacks: Any

    coefs_: list[Array]
    intercepts_: list[Array]

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "backend": [str, None, HasMethods(["asarray", "to_numpy", "compile"])],
        "dropout": ["array-like", Interval(Real, 0, 1, closed="left")],  # check_rates checks a sequence
        "callbacks": ["array-like"],
    }

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return _parameter_names(cls)

    def _set_parameters(self, given: dict[str, Any]) -> None:
        for name in self._get_param_names():
            setattr(self, name, given[name])

    def _settings(self, kind: type[Settings]) -> Settings:
        """Return the parameters that a solver reads."""
        return kind(**{name: getattr(self, name) for name in kind._fields})

    @property
    def _stops_early(self) -> bool:
        return self.early_stopping and self.solver != "lbfgs"

    def _check_parameters(self, given: FitArguments) -> list[int]:
        """Return the sizes of the hidden layers, after checking that the parameters and arguments go together."""
        if given.incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: use fit, or set early_stopping=False.")
        if (given.X_val is None) != (given.y_val is None):
            raise ValueError("one of X_val and y_val is missing: give both, or neither.")
        hidden = self._check_hidden_sizes()
        if self.solver == "lbfgs" and any(check_rates(self.dropout, len(hidden))):
            raise ValueError(
                f"dropout is {self.dropout!r}, but lbfgs needs a loss that does not change at random: use adam or sgd."
            )
        if self.solver == "lbfgs" and given.X_val is not None:
            raise ValueError("X_val is given, but lbfgs does not score validation data: leave it out, or use adam or sgd.")
        return hidden

    def _check_hidden_sizes(self) -> list[int]:
        given = self.hidden_layer_sizes
        sizes: list[Any] = [given] if isinstance(given, Integral) else list(given)
        for size in sizes:
            whole = isinstance(size, Integral) and not isinstance(size, bool)
            if not whole or int(size) < 1:
                kind = ValueError if whole else TypeError
                raise kind(f"hidden_layer_sizes must be > 0, got {sizes}: give {COUNT.description} for each hidden layer.")
        return [int(size) for size in sizes]

    def _fitted_backend(self) -> Backend:
        """Return the backend that holds the fitted weights."""
        return backend_of(self.coefs_[0])

    def _layers(self) -> list[Layer]:
        """Return the fitted weights as layers."""
        return [Layer(coef.mT, intercept) for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)]


@functools.cache  # scikit-learn inspects the signature in every call, of which a search makes thousands
def _parameter_names(kind: type[Parameters]) -> list[str]:
    return super(Parameters, kind)._get_param_names()


def fitted_attributes(layers: Sequence[Layer]) -> dict[str, list[Array]]:
    """Return layers as the attributes of an estimator, in scikit-learn's layout."""
    return {"coefs_": [layer.weight.mT for layer in layers], "intercepts_": [layer.bias for layer in layers]}
