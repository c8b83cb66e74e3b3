"""PopulationSearchCV: a search over hyperparameters that trains all candidates and all folds of an architecture at once."""

from __future__ import annotations

import collections
import time
import traceback
import warnings
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _insert_error_scores, _score, _warn_or_raise_about_fit_failures
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils._array_api import device, get_namespace
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, _num_samples

from portable_bp.estimators.classifier import MLPClassifier
from portable_bp.estimators.ensemble import Ensemble
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.perceptron import Perceptron
from portable_bp.estimators.search_scores import Accuracy
from portable_bp.estimators.together import Job, Outcome, fit_together, why_alone

FIT_PARAMETERS = ("sample_weight", "X_val", "y_val")


class Steps(NamedTuple):
    """An estimator taken apart: the steps before the network, the network, and the prefix of its parameters."""

    before: Pipeline | None
    network: Perceptron
    prefix: str

    def candidate(self, parameters: dict[str, Any]) -> Perceptron:
        """Return a network with these parameters, or raise a ValueError if they are not only those of the network."""
        for name in parameters:
            if not name.startswith(self.prefix):
                raise ValueError(
                    f"{name!r} is to be searched over, but only parameters of the network, which begin with {self.prefix!r}, "
                    "can be: use GridSearchCV or RandomizedSearchCV for others."
                )
        network: Any = clone(self.network)
        chosen: Any = clone(parameters, safe=False)
        return network.set_params(**{name.removeprefix(self.prefix): value for name, value in chosen.items()})


class Part(NamedTuple):
    """Samples to score, their targets, and parameters of the scorer."""

    X: Any
    y: Any
    parameters: dict[str, Any]


class Fold(NamedTuple):
    """A split of the samples: what is fitted to, and what is scored."""

    before: Pipeline | None  # the fitted steps before the network
    given: FitArguments
    train: Part
    test: Part


