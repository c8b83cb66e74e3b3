"""The recorded loop of NumPy and PyTorch gives what calling the function gives, and calls it where replay would not."""

import contextlib
import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS, Activation
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS, Clipped, Optimizer, Penalized, SGDState
from portable_bp.algorithm.schedules import Cosine, WarmUp
from portable_bp.backends import cache
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends.graph import loop as recorded_loop
from portable_bp.backends.graph import passes
from portable_bp.backends.graph.printers import block, block_source, source
from portable_bp.backends.graph.printers import calls as executable
from portable_bp.backends.graph.printers import numba as numba_printer
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.backends.graph.trace import record
from portable_bp.backends.loops import plain_loop
from portable_bp.common.trees import leaves
from tests.support.cuda_on_cpu import HAS_COMPILER, BlockOnTheHost, need_compiler
from tests.support.kernels_in_python import FusedOnTheHost
from tests.support.networks import bits, parameters
from tests.support.source_in_python import interpreted
from tests.support.targets import TARGETS, arranged, usable

POSITIVE_OUTPUT = {"poisson": "exp"}


class Replayed(list):
    """The numbers of steps that were replayed instead of called, run by run, and the backend."""

    def __init__(self, flag, kind):
        self.flag = flag
        self.kind = kind or ("CupyExecutable" if flag.startswith("cupy") else "Executable")  # the name of what should run
        self.kinds = set()  # of executables that ran

    @property
    def rehearsals(self):
        """How many steps of one shape are replayed as rehearsals: one that is compared with a called one.

        On CuPy there is one more, and with nvmath-python another by the CUDA graph of its calls, which is compared with it.
        """
        if not self.flag.startswith("cupy"):
            return 1
        try:
            from nvmath.bindings import cublas  # noqa: F401  without it there are no graphs
        except ImportError:
            return 2
        return 3


# Ways to run compiled steps without a compiler or a GPU: the library, and the name of its executable.
EMULATED = {
    "source": (numba_printer.CompiledLibrary, "CompiledExecutable"),
    "block": (BlockOnTheHost, "BlockExecutable"),
}


@pytest.fixture(params=["fused", *EMULATED, *usable(["numpy", "torch", "cupy-pretended", "cupy", "torch-cuda"])])
def replayed(request, monkeypatch):
    """Count the steps that are replayed instead of called, also by kernels of a GPU and by source, both on the host."""
    name = "numpy" if request.param in ("fused", *EMULATED) else request.param
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")
    library, kind = EMULATED.get(request.param, (None, None))
    if library:
        if request.param == "block":
            need_compiler()
        monkeypatch.setattr(numba_printer, "compiled", interpreted)
        monkeypatch.setattr(library, "pays", lambda *_: True)
        monkeypatch.setattr(numpy_backend, "CompiledLibrary", library)
        cache.clear()
        request.addfinalizer(cache.clear)
    if request.param == "fused":
        monkeypatch.setattr(numpy_backend, "NumpyLibrary", FusedOnTheHost)
        cache.clear()
        request.addfinalizer(cache.clear)
    steps = Replayed(TARGETS[name], kind)
    for each in (executable.Executable, block.BlockExecutable):

        def counted(self, carry, items, numbers, run=each.run):
            steps.append(len(numbers))
            steps.kinds.add(type(self))
            return run(self, carry, items, numbers)

        monkeypatch.setattr(each, "run", counted)
    with arranged(name, monkeypatch):
        yield steps


def trained(replayed, few, sizes, fit, dtype="float64", samples=41, **options):
    """Return the weights and losses after training, and how many steps were replayed."""
    network = bp.Network(sizes, backend=replayed.flag, dtype=dtype, seed=3, **options)
    generator = np.random.default_rng(5)
    x = generator.normal(size=(samples, sizes[0]))
    classes = fit.get("loss") == "cross_entropy"
    target = generator.integers(0, sizes[-1], samples) if classes else generator.random((samples, sizes[-1]))
    replayed.clear()
    replayed.kinds.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_loop, "MIN_STEPS", few)
        history = network.fit(x, target, epochs=3, batch_size=4, **fit)
    return parameters(network), history.loss, sum(replayed)


