"""EarlyStopping and other callbacks that restore weights, in fits of any length and with every solver."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss

import portable_bp as bp
from portable_bp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])


def objective(model, weight):
    """Return what scikit-learn minimizes, by its formula."""
    if isinstance(model, MLPRegressor):
        loss = 0.5 * np.average((model.predict(X) - Y) ** 2, weights=weight)
    else:
        loss = log_loss(Y, model.predict_proba(X), sample_weight=weight)
    return loss + 0.5 * model.alpha * sum(np.sum(coef.astype(float) ** 2) for coef in model.coefs_) / np.sum(weight)


class At:
    """A callback that restores the weights of an epoch."""

    def __init__(self, epoch):
        self.epoch, self.layers = epoch, ()

    def __repr__(self):
        return f"At({self.epoch})"

    def __call__(self, training):
        if training.epoch == self.epoch:
            self.layers = training.layers

    def finish(self, training):
        training.layers = self.layers


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "callback", [bp.EarlyStopping(1), bp.EarlyStopping(2, 0.05), bp.EarlyStopping(3, 10.0), At(1), At(5)], ids=repr
)
@pytest.mark.parametrize("max_iter", [5, 40])
def test_the_loss_of_lbfgs_is_that_of_its_weights(kind, dtype, callback, max_iter):
    weight = np.linspace(0.5, 1.5, 150)
    model = kind(solver="lbfgs", alpha=0.1, hidden_layer_sizes=(7,), random_state=0, max_iter=max_iter, callbacks=[callback])
    model.fit(X.astype(dtype), Y, weight)
    np.testing.assert_allclose(model.loss_, objective(model, weight), rtol=1e-10 if dtype == "float64" else 1e-5)


@BOTH
def test_lbfgs_has_the_lowest_loss_that_its_callbacks_saw(kind):
    losses = []
    for max_iter in (1, 2, 7):
        callbacks = [bp.EarlyStopping(), lambda training: losses.append(training.history.loss[-1])]
        model = kind(solver="lbfgs", random_state=0, max_iter=max_iter, callbacks=callbacks).fit(X, Y)
        assert model.loss_ == min(losses) == losses[-1]
        plain = kind(solver="lbfgs", random_state=0, max_iter=max_iter).fit(X, Y)
        np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])


@BOTH
def test_a_fit_without_an_iteration_keeps_its_own_weights(kind):
    """Even if its callback still holds the weights of another network."""
    stopping = bp.EarlyStopping()
    kind(solver="lbfgs", hidden_layer_sizes=(3,), random_state=0, callbacks=[stopping]).fit(X, Y)
    options = {"solver": "lbfgs", "tol": 1e9, "random_state": 0}
    model, plain = kind(callbacks=[stopping], **options).fit(X, Y), kind(**options).fit(X, Y)
    assert model.n_iter_ == 0 and model.loss_ == plain.loss_
    np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [150, 40])
@pytest.mark.parametrize("how", ["partial_fit", "warm start", "max_iter"])
def test_calls_of_one_epoch_train_the_model(kind, solver, batch_size, how):
    def run(callbacks):
        options = {"solver": solver, "batch_size": batch_size, "random_state": 0, "learning_rate_init": 0.01}
        model = kind(callbacks=callbacks, max_iter=1, warm_start=how == "warm start", **options)
        for _ in range(1 if how == "max_iter" else 12):
            if how != "partial_fit":
                model.fit(X, Y)
            else:
                model.partial_fit(X, Y, **({"classes": [0, 1, 2]} if kind is MLPClassifier else {}))
        return model

    np.testing.assert_array_equal(run([bp.EarlyStopping()]).coefs_[0], run([]).coefs_[0])