class PopulationSearchCV(BaseSearchCV):
    """A grid or random search over MLPClassifier or MLPRegressor that fits all candidates and all folds at once.

    It replaces scikit-learn's GridSearchCV and RandomizedSearchCV, with the same attributes and, up to rounding, the same
    scores. Networks with the same layer sizes, activation, solver, batch size, ``max_iter`` and number of training samples are
    trained as one population. Their ``learning_rate_init``, ``alpha``, ``dropout``, ``momentum``, ``beta_1``, ``beta_2``,
    ``epsilon``, ``random_state``, ``tol`` and so on may differ. Other networks are trained in populations one after the other.
    What cannot be a member of a population, such as ``solver="lbfgs"``, is fitted alone, and a warning says so.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        The estimator of `portable_bp.estimators` to search over, or a pipeline whose last step is one. The other steps are
        fitted once for each fold, and only parameters of the last step, such as ``mlp__alpha``, can be searched over.
    param_distributions : dict or list of dict
        For each parameter, the values to try: a list, or with ``n_iter`` also a distribution of ``scipy.stats``. It takes the
        place of the ``param_grid`` of GridSearchCV too.
    n_iter : int or None, default=None
        How many candidates to draw, as in RandomizedSearchCV. None tries all combinations, as in GridSearchCV.
    scoring : str, callable, list, tuple or dict, default=None
        How to score, as in GridSearchCV. None means the estimator's ``score``.
    n_jobs : int or None, default=None
        Not used, since all fits run in one process: it is a parameter so that this class can replace the others.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all samples; with several scores, by which of them. A callable returns
        ``best_index_``, given ``cv_results_``.
    cv : int, splitter, iterable or None, default=None
        The folds, as in GridSearchCV.
    verbose : int, default=0
        Whether to print how many fits there are.
    random_state : int, numpy.random.RandomState or None, default=None
        Determines the candidates that are drawn.
    error_score : "raise" or float, default=nan
        The score of a fit that raises an error, or "raise" to raise it.
    return_train_score : bool, default=False
        Whether to score the training samples too.

    Attributes
    ----------
    cv_results_ : dict of array
        The results, with the keys of GridSearchCV. The fit time of a member is that of its population, divided by the number
        of members.
    best_estimator_ : MLPClassifier, MLPRegressor or Pipeline
        The best candidate, fitted to all samples, if ``refit``.
    best_params_ : dict
        Its parameters.
    best_score_ : float
        Its mean score over the folds.
    best_index_ : int
        Its index in ``cv_results_``.
    scorer_ : callable or dict
        The scorers.
    n_splits_ : int
        The number of folds.
    refit_time_ : float
        The seconds that fitting the best candidate took.
    multimetric_ : bool
        Whether there are several scores.
    classes_, n_features_in_, feature_names_in_
        Those of ``best_estimator_``.

    See Also
    --------
    MLPEnsembleClassifier, MLPEnsembleRegressor : Networks that differ in their random numbers alone.

    Notes
    -----
    Samples may be on a device if scikit-learn can split them there, which may need its ``array_api_dispatch``. Or they are on
    the host, and the estimator's parameter ``backend`` says where to train.

    The training samples of all folds are in memory at once, on the device of the networks. A large search is split into several
    populations, so that the weights and the outs of each take at most about 1 GiB. On the host, at least 32 candidates with the
    same integer ``random_state`` are a population of their own for each fold, since they read the same batches.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from portable_bp.estimators import MLPClassifier, PopulationSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((10,), tol=0.01, random_state=0)
    >>> search = PopulationSearchCV(model, {"learning_rate_init": [0.0001, 0.01], "alpha": [0.0001, 0.1]}, cv=3)
    >>> search.fit(X, y).best_params_["learning_rate_init"]
    0.01
    """

    _parameter_constraints: dict = {
        **BaseSearchCV._parameter_constraints,
        "param_distributions": [dict, list],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=None,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
    ):
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Fit and score all candidates on all folds, then fit the best candidate to all samples.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples.
        y : array or list, shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        **params
            ``sample_weight``, which is split as X is, and ``X_val`` and ``y_val`` for the estimator; ``groups`` for the
            splitter. In a pipeline, those of fit have the prefix of its last step, as in ``mlp__sample_weight``.

        Returns
        -------
        PopulationSearchCV
            The fitted search.

        Raises
        ------
        TypeError
            If the estimator is neither a network of `portable_bp.estimators` nor a pipeline that ends with one, or if it does
            not take a parameter.
        ValueError
            If a parameter does not exist or cannot be searched over, or if all fits fail.

        Warns
        -----
        UserWarning
            If some fits cannot be members of a population and run alone.
        ConvergenceWarning
            If some fits have not converged, once for all of them.
        """
        steps = self._take_apart(params)
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        cv: Any = self.cv
        splitter: Any = check_cv(cv, y, classifier=is_classifier(self.estimator))
        splits = list(splitter.split(X, y, **routed.splitter.split))
        candidates, self.n_splits_ = self._candidates(), len(splits)
        if self.verbose:
            print(
                f"Fitting {len(splits)} folds for each of {len(candidates)} candidates, totalling "
                f"{len(candidates) * len(splits)} fits"
            )
        folds = [self._fold(steps, X, y, train, test, routed) for train, test in splits]
        rows = self._evaluate(steps, candidates, folds, scorers)
        _warn_or_raise_about_fit_failures(rows, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(rows, self.error_score)
        self.multimetric_ = isinstance(rows[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(rows[0]["test_scores"])
            refit_metric = self.refit
        results = self._format_results(candidates, len(splits), rows)
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        if self.refit:
            began = time.perf_counter()
            best: Any = clone(self.estimator)
            chosen: Any = clone(self.best_params_, safe=False)
            best.set_params(**chosen)
            self.best_estimator_ = best.fit(X, y, **routed.estimator.fit)
            self.refit_time_ = time.perf_counter() - began
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        self.scorer_, self.cv_results_ = getattr(scorers, "_scorers", scorers), results
        return self

    def _take_apart(self, params: dict[str, Any]) -> Steps:
        """Return the steps of the estimator, after checking that it can be searched over and takes the parameters of fit."""
        given = self.estimator
        is_pipeline = isinstance(given, Pipeline)
        prefix, network = (f"{given.steps[-1][0]}__", given.steps[-1][1]) if is_pipeline else ("", given)
        if not isinstance(network, Perceptron) or isinstance(network, Ensemble):
            raise TypeError(
                f"the estimator {'ends with' if is_pipeline else 'is'} {type(network).__module__}.{type(network).__name__}, "
                "and should be MLPClassifier or MLPRegressor of portable_bp.estimators, which can be trained together: use "
                "GridSearchCV or RandomizedSearchCV for others."
            )
        if getattr(self, "_skl_callbacks", None):
            raise ValueError(
                "set_callbacks was called on this search, and its callbacks follow single fits, not populations: call "
                "set_callbacks() to remove them, or use GridSearchCV or RandomizedSearchCV."
            )
        allowed = [*(prefix + name for name in FIT_PARAMETERS), "groups"]
        for name in params:
            if name not in allowed:
                raise TypeError(f"fit got {name!r}, and takes {', '.join(allowed)} beside X and y.")
        return Steps(given[:-1] if is_pipeline and len(given) > 1 else None, network, prefix)

    def _candidates(self) -> list[dict[str, Any]]:
        """Return the parameters to try."""
        if self.n_iter is None:
            return list(ParameterGrid(self.param_distributions))
        return list(ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state))

    def _fold(self, steps: Steps, X: Any, y: Any, train: Any, test: Any, routed: Any) -> Fold:
        """Split the samples, and the parameters of fit and of the scorer, as scikit-learn does."""
        xp, _ = get_namespace(X)
        train, test = (xp.asarray(rows, device=device(X)) for rows in (train, test))
        X_train, y_train = _safe_split(self.estimator, X, y, train)
        X_test, y_test = _safe_split(self.estimator, X, y, test, train)
        given = _check_method_params(X, params=routed.estimator.fit, indices=train)
        given = {name.removeprefix(steps.prefix): value for name, value in given.items()}
        for_train, for_test = (_check_method_params(X, params=routed.scorer.score, indices=rows) for rows in (train, test))
        before: Any = None if steps.before is None else clone(steps.before)
        transformed = X_train if before is None else before.fit_transform(X_train, y_train)
        arguments = FitArguments(transformed, y_train, **given)
        return Fold(before, arguments, Part(X_train, y_train, for_train), Part(X_test, y_test, for_test))

    def _evaluate(self, steps: Steps, candidates: list[dict[str, Any]], folds: list[Fold], scorers: Any) -> list[Any]:
        """Fit and score every candidate on every fold, and return the rows that scikit-learn makes ``cv_results_`` of."""
        jobs = [Job(steps.candidate(parameters), fold.given) for parameters in candidates for fold in folds]
        if not jobs:
            raise ValueError("there is no fold, or no candidate, so nothing was fitted: check cv and param_distributions.")
        reasons = collections.Counter(reason for job in jobs if (reason := why_alone(job.model)) is not None)
        for reason, count in reasons.items():
            message = f"{count} of {len(jobs)} fits cannot be members of a population and run alone, because of {reason}."
            warnings.warn(message, stacklevel=4)  # the line that called fit
        if self.scoring is None and type(steps.network) is MLPClassifier:
            scorers = Accuracy()
        rows: list[Any] = [None] * len(jobs)
        messages = collections.Counter()
        for outcome in fit_together(jobs):
            model, fold = jobs[outcome.number].model, folds[outcome.number % len(folds)]
            fitted = model if fold.before is None else Pipeline([*fold.before.steps, (steps.prefix.removesuffix("__"), model)])
            rows[outcome.number] = self._row(outcome, fitted, fold, scorers)
            messages[outcome.warning] += 1
            vars(model).clear()  # its weights are no longer needed
        for message, count in messages.items():
            if message is not None:
                warnings.warn(f"{count} of {len(jobs)} fits: {message}", ConvergenceWarning, stacklevel=4)
        return rows

    def _row(self, outcome: Outcome, model: Any, fold: Fold, scorers: Any) -> dict[str, Any]:
        """Score a fitted candidate, or return the score of a failed one."""
        row = {"fit_error": None, "fit_time": outcome.seconds, "n_test_samples": _num_samples(fold.test.X)}
        parts = {"test_scores": fold.test} | ({"train_scores": fold.train} if self.return_train_score else {})
        if outcome.error is not None:
            if self.error_score == "raise":
                raise outcome.error
            row |= {"fit_error": "".join(traceback.format_exception(outcome.error)), "score_time": 0.0}
            names = getattr(scorers, "_scorers", None)
            return row | {key: self.error_score if names is None else dict.fromkeys(names, self.error_score) for key in parts}
        for key, (x, y, parameters) in parts.items():
            began = time.perf_counter()
            row[key] = _score(model, x, y, scorers, parameters, self.error_score)  # pyright: ignore[reportArgumentType]
            row.setdefault("score_time", time.perf_counter() - began)
        return row
