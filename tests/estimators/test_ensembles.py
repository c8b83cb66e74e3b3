"""Ensembles: members trained at once equal estimators trained alone; means, spreads and calibrated intervals."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import portable_bp as bp
from portable_bp.estimators import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor, together
from portable_bp.estimators.devices import to_host
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.together import Job, fit_together
from tests.support.targets import ON_DEVICES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, SPECIES = load_iris(return_X_y=True)
WEIGHT = np.repeat([0.0, 1.0, 2.0], 50)  # the first batches of unshuffled samples weigh nothing
KINDS = {MLPEnsembleClassifier: MLPClassifier, MLPEnsembleRegressor: MLPRegressor}
BOTH = pytest.mark.parametrize("kind", KINDS)
SMALL = {"hidden_layer_sizes": (5,), "n_estimators": 3, "max_iter": 5, "random_state": 0}


def assert_same_fit(model, expected):
    assert set(vars(model)) == set(vars(expected))
    assert model.n_iter_ == expected.n_iter_ and model.t_ == expected.t_
    for mine, theirs in zip([*model.coefs_, *model.intercepts_], [*expected.coefs_, *expected.intercepts_], strict=True):
        np.testing.assert_allclose(to_host(mine), to_host(theirs), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-9)
    if expected.validation_scores_ is not None:
        np.testing.assert_allclose(model.validation_scores_, expected.validation_scores_, rtol=1e-9)
    mine, theirs = model._optimizer, expected._optimizer
    assert (mine.optimizer, mine.learning_rate) == (theirs.optimizer, theirs.learning_rate)
    assert int(mine.state.inner.count) == int(theirs.state.inner.count) and float(mine.state.rate) == float(theirs.state.rate)


# Estimators that are fitted together.

NUMBERS = {
    "numbers of adam": [
        {"learning_rate_init": 0.01, "alpha": 0.1},
        {"beta_1": 0.5, "beta_2": 0.9},
        {"alpha": 0.0, "epsilon": 0.1},
    ],
    "numbers of sgd": [{"solver": "sgd", "momentum": momentum, "power_t": momentum} for momentum in (0.0, 0.5, 1.0)],
    "schedules": [
        {"solver": "sgd", "learning_rate": name, "learning_rate_init": 0.1, "tol": 0.05, "n_iter_no_change": 1, "max_iter": 30}
        for name in ("constant", "invscaling", "adaptive")
    ],
    "ends": [{"tol": tol, "n_iter_no_change": 2, "max_iter": 30} for tol in (0.0, 0.01, 0.03, 1.0, np.float64(0.02))],
    "dropout": [{"dropout": rate, "hidden_layer_sizes": (5, 4)} for rate in (0.1, [0.2, 0.0], 0.5)],
    "orders": [{"shuffle": False, "batch_size": 40}, {"random_state": 5, "batch_size": 40}, {"batch_size": 40}],
    "early stopping": [{"early_stopping": True, "random_state": n, "n_iter_no_change": 2, "max_iter": 30} for n in range(3)],
    "one split": [{"early_stopping": True, "alpha": alpha, "dropout": rate} for alpha in (0.0, 1.0) for rate in (0.0, 0.2)],
    "architectures": [{"hidden_layer_sizes": sizes, "activation": name} for sizes in ((), 3) for name in ("relu", "tanh")],
    "not in a population": [{"solver": "lbfgs"}, {"callbacks": (bp.EarlyStopping(patience=2),)}, {}],
}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("name", NUMBERS)
def test_estimators_fitted_together_are_those_fitted_alone(kind, name, weight):
    models = [kind(**{"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0} | numbers) for numbers in NUMBERS[name]]
    given = FitArguments(X, SPECIES, weight)
    expected = [clone(model).fit(X, SPECIES, weight) for model in models]
    outcomes = list(fit_together([Job(model, given) for model in models]))
    assert sorted(outcome.number for outcome in outcomes) == list(range(len(models)))
    for outcome in outcomes:
        assert outcome.error is None and outcome.seconds > 0.0
        model, alone = models[outcome.number], expected[outcome.number]
        if model.solver == "lbfgs":
            np.testing.assert_array_equal(model.coefs_[0], alone.coefs_[0])
        else:
            assert_same_fit(model, alone)


def test_different_data_of_the_same_shape(monkeypatch):
    generator = np.random.default_rng(0)
    data = [generator.normal(size=(60, 4)) for _ in range(3)]
    for make in (np.asarray, scipy.sparse.csr_matrix):
        given = [FitArguments(make(x), generator.normal(size=60)) for x in data] * 2
        models = [MLPRegressor(hidden_layer_sizes=(5,), max_iter=4, random_state=number, batch_size=16) for number in range(6)]
        expected = [clone(model).fit(*arguments[:2]) for model, arguments in zip(models, given, strict=True)]
        for limit in (800, 2**25):  # populations of four members, or one of all
            monkeypatch.setattr(together, "MAX_NUMBERS", limit)
            assert all(outcome.error is None for outcome in fit_together(list(map(Job, models, given))))
            for model, alone in zip(models, expected, strict=True):
                assert_same_fit(model, alone)


def test_diverged_and_failing_members_leave_the_others_alone():
    rates = [0.01, 1e200, -1.0, 0.02]
    models = [MLPRegressor(hidden_layer_sizes=(3,), max_iter=4, random_state=0, learning_rate_init=rate) for rate in rates]
    outcomes = {each.number: each for each in fit_together([Job(model, FitArguments(X, SPECIES)) for model in models])}
    assert "non-finite" in str(outcomes[1].error) and "learning_rate_init" in str(outcomes[2].error)
    for number in (0, 3):
        assert outcomes[number].error is None
        assert_same_fit(models[number], clone(models[number]).fit(X, SPECIES))


# Ensembles.


@BOTH
def test_members_are_estimators_with_seeds_of_their_own(kind):
    parameters = {"alpha": 0.1, "solver": "sgd", "dropout": 0.1, "early_stopping": True}
    model = kind(**SMALL, **parameters).fit(X, SPECIES, WEIGHT)
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    for member, seed in zip(model.estimators_, seeds, strict=True):
        alone = KINDS[kind](hidden_layer_sizes=(5,), max_iter=5, random_state=int(seed), **parameters)
        assert member.get_params() == alone.get_params()
        assert_same_fit(member, alone.fit(X, SPECIES, WEIGHT))
    assert model.n_iter_ == [member.n_iter_ for member in model.estimators_] and model.n_features_in_ == 4
    assert set(kind().get_params()) == {*KINDS[kind]().get_params(), "n_estimators"}


@pytest.mark.parametrize("labels", ["multiclass", "binary", "multilabel", "single"])
def test_probabilities_are_the_mean_of_the_members(labels):
    y = {
        "multiclass": np.asarray(["a", "b", "c"])[SPECIES],
        "binary": SPECIES > 0,
        "multilabel": np.column_stack([SPECIES > 0, SPECIES > 1]).astype(int),
        "single": np.zeros(len(X)),
    }[labels]
    model = MLPEnsembleClassifier(**SMALL).fit(X, y)
    members = np.stack([member.predict_proba(X) for member in model.estimators_])
    probability, spread = model.predict_proba(X, return_std=True)
    np.testing.assert_allclose(probability, members.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(spread, members.std(axis=0), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(model.predict_proba(X), probability, rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(probability), rtol=1e-9)
    expected = probability > 0.5 if labels == "multilabel" else model.classes_[probability.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.score(X, y) == np.mean(np.all(np.reshape(model.predict(X) == y, (len(X), -1)), axis=1))


@pytest.mark.parametrize("y", [SPECIES, np.column_stack([SPECIES, -SPECIES])], ids=["one", "two"])
def test_predictions_are_the_mean_of_the_members(y):
    model = MLPEnsembleRegressor(**SMALL, early_stopping=True).fit(X, y)
    members = np.stack([member.predict(X) for member in model.estimators_])
    prediction, spread = model.predict(X, return_std=True)
    np.testing.assert_allclose(prediction, members.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(spread, members.std(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), prediction)
    lower, upper = model.predict_interval(X, coverage=0.8)
    assert lower.shape == upper.shape == prediction.shape
    np.testing.assert_allclose((lower + upper) / 2, prediction, rtol=1e-9, atol=1e-12)
    assert MLPEnsembleRegressor(**SMALL | {"n_estimators": 1}).fit(X, y).predict(X, return_std=True)[1].max() == 0.0


@pytest.mark.parametrize("held_out", ["early stopping", "X_val"])
def test_intervals_hold_noisy_targets_as_often_as_asked(held_out):
    generator = np.random.default_rng(0)

    def draw(samples):
        x = generator.uniform(-1.0, 1.0, (samples, 1))
        return x, np.sin(3.0 * x[:, 0]) + generator.normal(0.0, 0.3, samples)

    options = {"hidden_layer_sizes": (10,), "learning_rate_init": 0.02, "max_iter": 60, "random_state": 0}
    x, y = draw(600)
    if held_out == "X_val":
        x_val, y_val = draw(2000)
        model = MLPEnsembleRegressor(**options).fit(x, y, X_val=x_val, y_val=y_val)
        np.testing.assert_allclose(model.residuals_[:, 0], np.abs(model.predict(x_val) - y_val), rtol=1e-9)
    else:
        model = MLPEnsembleRegressor(early_stopping=True, **options).fit(x, y)
        assert model.residuals_.shape == (8 * 60, 1)
    x, y = draw(5000)
    for coverage in (0.5, 0.9, 0.97):
        lower, upper = model.predict_interval(x, coverage)
        assert abs(np.mean((lower <= y) & (y <= upper)) - coverage) < 0.04
    # The spread of the members is far too narrow for that: it does not know of the noise.
    prediction, spread = model.predict(x, return_std=True)
    assert np.mean(np.abs(prediction - y) < 1.645 * spread) < 0.5


def test_intervals_of_counts_and_of_weighted_samples():
    counts = np.random.default_rng(0).poisson(0.5, len(X))
    model = MLPEnsembleRegressor("poisson", **SMALL, early_stopping=True).fit(X, counts, WEIGHT)
    assert model.predict_interval(X, 0.9)[0].min() == 0.0
    assert len(model.residuals_) < 3 * 15  # those that weigh nothing do not count


def test_wrong_calls_of_predict_interval():
    model = MLPEnsembleRegressor(**SMALL).fit(X, SPECIES)
    with pytest.raises(ValueError, match="has seen no held-out samples.*early_stopping=True, or give fit X_val"):
        model.predict_interval(X)
    model.fit(X, SPECIES, X_val=X[::10], y_val=SPECIES[::10])
    with pytest.raises(ValueError, match="coverage is 0.99, which needs 99 held-out samples, and there were 15"):
        model.predict_interval(X, 0.99)
    for coverage in (0.0, 1.0, "most", None):
        with pytest.raises(ValueError, match="coverage is .*, and should be a number between 0 and 1"):
            model.predict_interval(X, coverage)


@ON_DEVICES
@BOTH
def test_ensembles_of_every_library(on_target, kind):
    backend = on_target.backend()
    x, y = backend.asarray(X), backend.asarray(SPECIES, "int32") if kind is MLPEnsembleClassifier else backend.asarray(SPECIES)
    options = SMALL | {"max_iter": 1, "n_estimators": 2, "early_stopping": True, "dropout": 0.2}
    model, expected = kind(**options).fit(x, y), kind(**options).fit(X.astype(backend.to_numpy(x).dtype), SPECIES)
    methods = [model.predict_proba if kind is MLPEnsembleClassifier else model.predict]
    others = [expected.predict_proba if kind is MLPEnsembleClassifier else expected.predict]
    for method, other in zip(methods, others, strict=True):
        for mine, theirs in zip(method(x, return_std=True), other(X.astype("float32"), return_std=True), strict=True):
            assert type(mine) is type(x) and mine.dtype == x.dtype
            np.testing.assert_allclose(to_host(mine), theirs, rtol=1e-3, atol=1e-4)
    assert isinstance(model.score(x, y), float)
    if kind is MLPEnsembleRegressor:
        lower, upper = model.predict_interval(x, 0.5)
        assert type(lower) is type(upper) is type(x)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(to_host(twin.predict(x)), to_host(model.predict(x)))


@BOTH
@pytest.mark.parametrize("method", ["warm start", "partial_fit"])
def test_training_that_continues(kind, method):
    model = kind(**SMALL, warm_start=method == "warm start")
    classes = {"classes": [0, 1, 2]} if kind is MLPEnsembleClassifier else {}
    alone = []
    for call in range(3):
        first = model.estimators_ if call else []
        weights = [member.coefs_[0].copy() for member in first]
        if method == "warm start":
            model.set_params(alpha=0.1 * call).fit(X, SPECIES)
        else:
            model.partial_fit(X, SPECIES, **classes)
        assert all(np.array_equal(member.coefs_[0], weight) for member, weight in zip(first, weights, strict=True))
        alone = alone or [KINDS[kind](**member.get_params()) for member in model.estimators_]
        for member, other in zip(model.estimators_, alone, strict=True):
            if method == "warm start":
                other.set_params(alpha=0.1 * call).fit(X, SPECIES)
            else:
                other.partial_fit(X, SPECIES, **classes)
            assert_same_fit(member, other)
    if method == "warm start":
        with pytest.raises(ValueError, match="n_estimators is 4, but the fitted ensemble has 3 members"):
            model.set_params(n_estimators=4).fit(X, SPECIES)


@BOTH
def test_a_fit_that_fails_changes_nothing(kind):
    model = kind(**SMALL).fit(X, SPECIES)
    before, expected = dict(vars(model)), model.predict(X)
    for options, arguments, message in (
        ({"n_estimators": 0}, (X, SPECIES), "'n_estimators' parameter"),
        ({"dropout": 1.5}, (X, SPECIES), "dropout"),
        ({"hidden_layer_sizes": (0,)}, (X, SPECIES), "hidden_layer_sizes must be > 0"),
        ({}, (X[:, :2], SPECIES[:-1]), "X has 150 samples|inconsistent"),
        ({}, (X, SPECIES, np.zeros(150)), "non-zero number|only zeros"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(model).set_params(**options).fit(*arguments)
        with pytest.raises(ValueError, match=message):
            model.set_params(**options).fit(*arguments)
        model.set_params(**{name: SMALL.get(name, 0.0) for name in options})
    assert vars(model) == before
    np.testing.assert_array_equal(model.predict(X), expected)


@BOTH
def test_callbacks(kind):
    seen = []
    model = kind(**SMALL, callbacks=[seen.append]).fit(X, SPECIES)
    assert len(seen) == 3 * 5 and len({id(training) for training in seen}) == 3
    without = kind(**SMALL).fit(X, SPECIES)
    np.testing.assert_allclose(model.predict(X), without.predict(X), rtol=1e-9)
    if hasattr(model, "set_callbacks"):
        pytest.importorskip("sklearn.callback")
        pytest.importorskip("rich")
        from sklearn.callback import ProgressBar

        with pytest.raises(ValueError, match="set_callbacks was called on this MLPEnsemble"):
            kind(**SMALL).set_callbacks(ProgressBar()).fit(X, SPECIES)


@BOTH
def test_warnings_come_once_and_point_to_the_line_that_called_fit(kind):
    for options, y, message in (
        ({}, SPECIES, "3 of 3 members: adam has not converged"),
        ({"batch_size": 151}, SPECIES, "every batch holds all"),
        ({}, SPECIES[:, None], "column-vector"),
    ):
        with pytest.warns(match=message) as caught:
            kind(**SMALL | options).fit(X, y)
        assert {each.filename for each in caught if message in str(each.message)} == {__file__}


def test_a_search_over_ensembles():
    search = GridSearchCV(MLPEnsembleClassifier(**SMALL), {"n_estimators": [1, 2]}, cv=2).fit(X, SPECIES)
    assert search.best_estimator_.score(X, SPECIES) == search.score(X, SPECIES)


def test_an_ensemble_is_not_read_as_one_network():
    with pytest.raises(TypeError, match="which has several networks: give one of its estimators_"):
        bp.Network.from_sklearn(MLPEnsembleRegressor(**SMALL).fit(X, SPECIES))


QUICK = {"n_estimators": 2, "max_iter": 60, "learning_rate_init": 0.05}


@parametrize_with_checks([MLPEnsembleClassifier((10,), **QUICK), MLPEnsembleRegressor(hidden_layer_sizes=(10,), **QUICK)])
@pytest.mark.filterwarnings("ignore:batch_size is:UserWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
