"""Data sent through a network in chunks give the same results as all at once, and are moved chunk by chunk."""

import numpy as np
import pandas as pd
import pytest

import portable_bp as bp
from portable_bp.backends import chunks
from portable_bp.estimators import MLPClassifier, MLPRegressor
from tests.support.targets import why_unusable

X = np.random.default_rng(0).normal(size=(23, 3))


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of four samples, for networks whose widest layer has five nodes."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 4 * 5 + 1)


class Watched:
    """A backend that counts the rows that it moves, and those that each function takes."""

    def __init__(self, backend):
        self.backend, self.moved, self.went = backend, [], []

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def asarray(self, data, dtype=None):
        self.moved.append(np.shape(data)[0])
        return self.backend.asarray(data, dtype)

    def compile(self, function):
        run = self.backend.compile(function)

        def watched(*arguments):
            self.went += [part.shape[0] for part in arguments[1:] if getattr(part, "ndim", 0) == 2]
            return run(*arguments)

        return watched


def test_spans():
    assert chunks.spans(10, 5, 20) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert chunks.spans(8, 5, 20) == [slice(0, 4), slice(4, 8)]
    assert chunks.spans(2, 100, 20) == [slice(0, 1), slice(1, 2)]
    assert chunks.spans(0, 5) == []
    assert chunks.spans(2**26 // 784, 784) == [slice(0, 2**26 // 784)]


@pytest.mark.parametrize("kind", ["numpy", "float32", "list", "frame", "own"])
def test_chunks_give_the_same_as_all_at_once(on_target, kind, monkeypatch):
    network = on_target.network([3, 5, 2], seed=0)
    made = {
        "numpy": X,
        "float32": X.astype("float32"),
        "list": X.tolist(),
        "frame": pd.DataFrame(X),
        "own": network.backend.asarray(X),
    }
    expected = on_target.values(network.predict(made[kind]))
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 4 * 5 + 1)
    on_target.assert_close(network.predict(made[kind]), expected)


def test_host_data_are_moved_chunk_by_chunk(small_chunks):
    network = bp.Network([3, 5, 2], backend="strict", dtype="float64", seed=0)
    network.backend = Watched(network.backend)
    network.predict(X)
    assert network.backend.moved == [4, 4, 4, 4, 4, 3]
    assert set(network.backend.went) == {4, 3}, "two shapes only, since some libraries compile for each shape"


def test_one_sample_gives_a_1d_output(small_chunks):
    network = bp.Network([3, 5, 2], backend="numpy", seed=0)
    assert network.predict(X[0]).shape == (2,)
    assert network.predict(X[:1]).shape == (1, 2)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[:, :2], ValueError, r"^x has shape \(23, 2\), and this network has 3 inputs"),
        (X[:0], ValueError, r"^x has shape \(0, 3\): it holds no samples"),
        (X[None], ValueError, r"^x has shape \(1, 23, 3\)"),
        ([[1.0, 2.0, 3.0]] * 9 + [[1.0]], ValueError, "^x cannot be used: its rows differ in length"),
        (np.full((9, 3), "a"), TypeError, "^x cannot be used: it holds text"),
        (np.where(np.arange(27).reshape(9, 3) == 26, np.nan, 0.0), ValueError, "^x holds NaN or infinity: drop"),
        (np.where(np.arange(27).reshape(9, 3) == 26, 1e300, 0.0), ValueError, "^x cannot be used: it holds 1e"),
        (5.0, ValueError, r"^x has shape \(\)"),
    ],
)
def test_messages_do_not_depend_on_chunks(small_chunks, x, error, message):
    with pytest.raises(error, match=message):
        bp.Network([3, 5, 2], backend="numpy", seed=0).predict(x)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_work_in_chunks(kind, solver, backend, monkeypatch):
    if backend and (reason := why_unusable(backend)):
        pytest.skip(reason)
    model = kind(hidden_layer_sizes=(5,), solver=solver, random_state=0, max_iter=9, backend=backend)
    y = np.arange(23) % 3
    expected, coefs = model.fit(X, y).predict(X), [coef + 0.0 for coef in model.coefs_]
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 4 * 5 + 1)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    model.fit(X, y)
    for mine, theirs in zip(model.coefs_, coefs, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), rtol=1e-6)


def test_prediction_releases_layers_that_are_no_longer_needed():
    """With twenty wide layers, at most four of their arrays exist at once."""
    import tracemalloc

    network = bp.Network([256] * 21, "relu", backend="numpy", seed=0)
    x = np.zeros((4096, 256), dtype="float32")
    tracemalloc.start()
    network.predict(x)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * x.nbytes