def assert_replays_as_called(replayed, sizes, fit, dtype="float64", **options):
    called, losses, none = trained(replayed, 10**9, sizes, fit, dtype, **options)
    mine, my_losses, steps = trained(replayed, 2, sizes, fit, dtype, **options)
    assert none == 0 and steps > 20
    assert {kind.__name__ for kind in replayed.kinds} == {replayed.kind}
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for one, other in zip(mine, called, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(my_losses, losses, rtol=tolerance)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_replayed(replayed, loss):
    fit = {"loss": loss, "learning_rate": 0.01}
    output = POSITIVE_OUTPUT.get(loss, "identity")
    assert_replays_as_called(replayed, [5, 7, 3], fit, activation="tanh", output_activation=output)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_replayed(replayed, activation):
    assert_replays_as_called(replayed, [5, 7, 3], {"learning_rate": 1e-3}, activation=activation)


@pytest.mark.parametrize("replayed", ["source"], indirect=True)
@pytest.mark.parametrize("looped", [0, 10**6], ids=["BLAS", "loops"])
@pytest.mark.parametrize(
    "optimizer", ["sgd", Penalized(bp.optimizers.SGD(0.1), l2=0.1), Clipped(bp.optimizers.SGD(0.1))], ids=str
)
def test_products_are_added_to_large_weights(replayed, monkeypatch, optimizer, looped):
    monkeypatch.setattr(passes, "LARGE", 2)
    monkeypatch.setattr(source, "LOOPED", looped)
    assert_replays_as_called(replayed, [5, 7, 6, 3], {"optimizer": optimizer}, activation="tanh")


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
def test_every_optimizer_is_replayed(replayed, optimizer, dtype):
    fit = {"optimizer": optimizer}
    assert_replays_as_called(replayed, [5, 7, 6, 3], fit, dtype, activation="tanh")


@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    sizes=st.lists(st.sampled_from([1, 2, 5, 160, 300]), min_size=2, max_size=5),
    optimizer=st.sampled_from(["sgd", "nesterov", "adam", "adamw"]),
    activation=st.sampled_from(["sigmoid", "relu", "elu", "softmax"]),
    bias=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
)
@pytest.mark.parametrize(
    "replayed", ["fused", *usable(["numpy", "torch", "cupy-pretended", "cupy", "torch-cuda"])], indirect=True
)
def test_networks_of_any_size_are_replayed(replayed, sizes, optimizer, activation, bias, dropout):
    fit = {"optimizer": optimizer, "learning_rate": 0.001, "dropout": dropout}
    assert_replays_as_called(replayed, sizes, fit, activation=activation, bias=bias)


@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    sizes=st.lists(st.sampled_from([1, 3, 8, 24, 40]), min_size=2, max_size=4),
    optimizer=st.sampled_from(["sgd", "momentum", "adam"]),
    dropout=st.sampled_from([0.0, 0.3]),
    busy=st.sampled_from([1, 8, 96]),
)
@pytest.mark.parametrize("replayed", ["block"], indirect=True)
def test_networks_of_any_size_are_replayed_in_one_block(replayed, monkeypatch, sizes, optimizer, dropout, busy):
    monkeypatch.setattr(block_source, "SINGLE", block_source.SINGLE._replace(min_tiles=busy))
    fit = {"optimizer": optimizer, "learning_rate": 0.001, "dropout": dropout}
    assert_replays_as_called(replayed, sizes, fit, activation="softplus")


def test_arguments_are_not_changed(replayed):
    network = bp.Network([3, 4, 2], backend=replayed.flag, seed=0)
    before = [np.array(network.backend.to_numpy(parameter)) for parameter in leaves(network.layers)]
    kept = []
    given = network.layers
    network.fit(np.eye(3), np.ones((3, 2)), epochs=20, callbacks=[lambda training: kept.append(training.layers)])
    assert sum(replayed) > 0
    for parameter, copy in zip(leaves(given), before, strict=True):
        np.testing.assert_array_equal(network.backend.to_numpy(parameter), copy)
    weights = [network.backend.to_numpy(layers[0].weight) for layers in kept]
    for earlier, later in itertools.pairwise(weights):
        assert (earlier != later).any(), "an epoch's weights were written over by the next"


def looks(net):
    """Cannot be recorded, since it reads a number."""
    return net if float(net[0, 0]) > 0.0 else 2.0 * net


class Counting:
    """An optimizer that stores its count in an attribute."""

    def __init__(self):
        self.count = 0

    def init(self, layers):
        return SGDState(0 * layers[0].bias[0])

    def update(self, gradient, state, layers):
        self.count += 1
        rate = 0.001 / self.count
        moved = [type(a)(a.weight - rate * g.weight, 1.0 * a.bias) for a, g in zip(layers, gradient, strict=True)]
        return moved, SGDState(state.count + 1)


class PythonCount(Counting):
    """An optimizer whose state is a Python number."""

    def init(self, layers):
        return SGDState(0)


