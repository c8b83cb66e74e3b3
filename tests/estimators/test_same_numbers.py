"""The same random_state reproduces scikit-learn's weights, losses, scores and predictions."""

import hypothesis
import numpy as np
import pytest
import sklearn.neural_network
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification, make_regression

from portable_bp.algorithm.activations import Tanh
from portable_bp.algorithm.arrays import Layer
from portable_bp.estimators import MLPClassifier, MLPRegressor
from portable_bp.estimators.objective import PenalizedLoss
from portable_bp.estimators.outputs import OUTPUTS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANDOM = np.random.default_rng(0)
IRIS, SPECIES = load_iris(return_X_y=True)
TARGETS = {
    "multiclass": (IRIS, SPECIES),
    "binary": (IRIS[:100] + RANDOM.normal(size=(100, 4)), np.asarray(["no", "yes"])[SPECIES[:100]]),
    "multilabel": make_multilabel_classification(120, 6, n_classes=4, random_state=0),
    "one output": make_regression(120, 5, noise=10.0, random_state=0),
    "counts": (IRIS / 10.0, RANDOM.poisson(IRIS[:, 0])),
}
TARGETS["one output"] = (TARGETS["one output"][0], TARGETS["one output"][1] / 100.0)
WEIGHTS = RANDOM.uniform(0.2, 2.0, 200)


def pair(target, **options):
    """Return our estimator and scikit-learn's."""
    if target in ("one output", "counts"):
        loss = "poisson" if target == "counts" else "squared_error"
        return MLPRegressor(loss, **options), sklearn.neural_network.MLPRegressor(loss, **options)
    return MLPClassifier(**options), sklearn.neural_network.MLPClassifier(**options)


def assert_alike(mine, theirs, X, rtol=1e-9):
    """Compare everything that fit sets: numbers relative to their size, unless they are tiny compared with the largest."""
    curves = ["loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"]
    for name in ["n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "loss_", *curves]:
        assert hasattr(mine, name) == hasattr(theirs, name), name
        if isinstance(getattr(theirs, name, None), list | float):
            np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=rtol, err_msg=name)
        else:
            assert getattr(mine, name, None) == getattr(theirs, name, None), name
    for ours, given in zip([*mine.coefs_, *mine.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        assert ours.shape == given.shape and ours.dtype == given.dtype
        np.testing.assert_allclose(ours, given, rtol=rtol, atol=1e-3 * rtol * np.max(np.abs(given)))
    if isinstance(mine, MLPClassifier):
        np.testing.assert_array_equal(mine.classes_, theirs.classes_)
        np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
        if len(theirs.classes_) == 1:  # scikit-learn's own returns two columns, neither of them the class's
            np.testing.assert_array_equal(mine.predict_proba(X), np.ones((len(X), 1)))
            return
        np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=rtol, atol=1e-3 * rtol)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(mine.predict_log_proba(X), theirs.predict_log_proba(X), rtol=rtol, atol=rtol)
    else:
        np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=rtol, atol=1e-3 * rtol)


