"""Sample weights and class weights: of any scale, zero in some batches, and all zero."""

import copy
import math

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from portable_bp.estimators import MLPClassifier, MLPRegressor, samples
from tests.support.targets import ON_DEVICES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, SPECIES = load_iris(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(150)
X, Y = (IRIS[ORDER] - IRIS.mean(axis=0)) / IRIS.std(axis=0), SPECIES[ORDER]
WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, 150)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
THEIRS = {MLPClassifier: sklearn.neural_network.MLPClassifier, MLPRegressor: sklearn.neural_network.MLPRegressor}
OPTIONS = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 5, "learning_rate_init": 0.01}


def assert_alike(mine, theirs, rtol=1e-9):
    for ours, given in zip([*mine.coefs_, *mine.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(ours, given, rtol=rtol, atol=rtol * np.max(np.abs(given)))
    np.testing.assert_allclose(mine.loss_, theirs.loss_, rtol=rtol)


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1e-50, 1e-6, 1e37, 1e300], ids=str)
def test_scikit_learns_numbers_at_any_scale(kind, solver, alpha, scale):
    options = OPTIONS | {"solver": solver, "alpha": min(alpha, scale), "batch_size": 40}
    mine, theirs = (which(**options).fit(X, Y, scale * WEIGHT) for which in (kind, THEIRS[kind]))
    assert_alike(mine, theirs, 1e-4 if solver == "lbfgs" else 1e-9)


SCALES = {
    "tiny": 1e-50,
    "subnormal": 1e-310,
    "huge": 1e37,
    "whole numbers": 2**57,
    "the largest": 1e308,
}


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", SCALES)
def test_scale_does_not_matter_without_a_penalty(kind, solver, early_stopping, dtype, scale):
    weight = np.round(4.0 * WEIGHT)
    options = OPTIONS | {"solver": solver, "alpha": 0.0, "batch_size": 40, "early_stopping": early_stopping}
    scaled = (weight * SCALES[scale]).astype("int64") if scale == "whole numbers" else weight / 8.0 * SCALES[scale]
    expected = kind(**options).fit(X, Y, weight)
    close = 1e-3 if dtype == "float32" else 1e-5 if solver == "lbfgs" else 1e-9
    for given in (scaled, scaled.tolist()):
        assert_alike(kind(**options).fit(X.astype(dtype), Y, given), expected, close)


