"""A network gives the same numbers on every target, copies what it is given, and refuses what it cannot use."""

import copy
import pickle
import re
import warnings

import numpy as np
import pytest

import portable_bp as bp
from tests.support.networks import generator_state

X = np.random.default_rng(0).normal(size=(12, 3))
TARGET = np.random.default_rng(1).normal(size=(12, 2))


def test_the_same_seed_gives_the_same_weights_everywhere(on_target):
    expected = bp.Network([3, 5, 2], backend="numpy", dtype="float64", seed=7)
    for mine, theirs in zip(on_target.network([3, 5, 2], seed=7).layers, expected.layers, strict=True):
        on_target.assert_close(mine.weight, theirs.weight, rtol=0.0)
        on_target.assert_close(mine.bias, np.zeros_like(theirs.bias), rtol=0.0)
    single = on_target.network([3, 5, 2], seed=7, dtype="float32").layers[0].weight
    on_target.assert_close(single, expected.layers[0].weight.astype(np.float32), rtol=0.0, dtype="float32")


def test_one_sample_and_a_batch(on_target):
    network = on_target.network([3, 5, 2], seed=0)
    batch = on_target.values(network.predict(X))
    assert batch.shape == (12, 2)
    assert network.predict(X[0]).shape == (2,)
    on_target.assert_close(network.predict(X[0]), batch[0])
    on_target.assert_close(network.loss(X, TARGET), 0.5 * ((batch - TARGET) ** 2).sum(axis=1).mean())
    on_target.assert_close(network.loss(X[0], TARGET[0]), 0.5 * ((batch[0] - TARGET[0]) ** 2).sum())
    assert network.input_gradient(X, TARGET).shape == (12, 3)
    assert network.input_gradient(X[0], TARGET[0]).shape == (3,)


def test_hidden_is_every_layer_s_out(on_target):
    network = on_target.network([3, 5, 2], "tanh", seed=0)
    hidden, out = network.hidden(X)
    on_target.assert_close(hidden, np.tanh(X @ on_target.values(network.layers[0].weight).T))
    on_target.assert_close(out, on_target.values(network.predict(X)))
    assert [part.shape for part in network.hidden(X[0])] == [(5,), (2,)]


def test_input_gradient_agrees_with_finite_differences(on_target):
    network = on_target.network([3, 5, 2], "gelu", seed=0)
    found = on_target.values(network.input_gradient(X, TARGET))
    for row, column in ((0, 0), (11, 2)):
        ends = []
        for move in (1e-5, -1e-5):
            moved = X.copy()
            moved[row, column] += move
            ends.append(float(on_target.values(network.loss(moved, TARGET))))
        assert found[row, column] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-9)


def test_gradient_has_the_shapes_of_the_layers(on_target):
    for bias in (True, False):
        network = on_target.network([3, 5, 2], bias=bias, seed=0)
        for layer, slope in zip(network.layers, network.gradient(X, TARGET), strict=True):
            assert isinstance(slope, bp.Layer)
            assert slope.weight.shape == layer.weight.shape
            assert (slope.bias is None) == (not bias)


def test_activations_by_layer_and_by_pair(on_target):
    def double(net):
        return 2.0 * net

    def doubled(slope, signal):
        return 2.0 * slope

    network = on_target.network([3, 5, 2], ["relu", (double, doubled)], seed=0)
    linear = on_target.network([3, 5, 2], "relu", "identity", seed=0)
    on_target.assert_close(network.predict(X), 2.0 * on_target.values(linear.predict(X)))
    pair = (double, doubled)
    assert on_target.network([3, 5, 2], pair, pair).activations == on_target.network([3, 5, 2], [pair, pair]).activations
    assert on_target.network([3, 5], [bp.activations.Tanh]).activations == (bp.activations.Tanh(),)


def test_classes_and_one_hot_rows_agree(on_target):
    network = on_target.network([3, 5, 4], "tanh", "identity", seed=0)
    classes = np.arange(12) % 4
    by_class = network.loss(X, classes, "cross_entropy")
    on_target.assert_close(by_class, on_target.values(network.loss(X, np.eye(4)[classes], "cross_entropy")))
    on_target.assert_close(network.loss(X, classes.tolist(), "cross_entropy"), on_target.values(by_class))
    there = network.backend.asarray(classes, "int32")
    on_target.assert_close(network.loss(X, there, "cross_entropy"), on_target.values(by_class))
    assert network.loss(X[0], 3, "cross_entropy").shape == ()