@pytest.mark.parametrize("compiled", [False, True], ids=["called", "compiled"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_digits_over_a_whole_fit(activation, solver, compiled, monkeypatch):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", str(int(compiled)))
    X, y = load_digits(return_X_y=True)
    options = {"activation": activation, "solver": solver, "random_state": 0, "max_iter": 60}
    mine, theirs = pair("multiclass", **options)
    # 540 steps amplify rounding: scikit-learn's numbers change by 2e-9 if its tanh is off by one unit in the last place, as the
    # compiled one may be.
    assert_alike(mine.fit(X, y), theirs.fit(X, y), X, rtol=1e-8 if compiled and activation == "tanh" else 1e-9)
    assert mine.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True, "learning_rate_init": 0.01},
        {"early_stopping": True, "solver": "sgd", "validation_fraction": 0.2},
        {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.02, "power_t": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.02, "tol": 1e-2, "max_iter": 300},
        {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
        {"solver": "sgd", "momentum": 0.0},
        {"shuffle": False, "batch_size": 50},
        {"hidden_layer_sizes": (), "alpha": 0.0, "batch_size": 32},
        {"hidden_layer_sizes": (9, 5), "activation": "tanh", "alpha": 1.0, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2},
    ],
    ids=str,
)
def test_training_options(target, options, weighted):
    X, y = TARGETS[target]
    weight = WEIGHTS[: len(X)] if weighted else None
    mine, theirs = pair(target, **({"random_state": 3, "max_iter": 60} | options))
    assert_alike(mine.fit(X, y, weight), theirs.fit(X, y, weight), X)
    np.testing.assert_allclose(mine.score(X, y, weight), theirs.score(X, y, weight), rtol=1e-12)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    target=st.sampled_from(list(TARGETS)),
    sizes=st.lists(st.integers(1, 12), max_size=3),
    activation=st.sampled_from(["identity", "logistic", "tanh", "relu"]),
    solver=st.sampled_from(["adam", "sgd"]),
    batch_size=st.one_of(st.just("auto"), st.integers(1, 80)),
    alpha=st.sampled_from([0.0, 1e-4, 0.3]),
    early_stopping=st.booleans(),
    shuffle=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_sizes_batches_and_seeds(target, sizes, activation, solver, batch_size, alpha, early_stopping, shuffle, seed):
    X, y = TARGETS[target]
    options = {"solver": solver, "batch_size": batch_size, "alpha": alpha, "early_stopping": early_stopping}
    options |= {"hidden_layer_sizes": sizes, "activation": activation, "shuffle": shuffle, "random_state": seed}
    mine, theirs = pair(target, max_iter=5, learning_rate_init=1e-3, **options)
    assert_alike(mine.fit(X, y), theirs.fit(X, y), X)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"warm_start": True}], ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_one_random_state_for_several_fits(target, options):
    X, y = TARGETS[target]
    models = pair(target, max_iter=7, **options)
    for model in models:
        model.random_state = np.random.RandomState(5)
    for _ in range(3):
        assert_alike(*(model.fit(X, y) for model in models), X)


def test_a_warm_start_that_finds_no_better_weights_keeps_the_best():
    """scikit-learn does not: it goes on training the very arrays that it keeps as the best."""
    X, y = TARGETS["binary"]
    mine, theirs = pair("binary", max_iter=7, warm_start=True, early_stopping=True, random_state=5)
    mine.fit(X, y), theirs.fit(X, y)
    best, coefs = mine.best_validation_score_, mine.coefs_
    for model in (mine, theirs):
        model.set_params(learning_rate_init=1e-9).fit(X, y)
    assert mine.best_validation_score_ == theirs.best_validation_score_ == best
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for kept, ours in zip(coefs, mine.coefs_, strict=True):
        np.testing.assert_array_equal(kept, ours)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("target", TARGETS)