@ON_DEVICES
@BOTH
def test_weights_on_the_device_at_any_scale(on_target, kind):
    y = on_target.backend().asarray(Y, "int64")
    for dtype, given, scale in [
        ("float32", "float32", 2.0**122),
        ("float32", "float32", 2.0**-120),
        ("float32", "float64", 2.0**900),
        ("float32", "float64", 2.0**-900),
        ("float64", "float64", 2.0**1022),
        ("float64", "float32", 2.0**-120),
    ]:
        x, weight = (
            on_target.backend(dtype).asarray(X.astype(dtype)),
            on_target.backend(given).asarray((WEIGHT * scale).astype(given)),
        )
        model = kind(alpha=0.0, **OPTIONS).fit(x, y, weight)
        expected = kind(alpha=0.0, **OPTIONS).fit(X, Y, WEIGHT)
        found = on_target.backend(dtype).to_numpy(model.coefs_[0])
        np.testing.assert_allclose(found, expected.coefs_[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(model.score(x, y, weight), expected.score(X, Y, WEIGHT), rtol=1e-3)


@BOTH
def test_a_penalty_too_large_for_the_dtype_is_rejected(kind):
    model = kind(**OPTIONS).fit(X, Y)
    before = copy.deepcopy(vars(model))
    for dtype, scale, alpha in (("float32", 1e-50, 1e-4), ("float64", 1e-300, 1e-4), ("float64", 5e-324, 1e300)):
        model.set_params(alpha=alpha)
        with pytest.raises(ValueError, match=f"sum of the sample weights, which is too small for that in {dtype}: scale the"):
            model.fit(X.astype(dtype), Y, np.full(150, scale))
        np.testing.assert_equal(model.coefs_, before["coefs_"])
        assert math.isfinite(kind(**OPTIONS | {"alpha": 0.0}).fit(X.astype(dtype), Y, np.full(150, scale)).loss_)


@BOTH
@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("zeros", ["first", "middle", "last", "most"])
def test_batches_without_weight_are_ignored(kind, alpha, zeros):
    """The numbers are scikit-learn's for the other samples alone, as long as there is no momentum."""
    weight = WEIGHT.copy()
    weight[{"first": slice(0, 40), "middle": slice(40, 80), "last": slice(120, 150), "most": slice(0, 120)}[zeros]] = 0.0
    options = OPTIONS | {"solver": "sgd", "momentum": 0.0, "shuffle": False, "batch_size": 10, "alpha": alpha}
    some = weight > 0.0
    theirs = THEIRS[kind](**options).fit(X[some], Y[some], weight[some])
    mine = kind(**options).fit(X, Y, weight)
    assert_alike(mine, theirs)
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-9)


@ON_DEVICES
@BOTH
@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_batches_without_weight_on_every_backend(on_target, kind, options):
    weight = np.where(np.arange(150) % 3 == 0, WEIGHT, 0.0)
    backend, options = on_target.backend(), OPTIONS | {"batch_size": 2, "max_iter": 2} | options
    x, y = backend.asarray(X), backend.asarray(Y, "int64")
    mine, expected = kind(**options).fit(x, y, backend.asarray(weight)), kind(**options).fit(X, Y, weight)
    np.testing.assert_allclose(
        backend.to_numpy(mine.coefs_[0]), expected.coefs_[0], rtol=1e-3 if "lbfgs" in options.values() else 1e-8, atol=1e-6
    )
    if "lbfgs" not in options.values():
        np.testing.assert_allclose(mine.loss_curve_, expected.loss_curve_, rtol=1e-8)
        assert expected.loss_curve_[-1] < expected.loss_curve_[0]


@BOTH
def test_single_samples_without_weight_are_left_out_of_the_mean_loss(kind):
    weight = np.where(np.arange(150) % 3 == 0, WEIGHT, 0.0)
    options = {"hidden_layer_sizes": (6,), "random_state": 0, "batch_size": 1, "max_iter": 1, "alpha": 0.0}
    model = kind(learning_rate_init=1e-12, **options).fit(X, Y, weight)
    some = weight > 0.0
    if kind is MLPRegressor:
        expected = 0.5 * np.mean((model.predict(X[some]) - Y[some]) ** 2)
    else:
        expected = log_loss(Y[some], model.predict_proba(X[some]))
    np.testing.assert_allclose(model.loss_, expected, rtol=1e-6)


@BOTH
def test_weights_that_cancel_in_a_batch_give_no_gradient(kind):
    weight = WEIGHT.copy()
    weight[:40] = np.tile([1.0, -1.0], 20)
    options = OPTIONS | {"solver": "sgd", "momentum": 0.0, "shuffle": False, "batch_size": 40}
    mine = kind(**options).fit(X, Y, weight)
    assert_alike(mine, THEIRS[kind](**options).fit(X[40:], Y[40:], weight[40:]))


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_negative_weights_give_scikit_learns_numbers(kind, solver):
    weight = np.where(np.arange(150) % 10 == 0, -0.1, WEIGHT)
    options = OPTIONS | {"solver": solver, "alpha": 0.1, "max_iter": 3}
    mine, theirs = (which(**options).fit(X, Y, weight) for which in (kind, THEIRS[kind]))
    assert_alike(mine, theirs, 1e-4 if solver == "lbfgs" else 1e-9)


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_parts_without_weight_of_a_sparse_matrix(kind, solver, alpha, monkeypatch):
    """lbfgs processes some rows at a time; each part has its share of the penalty, whatever its samples weigh."""
    weight = WEIGHT.copy()
    weight[30:90] = 0.0
    options = OPTIONS | {"solver": solver, "alpha": alpha}
    expected = kind(**options).fit(X, Y, weight)
    monkeypatch.setattr(samples, "MAX_DENSE", 25 * X.shape[1])
    assert_alike(kind(**options).fit(scipy.sparse.csr_array(X), Y, weight), expected, 1e-4 if solver == "lbfgs" else 1e-9)


def held_out_by(kind, y):
    """Return the indices of the samples that early_stopping holds out, drawn as scikit-learn draws them."""
    outputs = 3 if kind is MLPClassifier else 1
    drawn = np.random.RandomState(0)
    for fan_in, fan_out in ((4, 6), (6, outputs)):
        drawn.uniform(size=(fan_in + 1) * fan_out)
    return train_test_split(np.arange(150), test_size=0.1, random_state=drawn)[1]


@ON_DEVICES
@BOTH
def test_a_split_with_a_part_without_weight_is_rejected(on_target, kind):
    backend = on_target.backend()
    held_out = np.isin(np.arange(150), held_out_by(kind, Y))
    x, y = backend.asarray(X), backend.asarray(Y, "int64")
    model = kind(**OPTIONS).fit(x, y)
    before = model.coefs_
    model.set_params(early_stopping=True)
    for zeros, message in ((held_out, "held out by early_stopping"), (~held_out, "left to learn from")):
        weight = np.where(zeros, 0.0, WEIGHT)
        with pytest.raises(ValueError, match=f"sample_weight of the samples {message} holds only zeros: give X_val"):
            model.fit(x, y, backend.asarray(weight))
        assert model.coefs_ is before or all(a is b for a, b in zip(model.coefs_, before, strict=True))
        assert not hasattr(model, "validation_scores_") or model.validation_scores_ is None
    one = np.where(held_out, 0.0, WEIGHT)
    one[np.flatnonzero(held_out)[0]] = 1.0
    with pytest.raises(
        ValueError, match="zero for all but one of the samples held out by early_stopping, but a score needs two: give"
    ):
        model.fit(x, y, backend.asarray(one))
    one[np.flatnonzero(held_out)[1]] = 1.0
    assert np.isfinite(model.fit(x, y, backend.asarray(one)).validation_scores_).all()


@ON_DEVICES
@BOTH
def test_all_zero_weights(on_target, kind):
    """They are an error in every method, as in scikit-learn."""
    backend = on_target.backend()
    x, y = backend.asarray(X), backend.asarray(Y, "int64")
    model = kind(**OPTIONS).fit(x, y)
    before, zeros = model.coefs_, backend.asarray(np.zeros(150))
    for call in (
        lambda: model.fit(x, y, zeros),
        lambda: model.partial_fit(x, y, zeros),
        lambda: model.score(x, y, zeros),
        lambda: model.set_params(solver="lbfgs").fit(x, y, zeros),
    ):
        with pytest.raises(ValueError, match="(?i)zero"):
            call()
    assert all(a is b for a, b in zip(model.coefs_, before, strict=True))


@ON_DEVICES
def test_class_weights_of_zero(on_target):
    backend = on_target.backend()
    x, y = backend.asarray(X), backend.asarray(Y, "int64")
    weight = backend.asarray(np.where(Y == 0, 1.0, 0.0))
    options = OPTIONS | {"batch_size": 1, "max_iter": 2}
    expected = MLPClassifier(class_weight={0: 0.0}, **options).fit(X, Y)
    found = MLPClassifier(class_weight={0: 0.0}, **options).fit(x, y)
    np.testing.assert_allclose(backend.to_numpy(found.coefs_[0]), expected.coefs_[0], rtol=1e-8, atol=1e-10)
    assert np.isfinite(found.loss_curve_).all()
    assert set(backend.to_numpy(found.predict(x)).tolist()) == {1, 2}
    for class_weight, given, message in (
        ({0: 0.0, 1: 0.0, 2: 0.0}, None, "class_weight holds only zeros"),
        ({0: 0.0}, weight, "sample_weight times class_weight holds only zeros"),
        ({0: math.nan}, None, "class_weight holds NaN"),
        ({0: math.inf}, None, "class_weight holds NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            MLPClassifier(class_weight=class_weight, **options).fit(x, y, given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_weights_of_any_scale(dtype):
    expected = MLPClassifier(class_weight={0: 1.0, 1: 2.0, 2: 0.5}, alpha=0.0, **OPTIONS).fit(X, Y, WEIGHT)
    for scale, other in ((1e-200, 1.0), (1e300, 1e-300), (1e37, 1e37), (1e-300, 1e-300), (1e300, 1e300)):
        model = MLPClassifier(class_weight={0: scale, 1: 2.0 * scale, 2: 0.5 * scale}, alpha=0.0, **OPTIONS)
        assert_alike(model.fit(X.astype(dtype), Y, other * WEIGHT), expected, 1e-3 if dtype == "float32" else 1e-9)


@BOTH
def test_callbacks_see_the_weighted_validation_loss(kind):
    """The last one is that of the model, which has the weights of the last epoch."""
    losses = []
    model = kind(
        early_stopping=True,
        tol=0.0,
        callbacks=[lambda training: losses.append(training.history.validation_loss[-1])],
        **OPTIONS,
    )
    weight = np.where(np.arange(150) % 2, 1e-3, 10.0)
    model.fit(X, Y, weight)
    assert model.best_validation_score_ == model.validation_scores_[-1]
    rows = held_out_by(kind, Y)
    if kind is MLPRegressor:
        expected = 0.5 * np.average((model.predict(X[rows]) - Y[rows]) ** 2, weights=weight[rows])
    else:
        expected = log_loss(Y[rows], model.predict_proba(X[rows]), sample_weight=weight[rows])
    np.testing.assert_allclose(losses[-1], expected, rtol=1e-9)