@pytest.mark.parametrize(
    ("fit", "activation"),
    [
        ({"optimizer": PythonCount}, "tanh"),
        ({"learning_rate": 0.01}, (looks, lambda slope, signal: slope)),
    ],
    ids=["has a Python number", "looks at a number"],
)
def test_functions_that_cannot_be_replayed_are_called(replayed, fit, activation):
    fit_of = {name: value() if isinstance(value, type) else value for name, value in fit.items()}
    expected, losses, _ = trained(replayed, 10**9, [4, 5, 2], fit_of, activation=activation)
    fit_of = {name: value() if isinstance(value, type) else value for name, value in fit.items()}
    mine, my_losses, steps = trained(replayed, 2, [4, 5, 2], fit_of, activation=activation)
    assert steps <= 2, "no more than rehearsals"
    assert my_losses == losses
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_piece_that_counts_its_calls_is_called(replayed, dtype):
    """Steps are compared by their change: Adam's is small compared with the weights, and an error in it would be too."""
    counting = Counting()
    expected, losses, _ = trained(replayed, 10**9, [4, 5, 2], {"optimizer": Counting()}, dtype, samples=40, activation="tanh")
    mine, my_losses, steps = trained(replayed, 2, [4, 5, 2], {"optimizer": counting}, dtype, samples=40, activation="tanh")
    trials = 1 + (replayed.kind in ("CompiledExecutable", "BlockExecutable"))  # and then those of the calls
    assert steps == trials and counting.count == 3 * 10, "recording is not seen by the piece"
    assert my_losses == losses
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)


