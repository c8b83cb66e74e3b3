"""A user's own pieces may change between two calls, and compute with booleans and whole numbers: never a silent difference."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.arrays import namespace
from tests.support.targets import why_unusable

X = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 3))
Y = np.sin(X[:, :1]) * X[:, 1:2]
factor = 0.7


class Attribute:
    k = 0.7

    def value(self, net):
        return net * self.k

    def delta(self, slope, signal):
        return slope * self.k

    def change(self):
        self.k = 2.0


class ClassAttribute(Attribute):
    def change(self):
        type(self).k = 2.0


class Global:
    def value(self, net):
        return net * factor

    def delta(self, slope, signal):
        return slope * factor

    def change(self):
        global factor
        factor = 2.0


class Contents:
    def __init__(self):
        self.k = np.full(4, 0.7)

    def value(self, net):
        return net * np.asarray(self.k)

    def delta(self, slope, signal):
        return slope * np.asarray(self.k)

    def change(self):
        self.k[...] = 2.0


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch):
    monkeypatch.setattr(ClassAttribute, "k", 0.7)
    monkeypatch.setitem(globals(), "factor", 0.7)


def new_network(activation, backend):
    return bp.Network([3, 4, 1], [activation, "identity"], backend=backend, dtype="float64", seed=0)


BACKENDS, KINDS = ("numpy", "numpy compiled", "torch", "jax"), (Attribute, ClassAttribute, Global, Contents)


@pytest.mark.parametrize(
    ("backend", "kind"),
    # PyTorch does not multiply its tensors by arrays of NumPy.
    [(backend, kind) for backend in BACKENDS for kind in KINDS if (backend, kind) != ("torch", Contents)],
)
def test_a_change_takes_effect_in_the_next_call(monkeypatch, backend, kind):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "1" if "compiled" in backend else "0")
    name = backend.partition(" ")[0]
    if reason := why_unusable(name):
        pytest.skip(reason)
    piece = kind()
    network = new_network(piece, name)
    network.fit(X, Y, epochs=20, learning_rate=0.05)
    network.predict(X)
    piece.change()
    weights, biases = ([network.backend.to_numpy(layer[part]) for layer in network.layers] for part in (0, 1))
    double = (lambda net: 2.0 * net, lambda slope, signal: 2.0 * slope)
    other = bp.Network.from_weights(weights, biases, [double, "identity"], backend="numpy", dtype="float64")
    assert_close(network.predict(X), other.predict(X), network.backend)
    assert_close(network.loss(X, Y), other.loss(X, Y), network.backend)
    histories = [each.fit(X, Y, epochs=20, learning_rate=0.05).loss for each in (network, other)]
    np.testing.assert_allclose(*histories, rtol=1e-9)
    assert_close(network.layers[0].weight, other.layers[0].weight, network.backend)


def assert_close(found, expected, backend):
    np.testing.assert_allclose(backend.to_numpy(found), expected, rtol=1e-9)


# A weight of each sample, from its targets, whose largest is 2; the first batches do not show what booleans add up to.
def both(target):
    return (target[..., 0] > 1.0) + (target[..., 1] > 1.0)


def most(target):
    return namespace(target).max(namespace(target).astype(target > 1.0, target.dtype), axis=-1)


def any_of(target):
    return (target > 1.0).max(-1)


def largest_class(target):
    xp = namespace(target)
    return xp.max(xp.astype(target, xp.int64), axis=-1)


@pytest.mark.parametrize("weigh", [both, most, any_of, largest_class])
@pytest.mark.parametrize("seed", range(3))
def test_booleans_and_whole_numbers_are_computed_as_in_calls(monkeypatch, weigh, seed):
    def value(out, target):
        return ((out - target) ** 2).sum(-1) * weigh(target)

    def slope(out, target):
        return 2.0 * (out - target) * weigh(target)[..., None]

    target = np.zeros((50, 2))
    target[30:36, 0] = target[36:42, 1] = target[42:44] = 2.0
    found = {}
    for compiled in ("1", "0", "called"):
        monkeypatch.setenv("PORTABLE_BP_COMPILE", compiled)
        if compiled == "called":
            monkeypatch.setattr("portable_bp.backends.graph.loop._Runner._recorded", lambda *_: None)
        network = bp.Network([3, 4, 2], "tanh", backend="numpy", dtype="float64", seed=0)
        loss = network.fit(X, target, (value, slope), epochs=3, batch_size=5, learning_rate=0.05, seed=seed).loss
        found[compiled] = [*loss, *network.layers[0].weight.reshape(-1)]
    np.testing.assert_allclose(found["1"], found["called"], rtol=1e-9)
    np.testing.assert_allclose(found["0"], found["called"], rtol=1e-9)


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_an_index_out_of_bounds_is_an_error_as_in_a_call(monkeypatch, compiled):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", compiled)
    table = np.array([1.0, 2.0, 3.0, 4.0])

    def weight(target):
        xp = namespace(target)
        return xp.take(xp.asarray(table), xp.astype(abs(target), xp.int64)[..., 0], axis=0)

    def value(out, target):
        return ((out - target) ** 2).sum(-1) * weight(target)

    def slope(out, target):
        return 2.0 * (out - target) * weight(target)[..., None]

    target = Y.copy()
    network = bp.Network([3, 4, 1], "tanh", backend="numpy", dtype="float64", seed=0)
    network.fit(X, target, (value, slope), epochs=3, batch_size=5, learning_rate=0.01, seed=2)
    target[37] = 5.0
    with pytest.raises(IndexError, match="out of bounds"):
        network.fit(X, target, (value, slope), epochs=3, batch_size=5, learning_rate=0.01, seed=2)


def test_a_change_in_one_piece_changes_no_other(monkeypatch):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")
    half = np.array(0.5)  # equal to a number of the loss
    unused = (
        lambda net: np.where(net > 9.0, half * net, net),
        lambda slope, signal: np.where(signal.net > 9.0, half * slope, slope),
    )
    network = new_network(unused, "numpy")
    before = float(network.loss(X, Y))

    def change(training):
        half[...] = half * 0.5

    still = network.fit(X, Y, epochs=4, batch_size=10, learning_rate=lambda step: 0.0 * step, seed=1, callbacks=[change])
    np.testing.assert_allclose(still.loss, before, rtol=1e-12)
