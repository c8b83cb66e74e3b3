"""MLPRegressor: scikit-learn's, on the arrays that the user holds."""

from __future__ import annotations

from typing import Any

from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, backend_of
from portable_bp.checks import as_array, check_bounds, refuse_nonfinite
from portable_bp.estimators.perceptron import Perceptron
from portable_bp.estimators.places import is_host
from portable_bp.estimators.scores import r_squared


class MLPRegressor(RegressorMixin, Perceptron):
    """A multilayer perceptron that predicts numbers, with scikit-learn's conventions and numbers.

    The same ``random_state`` gives the same weights, batches, losses and predictions as scikit-learn 1.9, but for rounding. The
    data, the weights and the predictions stay where X is.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}
        Half the squared error, or half the Poisson deviance with the exponential as output activation; summed over outputs.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle
        As `MLPClassifier` takes them.
    random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction
        As `MLPClassifier` takes them; the score is R^2.
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun, backend, dropout, callbacks
        As `MLPClassifier` takes them.

    Attributes
    ----------
    coefs_, intercepts_, loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, n_iter_, t_, n_layers_
        As `MLPClassifier` has them.
    n_outputs_, out_activation_ : int, str
        The outputs, and "identity" or "exp".
    n_features_in_, feature_names_in_ : int, numpy.ndarray
        The features, and their names where X is a data frame.

    Notes
    -----
    With several outputs, scikit-learn reports the squared error averaged over outputs and follows the gradient of its sum (its
    issue 8349). Here the sum is reported too: sgd and adam take the same steps as in scikit-learn, the losses are those that
    the gradient belongs to, and lbfgs, which needs both to agree, finds a minimum. As ``tol`` is held against the sum, training
    may stop later.

    Examples
    --------
    >>> import numpy as np
    >>> from portable_bp.estimators import MLPRegressor
    >>> X = np.linspace(-1.0, 1.0, 50)[:, None]
    >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit(X, np.sin(3.0 * X[:, 0]))
    >>> model.score(X, np.sin(3.0 * X[:, 0])) > 0.999
    True
    """

    loss: str

    _predicts_numbers = True

    _parameter_constraints: dict = {
        **Perceptron._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        backend=None,
        dropout=0.0,
        callbacks=(),
    ):
        self._keep_parameters(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit to samples and their targets.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (samples, features)
            Real numbers, all finite.
        y : array or list, shape (samples,) or (samples, outputs)
            Real numbers, all finite; from 0 up for the poisson loss.
        sample_weight : array or list, shape (samples,), optional
            What each sample counts for, as `MLPClassifier.fit` takes it.
        X_val, y_val : optional
            As X and y: samples to score after every epoch. With ``early_stopping`` they take the place of the share that is
            held out.

        Returns
        -------
        MLPRegressor
            The model itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit, or no weights or no validation scores are finite in the end; the model is
            then as it was.

        Warns
        -----
        ConvergenceWarning
            If training ended with ``max_iter``, or diverged.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(lambda model: model.solver != "lbfgs")
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Go on for one epoch, the optimizer as it was left.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.

        Returns
        -------
        MLPRegressor
            The model itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit, or weights are not finite in the end; the model is then as it was.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Return the prediction for each sample.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (samples, features)
            Where the model is; host data go to the backend that was asked for, if one was.

        Returns
        -------
        array, shape (samples,) or (samples, outputs)
            Where X is.
        """
        backend, values = self._values(X, "predict")
        if values.shape[1] == 1:
            values = namespace(values).reshape(values, (-1,))
        return backend.to_numpy(values) if is_host(X) else values

    def score(self, X, y, sample_weight=None):
        """Return R^2, the share of the targets' variance that is explained, averaged over outputs.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.
        """
        predicted = self.predict(X)
        y, weight = self._check_to_score(predicted, y, sample_weight)
        if is_host(predicted):
            return float(r2_score(y, predicted, sample_weight=weight))
        backend = backend_of(self.coefs_[0])
        target = as_array(backend, y, "y")
        refuse_nonfinite(backend, target, "y")
        return r_squared(backend, _rows(predicted), _rows(target), weight)

    def _name_output(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _take_target(self, backend: Backend, y: Any) -> tuple[Array, int]:
        target = _rows(as_array(backend, y, "y"))
        if not is_host(y):
            refuse_nonfinite(backend, target, "y")
        if self.loss == "poisson":
            check_bounds(backend, target, (0.0, float("inf")), "numbers from 0 up")
        return target, target.shape[1]

    def _score(self, backend: Backend, values: Array, target: Array, sample_weight: Array | None) -> float:
        return r_squared(backend, values, target, sample_weight)


def _rows(array: Array) -> Array:
    return array[:, None] if array.ndim == 1 else array
