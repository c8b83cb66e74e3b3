"""MLPEnsembleRegressor: several regressors trained at once, with the mean of their outputs, its spread and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.algorithm.fields import INSIDE, check_number
from portable_bp.backends import compiled
from portable_bp.common.intervals import errors_needed, rank_of_error
from portable_bp.estimators.devices import to_host
from portable_bp.estimators.ensemble import Ensemble, mean, spread, stack
from portable_bp.estimators.problem import Validation
from portable_bp.estimators.regressor import MLPRegressor, place_predictions


class MLPEnsembleRegressor(Ensemble, MLPRegressor):
    """Several multilayer perceptron regressors, trained at once, that predict the mean of their outputs.

    Member k is what `MLPRegressor` with its ``random_state`` would be: the members see the same samples, and differ in
    their initial weights and batches (Lakshminarayanan et al., arXiv:1612.01474). Their mean is usually more accurate than one
    network. There are two measures of how far it may be off:

    - ``predict(X, return_std=True)`` is the spread of the members. It is large where they disagree, as they do far from the
      samples that they were trained on. It says nothing about the noise of the targets.
    - `predict_interval` holds the targets of new samples, with their noise, as often as asked. It is as wide as the errors on
      held-out samples, and needs such samples.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        As in `MLPRegressor`.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, \
    tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon, \
    n_iter_no_change, max_fun, backend, dropout
        As in `MLPRegressor`, the same for all members. With ``early_stopping``, each member holds out samples of its own.
        With ``warm_start``, ``fit`` continues the training of the members.
    n_estimators : int, default=8
        The number of members.
    random_state : int, numpy.random.RandomState or None, default=None
        Determines the ``random_state`` of the members, drawn as scikit-learn's ensembles do.
    callbacks : sequence of callable, default=()
        As in `MLPRegressor`: called with the training of each member. Members with callbacks are trained one after the other,
        as they are with ``solver="lbfgs"``.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
        The fitted members.
    residuals_ : numpy.ndarray, shape (n_held_out, n_outputs), or None
        The absolute errors on held-out samples, from which `predict_interval` is computed; None without such samples.
    n_iter_ : list of int
        The number of epochs or iterations of each member.
    n_outputs_ : int
        The number of outputs.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : numpy.ndarray, shape (features,)
        The names of the features, if X is a data frame whose column names are all strings.

    See Also
    --------
    MLPRegressor : One network.
    MLPEnsembleClassifier : The same for classification.

    Notes
    -----
    Ctrl-C ends ``fit`` with a KeyboardInterrupt, and the ensemble stays as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from portable_bp.estimators import MLPEnsembleRegressor
    >>> generator = np.random.default_rng(0)
    >>> X = generator.uniform(-1.0, 1.0, (400, 1))
    >>> y = np.sin(3.0 * X[:, 0]) + generator.normal(0.0, 0.1, 400)
    >>> model = MLPEnsembleRegressor(early_stopping=True, learning_rate_init=0.01, tol=0.001, random_state=0).fit(X, y)
    >>> prediction, spread = model.predict(X, return_std=True)
    >>> lower, upper = model.predict_interval(X, coverage=0.9)
    >>> bool(0.8 < np.mean((lower <= y) & (y <= upper)) < 1.0)
    True
    """

    estimators_: list[MLPRegressor]
    residuals_: np.ndarray | None

    _member_kind = MLPRegressor
    _parameter_constraints: dict = {**MLPRegressor._parameter_constraints, **Ensemble._parameter_constraints}

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        n_estimators=8,
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
        self._set_parameters(locals())

    def predict(self, X, return_std=False):
        """Predict the targets of samples: the mean of the members' predictions.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples, as in `MLPRegressor.predict`.
        return_std : bool, default=False
            Whether to return the spread of the members too.

        Returns
        -------
        prediction : array, shape (n_samples,) or (n_samples, n_outputs)
            The predictions, where X is.
        std : array, of the shape of the predictions
            The standard deviation of the members' predictions, if ``return_std``. For a range that holds the targets, with
            their noise, use `predict_interval`.
        """
        if not return_std:
            return super().predict(X)
        backend, values = self._member_values(X, "predict")
        return tuple(place_predictions(compiled(backend, function)(values), X) for function in (mean, spread))

    def predict_interval(self, X, coverage=0.9):
        """Predict intervals that hold the targets of new samples with a given probability.

        The interval of each output is the prediction plus and minus a quantile of the absolute errors on held-out samples
        (split conformal prediction, doi:10.1080/01621459.2017.1307116). If the new samples come from the same distribution as
        the held-out ones, at least the given share of their targets is inside on average, whatever the noise is. The
        intervals are equally wide everywhere: where the noise varies, more targets are inside in some places than in others.

        The held-out samples are those of X_val; the errors are then those of the mean of the members. With
        ``early_stopping`` and no X_val, each member holds out samples of its own, and the errors are those of single
        members, which are usually larger than those of the mean: the intervals are then wide rather than narrow.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples, as in ``predict``.
        coverage : float, default=0.9
            The probability that the interval holds the target, between 0 and 1.

        Returns
        -------
        lower, upper : array, shape (n_samples,) or (n_samples, n_outputs)
            The limits, where X is. For the Poisson loss, no limit is negative.

        Raises
        ------
        ValueError
            If there were no held-out samples, or too few of them for this coverage.
        """
        coverage = check_number(coverage, "coverage", INSIDE)
        backend, prediction = self._predict_values(X, "predict_interval")
        if self.residuals_ is None:
            raise ValueError(
                "this ensemble has seen no held-out samples, whose errors say how wide an interval must be: fit with "
                "early_stopping=True, or give fit X_val and y_val."
            )
        samples = len(self.residuals_)
        rank = rank_of_error(samples, coverage)
        if rank > samples:
            raise ValueError(
                f"coverage is {coverage:g}, which needs {errors_needed(coverage)} held-out samples, and there "
                f"were {samples}: ask for less, or hold out more with validation_fraction or X_val."
            )
        width = backend.asarray(np.sort(self.residuals_, axis=0)[rank - 1])
        smallest = 0.0 if self.loss == "poisson" else -math.inf
        lower, upper = compiled(backend, _limits, smallest)(prediction, width)
        return place_predictions(lower, X), place_predictions(upper, X)

    def _calibrate(self, validations: Sequence[Validation | None]) -> None:
        # With X_val, all members have the same validation data.
        members, held_out = {}, {}
        for member, validation in zip(self.estimators_, validations, strict=True):
            if validation is not None:
                examples = validation.examples
                held_out[id(examples)] = examples
                members.setdefault(id(examples), []).append(member)
        residuals = []
        for key, (samples, target, (weight, _)) in held_out.items():
            backend = samples.backend
            values = compiled(backend, stack)([member._values(samples) for member in members[key]])
            errors = np.asarray(to_host(compiled(backend, _errors)(values, target)), np.float64)
            residuals.append(errors if weight is None else errors[to_host(weight) > 0.0])
        self.residuals_ = np.concatenate(residuals) if residuals else None


def _errors(values: Array, target: Array) -> Array:
    return namespace(target).abs(target - mean(values))


def _limits(smallest: float, prediction: Array, width: Array) -> tuple[Array, Array]:
    lower = prediction - width
    return (lower if smallest == -math.inf else namespace(lower).maximum(lower, smallest)), prediction + width