def test_partial_fits_in_a_row_and_after_a_fit(target, solver):
    X, y = TARGETS[target]
    classes = {}
    if target in ("multiclass", "binary", "multilabel"):
        classes = {"classes": np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)}
    options = {"solver": solver, "random_state": 1, "learning_rate_init": 0.01, "learning_rate": "invscaling"}
    mine, theirs = pair(target, max_iter=4, **options)
    for rows in (slice(0, 70), slice(40, 100), slice(0, 100)):
        for model in (mine, theirs):
            model.partial_fit(X[rows], y[rows], WEIGHTS[: len(y[rows])], **classes)
        assert_alike(mine, theirs, X)
    assert_alike(mine.fit(X, y), theirs.fit(X, y), X)
    assert_alike(mine.partial_fit(X, y), theirs.partial_fit(X, y), X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_lbfgs(target, weighted):
    X, y = TARGETS[target]
    weight = WEIGHTS[: len(X)] if weighted else None
    mine, theirs = pair(target, solver="lbfgs", random_state=0, max_iter=30, alpha=0.1, activation="tanh", hidden_layer_sizes=7)
    assert_alike(mine.fit(X, y, weight), theirs.fit(X, y, weight), X, rtol=1e-5)


def test_several_outputs_take_scikit_learns_steps_and_report_the_summed_loss():
    X, y = make_regression(100, 5, n_targets=3, random_state=0)
    mine, theirs = pair("one output", solver="sgd", learning_rate_init=1e-4, random_state=0, tol=0.0, max_iter=30, alpha=0.0)
    mine.fit(X, y), theirs.fit(X, y)
    for ours, given in zip(mine.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(ours, given, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mine.loss_curve_, 3.0 * np.asarray(theirs.loss_curve_), rtol=1e-9)
    tolerant = pair("one output", solver="adam", learning_rate_init=0.01, random_state=0, max_iter=500, tol=1.0)
    mine, theirs = (model.fit(X, y) for model in tolerant)
    assert mine.n_iter_ > theirs.n_iter_, "tol is compared with the sum"
    found, searched = pair("one output", solver="lbfgs", activation="tanh", random_state=0, max_iter=200, alpha=0.0)
    assert found.fit(X, y).score(X, y) >= searched.fit(X, y).score(X, y) - 1e-6


def test_parameters_that_change_between_partial_fits():
    """The optimizer and its schedule stay those of the first call; penalty, tolerance and batches follow the parameters."""
    X, y = TARGETS["one output"]
    models = pair("one output", solver="sgd", random_state=0, learning_rate_init=0.01)
    for changed in (
        {"learning_rate": "invscaling"},
        {"learning_rate_init": 0.1, "power_t": 0.9},
        {"alpha": 1.0, "batch_size": 50, "solver": "adam"},
        {"momentum": 0.1, "shuffle": False},
    ):
        assert_alike(*(model.partial_fit(X, y) for model in models), X)
        for model in models:
            model.set_params(**changed)
    models = pair("one output", solver="sgd", random_state=0, learning_rate="invscaling", learning_rate_init=0.01)
    for rate in (0.01, 0.1, 0.2):
        for model in models:
            model.set_params(learning_rate_init=rate).partial_fit(X, y)
    assert_alike(*models, X)


def test_a_single_class_and_its_scores():
    X, _ = TARGETS["binary"]
    models = pair("binary", early_stopping=True, random_state=0, max_iter=20)
    assert_alike(*(model.fit(X, np.full(len(X), 7)) for model in models), X)
    assert models[0].validation_scores_[-1] == 1.0


def test_predictions_have_the_wider_dtype():
    X, y = TARGETS["one output"]
    models = pair("one output", random_state=0, max_iter=3)
    for model in models:
        model.fit(X.astype("float32"), y)
    for given in (X, X.astype("float32"), (100 * X).astype(int), 1e39 * X):
        mine, theirs = (model.predict(given) for model in models)
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * np.max(np.abs(theirs)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", OUTPUTS)
def test_the_gradient_of_the_reported_loss_by_finite_differences(name, outputs, weighted):
    """Also for several outputs, where scikit-learn's gradient is not that of its reported loss (its issue 8349)."""
    generator = np.random.default_rng(outputs)
    inputs, weight = generator.normal(size=(20, 4)), generator.uniform(0.5, 2.0, 20) if weighted else None
    target = generator.integers(0, outputs, 20) if name == "softmax" else generator.integers(0, 2, (20, outputs)).astype(float)
    activations = Tanh(), OUTPUTS[name].activation
    layers = [Layer(generator.normal(size=size), generator.normal(size=size[0])) for size in ((5, 4), (outputs, 5))]
    objective = PenalizedLoss(OUTPUTS[name].loss, 0.3)
    _, gradient = objective(activations, layers, inputs, target, weight)
    for layer, slope in zip(layers, gradient, strict=True):
        for parameter, slopes in zip(layer, slope, strict=True):
            for index in np.ndindex(parameter.shape):
                moved = []
                for step in (1e-6, -2e-6):
                    parameter[index] += step
                    moved.append(objective(activations, layers, inputs, target, weight)[0])
                parameter[index] += 1e-6
                np.testing.assert_allclose((moved[0] - moved[1]) / 2e-6, slopes[index], rtol=1e-6, atol=1e-8)
