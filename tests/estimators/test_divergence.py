"""Training that diverges is reported: with a warning if the weights are finite, with an error if they are not."""

import copy
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from portable_bp.estimators import MLPClassifier, MLPRegressor

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(100, 4))
Y = (X[:, 0] > 0.0).astype(int)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
MESSAGE = "the loss became NaN or infinite in epoch"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier_under_early_stopping(own, dtype):
    model = MLPClassifier(
        solver="sgd", learning_rate_init=1e30 if dtype == "float32" else 1e200, early_stopping=True, random_state=0
    )
    samples = (100 * X).astype(dtype)
    given = {"X_val": samples[::3], "y_val": Y[::3]} if own else {}
    with pytest.warns(
        ConvergenceWarning, match=f"sgd diverged: {MESSAGE} . of 12, and the model has the weights with the best"
    ) as caught:
        model.fit(samples, Y, **given)
    assert [str(each.filename) for each in caught] == [__file__]
    assert not np.isfinite(model.loss_) and all(np.isfinite(coef).all() for coef in model.coefs_)


@BOTH
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}], ids=str)
@pytest.mark.parametrize("incremental", [False, True])
def test_losses_beyond_float32_over_finite_weights(kind, options, incremental):
    """The loss or its penalty overflows, but adam takes no step where the squared gradient is infinite."""
    if incremental and options:
        pytest.skip("partial_fit has no early stopping")
    model = kind(random_state=0, max_iter=3, alpha=1e38 if kind is MLPClassifier else 1.0, **options)
    y = Y if kind is MLPClassifier else 1e25 * X[:, 0]
    samples = X.astype("float32")
    if options and kind is MLPRegressor:
        with pytest.raises(ValueError, match="adam diverged: no epoch has a validation score that is a finite number"):
            model.fit(samples, y)
        assert not hasattr(model, "coefs_")
        return
    with pytest.warns(ConvergenceWarning, match=f"adam diverged: {MESSAGE} 1 of [13]"):
        if incremental:
            model.partial_fit(samples, y, **({"classes": [0, 1]} if kind is MLPClassifier else {}))
        else:
            model.fit(samples, y)
    assert not np.isfinite(model.loss_curve_).all()


@BOTH
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"X_val": True}], ids=str)
def test_non_finite_weights_raise_an_error_and_no_warning(kind, solver, options):
    model = kind(solver=solver, tol=10.0, random_state=0).fit(X, Y)
    before = copy.deepcopy((model.coefs_, model.loss_curve_, model.loss_))
    given = {"X_val": X, "y_val": Y} if options.get("X_val") else {}
    model.set_params(learning_rate_init=1e308, early_stopping=options.get("early_stopping", False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="non-finite parameter weights|no epoch has a validation score that is a finite"):
            model.fit(1e3 * X, Y, **given)
    np.testing.assert_equal((model.coefs_, model.loss_curve_, model.loss_), before)


@BOTH
def test_a_rising_loss(kind):
    """It is still finite when training ends."""
    model = kind(solver="sgd", learning_rate_init=1e3, random_state=0, max_iter=3, hidden_layer_sizes=())
    with pytest.warns(
        ConvergenceWarning, match="sgd diverged: the loss rose from .* to .*e.*; try a smaller learning_rate_init"
    ):
        model.fit(100 * X, Y) if kind is MLPRegressor else model.set_params(alpha=100.0).fit(100 * X, Y)
    assert np.isfinite(model.loss_) and model.loss_ > 10 * model.loss_curve_[0]


def test_lbfgs():
    model = MLPRegressor(solver="lbfgs", random_state=0)
    with pytest.warns(ConvergenceWarning, match="lbfgs diverged: the loss is inf"):
        model.fit(X.astype("float32"), 1e25 * X[:, 0])


@pytest.mark.parametrize("text", [False, True])
def test_non_finite_weights_are_not_the_best_even_if_they_predict_correctly(text):
    """The first epoch leaves finite weights that predict wrongly; NaN predicts the class that all of y_val has."""
    model = MLPClassifier((5,), solver="sgd", learning_rate_init=1e200, early_stopping=True, random_state=4, max_iter=5)
    labels = np.asarray(["a", "b"])[Y] if text else Y
    own, wanted = X[np.argsort(X[:, 0])][:20], labels[np.argmin(X[:, 0])]
    with pytest.warns(ConvergenceWarning, match="sgd diverged"):
        model.fit(X, labels, X_val=own, y_val=[wanted] * 20)
    assert model.best_validation_score_ < max(model.validation_scores_ or []) == 1.0
    assert all(np.isfinite(coef).all() for coef in model.coefs_)
    assert model.score(own, [wanted] * 20) == model.best_validation_score_


@BOTH
def test_a_loss_that_rises_between_calls_of_partial_fit(kind):
    model = kind(hidden_layer_sizes=(5,), solver="sgd", learning_rate_init=1e3, random_state=0, batch_size=100)
    given = {"classes": [0, 1]} if kind is MLPClassifier else {}
    with pytest.warns(
        ConvergenceWarning, match="sgd diverged: the loss rose from .* to .*e.*; try a smaller learning_rate_init"
    ):
        for _ in range(6):
            model.partial_fit(100 * X, Y, **given)
            if model.loss_ > 1e12:
                break
    assert model.loss_ > 1e6 * model.loss_curve_[0]


@BOTH
def test_no_warning_for_partial_fits_on_different_samples(kind):
    model = kind(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scale in (1.0, 30.0, 1.0):
            y = Y if kind is MLPClassifier else scale * Y
            model.partial_fit(scale * X, y, **({"classes": [0, 1]} if kind is MLPClassifier else {}))


@BOTH
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_no_warning_for_a_successful_fit(kind, solver):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(solver=solver, random_state=0, max_iter=3000, learning_rate_init=0.01, tol=1e-3, alpha=0.1).fit(X, Y)