def test_one_output_takes_a_1d_target(on_target):
    network = on_target.network([3, 5, 1], seed=0)
    on_target.assert_close(network.loss(X, TARGET[:, 0]), on_target.values(network.loss(X, TARGET[:, :1])))
    assert network.loss(X[0], 0.5).shape == ()


def test_arrays_of_the_backend_stay_where_they_are(on_target):
    network = on_target.network([3, 5, 2], seed=0)
    x, target = network.backend.asarray(X), network.backend.asarray(TARGET)
    on_target.assert_close(network.loss(x, target), on_target.values(network.loss(X, TARGET)))
    network.fit(x, target, epochs=2, batch_size=5)
    on_target.values(network.layers[0].weight)


class Tagged(bp.Network):
    """A network that has attributes of its own, and notes from the beginning."""

    def __new__(cls, *given, **options):
        network = super().__new__(cls)
        network.tag = "new"
        return network

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.given, self.notes["made by"] = options, "Tagged"


class Renamed(bp.Network):
    """A network that differs in its name alone."""


def test_from_weights_of_a_subclass():
    weights = [np.ones((2, 3))]
    options = {"dtype": "float64", "seed": 7, "check_finite": False}
    network = Tagged.from_weights(weights, backend="numpy", **options)
    assert network.tag == "new" and network.notes == {"made by": "Tagged"}
    assert {name: network.given[name] for name in options} == options
    assert type(Renamed.from_weights(weights, backend="numpy")) is Renamed
    for mine in (network, Renamed.from_weights(weights, backend="numpy", **options)):
        assert generator_state(mine) == generator_state(bp.Network.from_weights(weights, backend="numpy", **options))
        assert np.array_equal(mine.layers[0].weight, weights[0]) and mine.layers[0].weight is not weights[0]
        assert not mine.check_finite


def test_from_weights_copies(on_target):
    weight = np.ones((2, 3))
    given = on_target.backend().asarray(np.zeros((2, 2)))
    network = bp.Network.from_weights([weight, given], backend=on_target.flag, dtype="float64")
    weight[:] = 5.0
    on_target.assert_close(network.layers[0].weight, np.ones((2, 3)))
    assert network.layers[1].weight is not given
    assert network.sizes == (3, 2, 2)
    assert network.layers[0].bias is None


def test_to_copies_the_network_to_another_backend(on_target):
    network = bp.Network([3, 5, 2], ["relu", "softmax"], backend="numpy", dtype="float64", seed=3)
    moved = network.to(on_target.flag)
    on_target.assert_close(moved.predict(X), network.predict(X))
    assert moved.activations == network.activations
    assert bp.Network([3, 2], backend="numpy", check_finite=False).to(on_target.flag).check_finite is False
    on_target.assert_close(moved.to(on_target.flag, dtype="float32").predict(X), network.predict(X), rtol=1e-4, dtype="float32")
    probabilities = np.tile([0.25, 0.75], (12, 1))
    network.fit(X, probabilities, epochs=2, batch_size=5)
    moved.fit(X, probabilities, epochs=2, batch_size=5)  # the same random numbers follow
    on_target.assert_close(moved.layers[0].weight, network.layers[0].weight, rtol=1e-10)


def test_custom_initializers():
    network = bp.Network([3, 2], initializer=lambda generator, shape: np.full(shape, 0.25), backend="numpy")
    np.testing.assert_array_equal(network.layers[0].weight, np.full((2, 3), 0.25, dtype=np.float32))


def test_a_network_can_be_pickled_and_copied():
    network = bp.Network([3, 5, 2], "relu", backend="numpy", seed=0)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        np.testing.assert_array_equal(other.predict(X), network.predict(X))


def test_repr():
    assert repr(bp.Network([3, 5, 2], "relu", "identity", backend="numpy")) == "<Network 3-5-2, ReLU, Identity, numpy on cpu>"