class OwnAdam(Counting):
    """Adam that stores its count and averages in attributes, as in textbooks."""

    def __init__(self):
        super().__init__()
        self.averages = None

    def update(self, gradient, state, layers):
        self.count += 1
        if self.averages is None:
            self.averages = [(0.0 * slope.weight, 0.0 * slope.weight) for slope in gradient]
        moved = []
        for number, (layer, slope) in enumerate(zip(layers, gradient, strict=True)):
            first, second = self.averages[number]
            first, second = 0.9 * first + 0.1 * slope.weight, 0.999 * second + 0.001 * slope.weight**2
            self.averages[number] = first, second
            root = (second / (1.0 - 0.999**self.count)) ** 0.5 + 1e-8
            moved.append(layer._replace(weight=layer.weight - 0.001 * (first / (1.0 - 0.9**self.count)) / root))
        return moved, SGDState(state.count + 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_piece_that_stores_arrays_is_called(replayed, dtype):
    expected, losses, _ = trained(replayed, 10**9, [4, 5, 2], {"optimizer": OwnAdam()}, dtype, activation="tanh")
    mine, my_losses, _ = trained(replayed, 2, [4, 5, 2], {"optimizer": OwnAdam()}, dtype, activation="tanh")
    assert my_losses == losses
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_changes_between_two_fits_take_effect(replayed):
    """A loop is cached for equal pieces, and what a piece refers to may have changed since."""
    rate = [0.5]

    def update(gradient, state, layers):
        moved = [
            layer._replace(weight=layer.weight - rate[0] * slope.weight) for layer, slope in zip(layers, gradient, strict=True)
        ]
        return [layer._replace(bias=1.0 * layer.bias) for layer in moved], state

    network = bp.Network([3, 4, 2], backend=replayed.flag, seed=0)
    optimizer = Optimizer(lambda layers: (), update)
    network.fit(np.eye(3), np.ones((3, 2)), optimizer=optimizer, epochs=20)
    rate[0] = 0.0
    before = network.backend.to_numpy(network.layers[0].weight).copy()
    network.fit(np.eye(3), np.ones((3, 2)), optimizer=optimizer, epochs=20)
    np.testing.assert_array_equal(network.backend.to_numpy(network.layers[0].weight), before)
    rate[0] = 0.5
    network.fit(np.eye(3), np.ones((3, 2)), optimizer=optimizer, epochs=20)
    assert (network.backend.to_numpy(network.layers[0].weight) != before).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_fit_is_replayed_from_its_first_step_and_gives_the_same_bits(replayed, dtype):
    found = []
    x, target = np.random.default_rng(1).normal(size=(2, 26, 3))
    for rehearsals in (2 * replayed.rehearsals, 0, 0):  # of a full batch and of the last one
        network = bp.Network([3, 4, 3], backend=replayed.flag, dtype=dtype, seed=0)
        replayed.clear()
        network.fit(x, target, optimizer=bp.optimizers.Adam(0.0123), batch_size=4, epochs=5)
        assert sum(replayed) == rehearsals + 5 * 7
        found.append(tuple(bits(network)))
    assert len(set(found)) == 1


def test_values_that_a_step_returns_unchanged_are_replayed(replayed):
    fit = {"optimizer": bp.optimizers.Steered(bp.optimizers.Adam(0.01))}
    assert_replays_as_called(replayed, [5, 7, 3], fit)


def test_data_that_overlap_in_one_fit_need_not_in_the_next(replayed):
    x, target = np.random.default_rng(1).normal(size=(2, 24, 3))
    found = {}
    for few in (2, 10**9):
        network = bp.Network([3, 4, 3], backend=replayed.flag, dtype="float64", seed=0)
        given = [network.backend.asarray(array) for array in (x, target)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recorded_loop, "MIN_STEPS", few)
            for data in ((given[0], given[0]), (given[0], given[1]), (given[1], given[0])):
                network.fit(*data, batch_size=4, epochs=2, learning_rate=0.0234)
        found[few] = parameters(network)
    for mine, called in zip(found[2], found[10**9], strict=True):
        np.testing.assert_allclose(mine, called, rtol=1e-11, atol=1e-11)


def test_data_that_are_one_array_in_one_run_need_not_be_in_the_next(replayed):
    """The item chooses between two arrays, so that comparing the first step alone does not find one that is read twice."""
    backend = bp.select_backend(replayed.flag, dtype="float64")

    def choose(carry, data, item):
        (numbers,), (first, second) = carry, data
        return (numbers + 0.1 * numbers * (second + item * (first - second)),)

    loop, given = backend.loop(choose), np.random.default_rng(0).normal(size=(3, 4, 3))
    start, *arrays = map(backend.asarray, given)
    for one, other in ((0, 0), (0, 1), (1, 0)):
        (found,) = loop((arrays[one], arrays[other]))((start,), backend.asarray([1.0, 0.0, 0.0]), 3)
        expected = given[0]
        for chosen in (one, other, other):
            expected = expected + 0.1 * expected * given[1 + chosen]
        np.testing.assert_allclose(backend.to_numpy(found), expected, rtol=1e-12)
    assert sum(replayed) > 0


def test_one_step_alone_is_called(replayed):
    network = bp.Network([3, 4, 2], backend=replayed.flag, seed=0)
    network.fit(np.ones((12, 3)), np.ones((12, 2)))
    assert not replayed


BUFFER = np.empty((4, 30))
UNRECORDABLE = {
    "parts in a tuple": lambda net: np.concatenate(np.array_split(0.9 * net, 2, axis=0), axis=0),
    "a question about numbers": lambda net: net * (1.0 if np.allclose(net, 0.0, atol=1.2) else 0.5),
    "an array of its own to write into": lambda net: np.tanh(net, out=BUFFER[: net.shape[0]]) + 0.0,
    "a choice by a mask": lambda net: net / (1.0 + np.sum(np.abs(net[np.abs(net) > 1.5]))),
    "places that are not zero": lambda net: net / (1.0 + np.flatnonzero(net > 1.5).shape[0]),
}


@pytest.mark.parametrize("replayed", ["numpy", "fused", "source"], indirect=True)
@pytest.mark.parametrize("value", UNRECORDABLE.values(), ids=UNRECORDABLE)
def test_functions_that_would_be_recorded_wrongly_are_called(replayed, value):
    activation = Activation(value, lambda slope, signal: slope * 0.9)
    expected, losses, _ = trained(replayed, 10**9, [4, 30, 3], {"learning_rate": 0.01}, activation=[activation, "identity"])
    mine, my_losses, steps = trained(replayed, 2, [4, 30, 3], {"learning_rate": 0.01}, activation=[activation, "identity"])
    assert steps <= 1 and my_losses == losses
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("replayed", ["numpy", "fused"], indirect=True)
def test_pieces_written_with_numpy_are_replayed(replayed):
    """Functions and methods of NumPy itself, a square, an augmented assignment and a condition, as users write them."""

    def value(net):
        out = np.exp(-(net**2))
        out += 0.5
        return np.where(net > 0.0, out, np.clip(net, -1.0, None))

    def delta(slope, signal):
        turned = np.take(signal.out, np.arange(signal.out.shape[-1])[::-1], axis=-1)
        root = np.sqrt(np.sum(turned**2, axis=-1, keepdims=True, initial=0.5))
        return slope * np.sign(signal.net) * signal.out.mean(axis=0) * root

    assert_replays_as_called(replayed, [4, 30, 3], {"learning_rate": 0.01}, activation=Activation(value, delta))


def test_a_piece_that_fails_raises_its_own_error():
    def update(gradient, state, layers):
        if state == 6:
            raise RuntimeError("enough of it")
        return layers, state + 1

    network = bp.Network([2, 2], backend="numpy", seed=0)
    with pytest.raises(RuntimeError, match="enough of it"):
        network.fit([[1.0, 2.0]], [[0.0, 1.0]], optimizer=Optimizer(lambda layers: 0, update), epochs=10)


ON_ONE = [
    *(np.tanh, np.negative, lambda a: np.maximum(a, 0.1), lambda a: np.where(a > 0.0, a, 0.5 * a), lambda a: 0.9 * a),
    *(lambda a: np.swapaxes(a, -1, -2), lambda a: a[1:], lambda a: a[..., :1], lambda a: np.cumsum(a, axis=-1)),
    *(lambda a: np.sum(a, axis=-1, keepdims=True), lambda a: np.sum(a, axis=0), lambda a: np.max(a, axis=-1)),
    *(lambda a: np.take(a, np.zeros(3, int), axis=0), lambda a: (a > 0.0).astype(np.float64)),
]
ON_TWO = [
    *(np.add, np.subtract, np.multiply, lambda a, b: 0.3 * np.matmul(a, b)),
    lambda a, b: np.tanh(np.matmul(np.swapaxes(a, -1, -2), b)),
]
AFTER = [
    lambda old, new: old - 0.1 * new,
    lambda old, new: np.tanh(0.9 * old + 0.1 * new),
    lambda old, new: new,
    lambda old, new: old,
]


def draw_program(generator, carry, constants, item):
    """Return a function that makes random calls, some of them the same for several arrays of the carry."""
    calls, values = [], [*carry, *constants, *item]
    for _ in range(generator.integers(25)):
        call = generator.choice(ON_ONE + ON_TWO)
        places = generator.integers(len(values), size=1 + (call in ON_TWO))
        with contextlib.suppress(ValueError, IndexError):  # where shapes do not fit, the call is left out
            values.append(call(*(values[place] for place in places)))
            calls.append((call, places))
    ends = []
    for old in carry:
        alike = [place for place, value in enumerate(values) if value.shape == old.shape]
        ends.append((generator.choice(AFTER, p=[0.3, 0.4, 0.15, 0.15]), generator.choice(alike[-4:])))

    def program(carry, constants, item):
        values = [*carry, *constants, *item]
        for call, places in calls:
            values.append(call(*(values[place] for place in places)))
        return tuple(after(old, values[place]) for old, (after, place) in zip(carry, ends, strict=True))

    return program


@hypothesis.settings(max_examples=600, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    seed=st.integers(0, 2**32),
    library=st.sampled_from([NumpyLibrary, FusedOnTheHost, numba_printer.CompiledLibrary, *[BlockOnTheHost] * HAS_COMPILER]),
)
def test_programs_drawn_at_random_are_replayed_as_they_are_called(monkeypatch, seed, library):
    """Without a rehearsal, which would hide a result that is overwritten too early."""
    generator = np.random.default_rng(seed)
    shapes = [(), (1,), (2,), (3,), (2, 3), (3, 3), (3, 1), (3, 2)]
    carried, staying, arriving = ([shapes[n] for n in generator.integers(8, size=most)] for most in (4, 2, 2))
    carry, constants = (tuple(generator.normal(size=size) for size in sizes) for sizes in (carried, staying))
    items = tuple(generator.normal(size=(5, *size)) for size in arriving)
    program = draw_program(generator, carry, constants, [array[0, ...] for array in items])
    given = [array.copy() for array in (*carry, *constants, *items)]
    expected = plain_loop(program)(constants)(carry, items, 5)
    monkeypatch.setattr(passes, "LARGE", 2)
    library = library()
    try:
        graph = record(library, program, carry, constants, tuple(array[0, ...] for array in items))
    except TypeError as error:
        hypothesis.assume("in the place of another" not in str(error))
        raise
    graph = functools.reduce(lambda graph, improve: improve(graph), library.passes, graph)
    schedule = Schedule(graph, library.max_fused)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba_printer, "compiled", interpreted)
        try:
            runs = library.executable(schedule, constants)
        except TypeError as error:
            hypothesis.assume("not compiled" not in str(error))
            raise
        replayed = runs.run(carry, items, range(5))
    for mine, theirs in zip(replayed, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    for array, copy in zip((*carry, *constants, *items), given, strict=True):
        np.testing.assert_array_equal(array, copy)
