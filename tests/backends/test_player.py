"""The recorded loop of NumPy and PyTorch: it must give what calling the function gives, and notice where it would not."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS, Activation
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS, Clipped, Optimizer, Penalized, State
from portable_bp.algorithm.schedules import Cosine, WarmUp
from portable_bp.backends.recorded import player
from portable_bp.backends.recorded.numpy_calls import NumpyLibrary
from tests.conftest import why_unusable

POSITIVE_OUTPUT = {"poisson": "exp"}


class Played(list):
    """How many steps at a time were played instead of called, and on which backend."""

    def __init__(self, flag):
        self.flag = flag


@pytest.fixture(params=["numpy", "torch"])
def played(request, monkeypatch):
    """Count the steps that are played instead of called."""
    reason = why_unusable(request.param)
    if reason:
        pytest.skip(reason)
    steps = Played(request.param)
    run = player.Player.run

    def counted(self, carry, items, numbers):
        steps.append(len(numbers))
        return run(self, carry, items, numbers)

    monkeypatch.setattr(player.Player, "run", counted)
    return steps


def trained(played, few, sizes, fit, dtype="float64", samples=41, **options):
    """Return the weights and losses after training, and how many steps were played."""
    network = bp.Network(sizes, backend=played.flag, dtype=dtype, seed=3, **options)
    generator = np.random.default_rng(5)
    x = generator.normal(size=(samples, sizes[0]))
    classes = fit.get("loss") == "cross_entropy"
    target = generator.integers(0, sizes[-1], samples) if classes else generator.random((samples, sizes[-1]))
    played.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(player, "FEW", few)
        history = network.fit(x, target, epochs=3, batch_size=4, **fit)
    layers = [parameter for layer in network.layers for parameter in layer if parameter is not None]
    return list(map(network.backend.to_numpy, layers)), history.loss, sum(played)


def assert_plays_what_it_calls(played, sizes, fit, dtype="float64", **options):
    called, losses, none = trained(played, 10**9, sizes, fit, dtype, **options)
    mine, my_losses, steps = trained(played, 2, sizes, fit, dtype, **options)
    assert none == 0 and steps > 20
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for one, other in zip(mine, called, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(my_losses, losses, rtol=tolerance)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_played(played, loss):
    fit = {"loss": loss, "learning_rate": 0.01}
    output = POSITIVE_OUTPUT.get(loss, "identity")
    assert_plays_what_it_calls(played, [5, 7, 3], fit, activation="tanh", output_activation=output)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_played(played, activation):
    assert_plays_what_it_calls(played, [5, 7, 3], {"learning_rate": 1e-3}, activation=activation)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer",
    [
        *OPTIMIZERS,
        bp.optimizers.AdamW(WarmUp(Cosine(0.01, over=20), over=5), weight_decay=0.1),
        Penalized(bp.optimizers.Adam(0.01), l1=0.01, l2=0.1),
        Clipped(bp.optimizers.SGD(0.1), norm=0.01),
    ],
    ids=str,
)
def test_every_optimizer_is_played(played, optimizer, dtype):
    fit = {"optimizer": optimizer}
    assert_plays_what_it_calls(played, [5, 7, 6, 3], fit, dtype, activation="tanh")


@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    sizes=st.lists(st.sampled_from([1, 2, 5, 160, 300]), min_size=2, max_size=5),
    optimizer=st.sampled_from(["sgd", "nesterov", "adam", "adamw"]),
    activation=st.sampled_from(["sigmoid", "relu", "elu", "softmax"]),
    bias=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    block=st.sampled_from([7, 64, NumpyLibrary.block]),
)
def test_networks_of_any_size_are_played_in_blocks_of_any_size(played, sizes, optimizer, activation, bias, dropout, block):
    fit = {"optimizer": optimizer, "learning_rate": 0.001, "dropout": dropout}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumpyLibrary, "block", block)
        assert_plays_what_it_calls(played, sizes, fit, activation=activation, bias=bias)


def test_what_was_given_stays_as_it_was(played):
    network = bp.Network([3, 4, 2], backend=played.flag, seed=0)
    before = [parameter + 0.0 for layer in network.layers for parameter in layer]
    kept = []
    given = network.layers
    network.fit(np.eye(3), np.ones((3, 2)), epochs=20, callbacks=[lambda training: kept.append(training.layers)])
    assert sum(played) > 0
    for parameter, copy in zip([parameter for layer in given for parameter in layer], before, strict=True):
        assert bool((parameter == copy).all())
    for earlier, later in itertools.pairwise(kept):
        assert bool((earlier[0].weight != later[0].weight).any()), "an epoch's weights were written over by the next"


def looks(net):
    """Cannot be recorded: it looks at a number."""
    return net if float(net[0, 0]) > 0.0 else 2.0 * net


class Counting:
    """An optimizer that keeps its count to itself."""

    def __init__(self):
        self.count = 0

    def init(self, layers):
        return State(0 * layers[0].bias[0])

    def update(self, gradient, state, layers):
        self.count += 1
        rate = 0.5 / self.count
        moved = [type(a)(a.weight - rate * g.weight, a.bias - rate * g.bias) for a, g in zip(layers, gradient, strict=True)]
        return moved, State(state.count + 1)


class PythonCount(Counting):
    """An optimizer whose state is a Python number."""

    def init(self, layers):
        return State(0)


@pytest.mark.parametrize(
    ("fit", "activation"),
    [
        ({"optimizer": PythonCount}, "tanh"),
        ({"learning_rate": 0.01}, (looks, lambda slope, signal: slope)),
    ],
    ids=["has a Python number", "looks at a number"],
)
def test_what_cannot_be_played_is_called(played, fit, activation):
    fit_of = {name: value() if isinstance(value, type) else value for name, value in fit.items()}
    expected, losses, _ = trained(played, 10**9, [4, 5, 2], fit_of, activation=activation)
    fit_of = {name: value() if isinstance(value, type) else value for name, value in fit.items()}
    mine, my_losses, steps = trained(played, 2, [4, 5, 2], fit_of, activation=activation)
    assert steps <= 2, "no more than rehearsals"
    assert my_losses == losses
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_keeps_something_to_itself_is_called(played):
    """The rehearsal notices; the one more call that the recording takes cannot be undone."""
    counting = Counting()
    _, _, steps = trained(played, 2, [4, 5, 2], {"optimizer": counting}, samples=40, activation="tanh")
    assert steps == 1 and counting.count == 3 * 10 + 1


def test_pieces_written_with_numpy_are_played(played):
    """Functions of NumPy itself, a square, an augmented assignment and a condition: what people write."""
    if played.flag != "numpy":
        pytest.skip("these are NumPy's")

    def value(net):
        out = np.exp(-(net**2))
        out += 0.5
        return np.where(net > 0.0, out, np.clip(net, -1.0, None))

    def delta(slope, signal):
        return slope * np.sign(signal.net) * np.mean(signal.out, axis=0)

    assert_plays_what_it_calls(played, [4, 30, 3], {"learning_rate": 0.01}, activation=Activation(value, delta))


def test_a_piece_that_fails_says_so_itself():
    def update(gradient, state, layers):
        if state == 6:
            raise RuntimeError("enough of it")
        return layers, state + 1

    network = bp.Network([2, 2], backend="numpy", seed=0)
    with pytest.raises(RuntimeError, match="enough of it"):
        network.fit([[1.0, 2.0]], [[0.0, 1.0]], optimizer=Optimizer(lambda layers: 0, update), epochs=10)