NETWORK = {"sizes": [3, 5, 2]}
BAD_NETWORKS = [
    ({"sizes": [3]}, ValueError, "sizes is [3], and should be at least two whole numbers from 1 up"),
    ({"sizes": [3, 0, 2]}, ValueError, "sizes is [3, 0, 2]"),
    ({"sizes": [3, 2.5]}, ValueError, "sizes is [3, 2.5]"),
    ({"sizes": 3}, ValueError, "sizes is 3"),
    ({"sizes": ["three", 2]}, ValueError, "sizes is ['three', 2]"),
    ({**NETWORK, "activation": "sigmoyd"}, ValueError, "unknown activation 'sigmoyd'"),
    ({**NETWORK, "activation": "sigmoyd"}, ValueError, "did you mean 'sigmoid'?"),
    ({**NETWORK, "activation": ["relu"]}, ValueError, "activation has 1 entries, and the network has 2 layers"),
    ({**NETWORK, "activation": 3}, TypeError, "3 cannot be used as activation: give a name (identity, "),
    ({**NETWORK, "output_activation": "soft max"}, ValueError, "did you mean 'softmax'?"),
    ({**NETWORK, "initializer": "he"}, ValueError, "unknown initializer 'he'"),
    ({**NETWORK, "initializer": 3}, TypeError, "initializer is 3"),
    (
        {**NETWORK, "initializer": lambda generator, shape: np.ones(3)},
        ValueError,
        "the initializer returned weights of shapes [(3,), (3,)]",
    ),
    ({**NETWORK, "initializer": lambda generator, shape: np.ones((5, 5))}, ValueError, "was asked for [(5, 3), (2, 5)]"),
    ({**NETWORK, "initializer": lambda generator, shape: np.full(shape, np.nan)}, ValueError, "weight 1 holds NaN or infinity"),
    ({"sizes": [2, np.inf]}, ValueError, "sizes is [2, inf]"),
    ({"sizes": [2, True]}, ValueError, "sizes is [2, True]"),
    ({**NETWORK, "seed": -1}, ValueError, "seed is -1, and should be a whole number from 0 up, a generator"),
    ({**NETWORK, "seed": 1.5}, ValueError, "seed is 1.5"),
    ({**NETWORK, "backend": "cuda"}, ValueError, "unknown backend 'cuda'"),
    ({**NETWORK, "dtype": "float16"}, ValueError, "unknown dtype 'float16'"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_NETWORKS)
def test_bad_networks(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        bp.Network(**{"backend": "numpy", **options})


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ([], None, "weights have shapes []"),
        ([np.ones(3)], None, "weights have shapes [(3,)]"),
        ([np.ones((2, 3)), np.ones((4, 3))], None, "weights have shapes [(2, 3), (4, 3)]"),
        ([np.ones((2, 3))], [np.ones(3)], "biases have shapes [(3,)], and should have [(2,)]"),
        ([np.ones((2, 3))], [], "biases have shapes [], and should have [(2,)]"),
        ([[[np.nan, 1.0]]], None, "weight 1 holds NaN or infinity"),
        ([[[1.0, 2.0], [3.0]]], None, "weight 1 cannot be used: its rows differ in length"),
    ],
)
def test_bad_weights(weights, biases, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bp.Network.from_weights(weights, biases, backend="numpy")


NAN = np.where(np.arange(36).reshape(12, 3) == 4, np.nan, X)
BAD_DATA = [
    (
        X[:, :2],
        TARGET,
        {},
        ValueError,
        "x has shape (12, 2), and this network has 3 inputs: give an array of shape",
    ),
    (X[None], TARGET, {}, ValueError, "x has shape (1, 12, 3)"),
    (3.0, TARGET, {}, ValueError, "x has shape ()"),
    (X[:0], TARGET[:0], {}, ValueError, "x has shape (0, 3): it holds no samples; give at least one"),
    ([], [], {}, ValueError, "x has shape (0,)"),
    ([[1, 2, 3], [4, 5]], TARGET, {}, ValueError, "x cannot be used: its rows differ in length"),
    (X.astype(complex), TARGET, {}, TypeError, "x cannot be used: it holds complex numbers"),
    (X.astype(object), TARGET, {}, TypeError, "x cannot be used: it holds Python objects"),
    (
        NAN,
        TARGET,
        {},
        ValueError,
        "x holds NaN or infinity: drop or replace such values, or let them through",
    ),
    (
        X,
        TARGET[:5],
        {},
        ValueError,
        "target has shape (5, 2), and x has 12 samples for a network of 2 outputs",
    ),
    (X, TARGET[:, :1], {}, ValueError, "give an array of shape (12, 2)."),
    (X, TARGET[:, 0], {}, ValueError, "target has shape (12,)"),
    (X, TARGET * np.inf, {}, ValueError, "target holds NaN or infinity"),
    (X, TARGET, {"loss": "squared error"}, ValueError, "did you mean 'squared_error'?"),
    (X, TARGET, {"loss": len}, TypeError, "cannot be used as loss: give a name (squared_error, "),
    (
        X,
        np.full(12, 2),
        {"loss": "cross_entropy"},
        ValueError,
        "from 2 to 2, and this loss takes classes from 0 to 1",
    ),
    (X, np.full(12, -1), {"loss": "cross_entropy"}, ValueError, "from -1 to -1"),
    (X, np.zeros(12), {"loss": "cross_entropy"}, TypeError, "target cannot be used: it holds float64, not integers"),
    (X, np.full(12, 2**40), {"loss": "cross_entropy"}, ValueError, "target cannot be used: it holds 1,099,511,627,776"),
    (X, np.full(12, 2**40).astype(np.uint64), {"loss": "cross_entropy"}, ValueError, "target cannot be used"),
    (X, np.full((12, 2), 2), {"loss": "cross_entropy"}, ValueError, "this loss takes numbers from 0 to 1"),
    (X, np.full((12, 2), 1.5), {"loss": "binary_cross_entropy"}, ValueError, "this loss takes numbers from 0 to 1"),
    (
        X,
        TARGET,
        {"loss": "poisson"},
        ValueError,
        "Identity, whose values may be negative, and Poisson takes positive",
    ),
    (X, TARGET, {"sample_weight": np.ones(5)}, ValueError, "sample_weight has shape (5,), and x has 12 samples"),
    (X, TARGET, {"sample_weight": -np.ones(12)}, ValueError, "sample_weight holds a negative weight, or only zeros"),
    (X, TARGET, {"sample_weight": np.zeros(12)}, ValueError, "sample_weight holds a negative weight, or only zeros"),
    (X, TARGET, {"sample_weight": np.full(12, np.nan)}, ValueError, "sample_weight holds NaN"),
]
BAD_FITS = [
    *BAD_DATA,
    (X, TARGET, {"optimizer": "adm"}, ValueError, "did you mean 'adam'?"),
    (X, TARGET, {"optimizer": 3}, TypeError, "3 cannot be used as optimizer"),
    (
        X,
        TARGET,
        {"learning_rate": -0.1},
        ValueError,
        "learning_rate of SGD is -0.1, and should be a number above 0, or a",
    ),
    (X, TARGET, {"learning_rate": np.nan}, ValueError, "learning_rate of SGD is nan"),
    (X, TARGET, {"learning_rate": 0.1, "optimizer": bp.optimizers.Adam()}, ValueError, "has its own: give it there"),
    (X, TARGET, {"epochs": 0}, ValueError, "epochs is 0, and should be a whole number from 1 up"),
    (X, TARGET, {"epochs": 1.5}, ValueError, "epochs is 1.5"),
    (X, TARGET, {"epochs": np.inf}, ValueError, "epochs is inf"),
    (X, TARGET, {"epochs": np.nan}, ValueError, "epochs is nan"),
    (X, TARGET, {"seed": "one"}, ValueError, "seed is 'one'"),
    (X, TARGET, {"learning_rate": bp.schedules.Cosine}, ValueError, "learning_rate of SGD is <class"),
    (X, TARGET, {"callbacks": bp.EarlyStopping()}, TypeError, "callbacks is EarlyStopping(patience=10, min_delta=0.0), and"),
    (
        X,
        TARGET,
        {"callbacks": [bp.EarlyStopping]},
        TypeError,
        "functions of a training, such as EarlyStopping()",
    ),
    (X, TARGET, {"batch_size": 0}, ValueError, "batch_size is 0"),
    (X, TARGET, {"batch_size": True}, ValueError, "batch_size is True"),
    (X, TARGET, {"dropout": 1.0}, ValueError, "dropout is 1.0, and should be a number from 0 to below 1"),
    (X, TARGET, {"dropout": [0.1, 0.1]}, ValueError, "one for each hidden layer, of which there are 1"),
    (X, TARGET, {"validation_data": [X, TARGET]}, ValueError, "validation_data is a list, and should be a tuple"),
    (X, TARGET, {"validation_data": (X, TARGET[:3])}, ValueError, "target has shape (3, 2)"),
    (X, TARGET, {"callbacks": [3]}, TypeError, "callbacks holds 3, and should hold functions"),
]


@pytest.mark.parametrize("method", ["fit", "loss", "gradient"])
@pytest.mark.parametrize("target", [np.full((5, 5), 0.5), 0.1 * np.eye(5), np.eye(5)[:, [0, 1, 2, 3, 3]]])
def test_rows_of_probabilities_that_do_not_add_up_to_one_are_told(method, target):
    network = bp.Network([3, 4, 5], output_activation="softmax", backend="numpy", seed=0)
    x = np.random.default_rng(0).random((5, 3))
    with pytest.warns(UserWarning, match="the rows of target add up to numbers from") as caught:
        getattr(network, method)(x, target, "cross_entropy")
    assert [each.filename for each in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(network, method)(x, np.eye(5), "cross_entropy")
        getattr(network, method)(x, (0.9 * np.eye(5) + 0.0167).round(2), "cross_entropy")
        getattr(network, method)(x, target, "squared_error")


@pytest.mark.parametrize(("x", "target", "options", "error", "message"), BAD_FITS)
def test_bad_fits_change_nothing(x, target, options, error, message):
    network = bp.Network([3, 5, 2], backend="numpy", seed=0)
    layers, state = network.layers, generator_state(network)
    with pytest.raises(error, match=re.escape(message)):
        network.fit(x, target, **options)
    assert network.layers is layers
    assert generator_state(network) == state


@pytest.mark.parametrize(("x", "target", "options", "error", "message"), BAD_DATA)
def test_bad_data_are_refused_alike_by_every_backend(on_target, x, target, options, error, message):
    network = on_target.network([3, 5, 2], seed=0)
    for method in (network.loss, network.gradient, network.input_gradient):
        with pytest.raises(error, match=re.escape(message)):
            method(x, target, **options)


class Callable:
    """An activation that is callable, too."""

    def __init__(self, function):
        self.function = function

    def __call__(self, net):
        return self.function(net)

    value = __call__

    def delta(self, slope, signal):
        return slope


def test_two_callable_activations_are_not_a_pair(on_target):
    network = on_target.network([3, 5, 2], [Callable(lambda net: net), Callable(lambda net: 2.0 * net)], seed=0)
    on_target.assert_close(network.to(on_target.flag).predict(X), on_target.values(network.predict(X)))


def test_classes_of_the_backend_s_library_do_not_wrap_around(on_target):
    network = on_target.network([3, 5, 2], seed=0)
    xp, device = network.backend.xp, network.backend.device
    far = xp.asarray([2**32 + 1] * 12, dtype=xp.int64, device=device)
    with pytest.raises(ValueError, match="this loss takes classes from 0 to 1|int32 represents numbers only up to"):
        network.loss(X, far, "cross_entropy")


class Counted:
    """Data that count how often they are converted, and have no shape of their own."""

    def __init__(self, data):
        self.data, self.count = data, 0

    def __array__(self, dtype=None, copy=None):
        self.count += 1
        return np.asarray(self.data, dtype=dtype)


def test_data_are_converted_once():
    x, target = Counted(X), Counted(TARGET)
    bp.Network([3, 2], backend="numpy", seed=0).fit(x, target)
    assert (x.count, target.count) == (1, 1)


def test_only_generators_that_files_can_store_are_accepted():
    network = bp.Network([3, 2], backend="numpy", seed=0)
    assert (
        bp.Network([3, 2], backend="numpy", seed=np.random.default_rng(0)).layers[0].weight[0, 0]
        == network.layers[0].weight[0, 0]
    )
    for kind in (np.random.MT19937, np.random.PCG64DXSM):
        with pytest.raises(ValueError, match="use numpy.random.default_rng"):
            bp.Network([3, 2], backend="numpy", seed=np.random.Generator(kind(0)))
        with pytest.raises(ValueError, match="use numpy.random.default_rng"):
            network.fit(X, TARGET, seed=np.random.Generator(kind(0)))


def test_generators_of_callbacks_are_called():
    seen = []
    bp.Network([3, 2], backend="numpy").fit(X, TARGET, epochs=3, callbacks=(f for f in [seen.append]))
    assert len(seen) == 3


@pytest.mark.parametrize("decimals", ["4", 400, -1, 2.0])
def test_wrong_decimals(decimals):
    with pytest.raises(ValueError, match="and should be a whole number from 0 to 15, or None"):
        bp.Network([3, 2], backend="numpy").trace(X, TARGET, decimals=decimals)


def test_target_bounds_hold_without_check_finite():
    network = bp.Network([3, 2], "identity", backend="numpy", check_finite=False)
    with pytest.raises(ValueError, match="this loss takes numbers from 0 to 1"):
        network.loss(X, np.full((12, 2), 100.0), "binary_cross_entropy")


def test_check_finite_false_accepts_nan_and_infinity(on_target):
    network = on_target.network([3, 5, 2], seed=0, check_finite=False)
    out = on_target.values(network.predict(NAN))
    assert np.isnan(out[1]).all() and np.isfinite(out[0]).all()
