"""A network taken from a fitted scikit-learn model predicts what the model predicts; other objects are refused."""

import re

import hypothesis
import numpy as np
import pytest
import sklearn.neural_network
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import portable_bp as bp
from portable_bp import estimators

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(40, 3))
CLASSES = np.arange(40) % 4
TARGETS = {
    "binary": CLASSES % 2,
    "classes": CLASSES,
    "labels": np.column_stack([CLASSES % 2, CLASSES // 2, CLASSES == 3]).astype(int),
    "number": X[:, 0] * X[:, 1],
    "numbers": X[:, :2] * X[:, 1:],
    "counts": CLASSES,
}
BOTH = pytest.mark.parametrize("library", [sklearn.neural_network, estimators], ids=["scikit-learn", "ours"])
NAMES = ["identity", "logistic", "tanh", "relu"]


def fitted(library, task, **options):
    classifies = task in ("binary", "classes", "labels")
    options |= {"loss": "poisson"} if task == "counts" else {}
    model = (library.MLPClassifier if classifies else library.MLPRegressor)(max_iter=3, random_state=0, **options)
    return model.fit(X, TARGETS[task])


def told(model, task, x):
    if task == "binary":
        return model.predict_proba(x)[:, 1:]
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x).reshape(len(x), -1)


@BOTH
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("task", list(TARGETS))
def test_from_sklearn_gives_what_the_model_gives(library, task, activation):
    model = fitted(library, task, activation=activation, hidden_layer_sizes=(5, 4))
    network = bp.Network.from_sklearn(model, backend="numpy")
    assert network.sizes[:3] == (3, 5, 4)
    out = network.predict(X)
    assert out.dtype == "float64"
    np.testing.assert_allclose(out, told(model, task, X), rtol=1e-12, atol=1e-14)


@BOTH
def test_the_dtype_is_the_model_s(library):
    model = library.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(
        X.astype("float32"), X[:, 0].astype("float32")
    )
    network = bp.Network.from_sklearn(model, backend="numpy")
    assert network.layers[0].weight.dtype == "float32"
    np.testing.assert_allclose(network.predict(X)[:, 0], model.predict(X.astype("float32")), rtol=1e-5, atol=1e-6)
    assert bp.Network.from_sklearn(model, backend="numpy", dtype="float64").layers[0].weight.dtype == "float64"


@BOTH
def test_weights_are_copied(library):
    model = fitted(library, "number", hidden_layer_sizes=(4,))
    network = bp.Network.from_sklearn(model, backend="numpy")
    expected = network.predict(X)
    model.coefs_[0][:] = 7.0
    np.testing.assert_array_equal(network.predict(X), expected)


def test_models_on_every_backend(on_target):
    x, target = (on_target.backend().asarray(data) for data in (X, X[:, :2]))
    model = estimators.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0, shuffle=False).fit(x, target)
    network = bp.Network.from_sklearn(model, backend=on_target.flag)
    on_target.assert_close(network.predict(x), on_target.values(model.predict(x)))
    elsewhere = bp.Network.from_sklearn(model, backend="numpy")
    np.testing.assert_allclose(elsewhere.predict(X), on_target.values(model.predict(x)), rtol=1e-10)
    for mine, theirs in zip(network.coefs_ + network.intercepts_, model.coefs_ + model.intercepts_, strict=True):
        on_target.assert_close(mine, on_target.values(theirs), rtol=0.0)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    hidden=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    outputs=st.integers(1, 3),
    activation=st.sampled_from(NAMES),
    bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_model_of_scikit_learn_with_our_weights(hidden, outputs, activation, bias, dtype):
    network = bp.Network([3, *hidden, outputs], activation, "identity", bias, backend="numpy", dtype=dtype, seed=0)
    network.fit(X, np.ones((40, outputs)))  # biases are no longer zero
    model = sklearn.neural_network.MLPRegressor(hidden_layer_sizes=hidden, activation=activation)
    x = X.astype(dtype)
    model.partial_fit(x, np.ones((40, outputs), dtype).squeeze())
    shapes = [array.shape for array in (*model.coefs_, *model.intercepts_)]
    model.coefs_, model.intercepts_ = network.coefs_, network.intercepts_
    assert [array.shape for array in (*model.coefs_, *model.intercepts_)] == shapes
    assert {array.dtype.name for array in (*model.coefs_, *model.intercepts_)} == {dtype}
    expected = model.predict(x).reshape(40, outputs)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(network.predict(x), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bias", [True, False])
def test_training_the_model_further_does_not_change_the_network(bias):
    network = bp.Network([3, 4, 1], "relu", "identity", bias, backend="numpy", seed=0)
    before = network.predict(X)
    for array in network.coefs_ + network.intercepts_:
        array += 1.0
    np.testing.assert_array_equal(network.predict(X), before)


@BOTH
def test_models_that_are_not_fitted(library):
    for kind in (library.MLPClassifier, library.MLPRegressor):
        with pytest.raises(ValueError, match=f"this {kind.__name__} is not fitted yet, and should be: call its fit first"):
            bp.Network.from_sklearn(kind(), backend="numpy")


OTHERS = [Ridge().fit(X, X), make_pipeline(StandardScaler(), Ridge()), Ridge, sklearn.neural_network.MLPRegressor, None, X]


@pytest.mark.parametrize("given", OTHERS, ids=lambda given: type(given).__name__)
def test_other_objects(given):
    message = f"model is a {type(given).__name__}, and should be a fitted MLPClassifier or MLPRegressor"
    with pytest.raises(TypeError, match=re.escape(message)):
        bp.Network.from_sklearn(given, backend="numpy")


def test_a_model_that_was_changed_since():
    model = fitted(sklearn.neural_network, "number", hidden_layer_sizes=(4,))
    with pytest.raises(ValueError, match="unknown activation 'tahn'.*did you mean 'tanh'?"):
        bp.Network.from_sklearn(model.set_params(activation="tahn"), backend="numpy")
    model = fitted(sklearn.neural_network, "number", hidden_layer_sizes=(4,))
    model.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="weight 1 holds NaN or infinity"):
        bp.Network.from_sklearn(model, backend="numpy")
