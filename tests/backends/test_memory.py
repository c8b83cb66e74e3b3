"""Running out of memory, on a device of a given capacity that counts what every array takes."""

import gc
import re
import tracemalloc
import weakref

import array_api_strict
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.choices import resolve_activations, resolve_loss, resolve_optimizer
from portable_bp.algorithm.needs import Need, need_of_output, need_of_step
from portable_bp.backends import Memory, memory, selector, strict
from portable_bp.backends.loops import plain_loop
from portable_bp.backends.strict import StrictBackend
from portable_bp.common.trees import leaves
from portable_bp.estimators import MLPClassifier, MLPRegressor
from portable_bp.training.step import Batch, MeanLoss, Pieces, Progress, step

GENERATOR = np.random.default_rng(0)
X, TARGET = GENERATOR.normal(size=(3000, 20)), GENERATOR.normal(size=(3000, 2))


class SmallBackend(StrictBackend):
    """A device that reports its memory."""

    capacity = 2**62
    used = 0

    def memory(self):
        return Memory(type(self).capacity - type(self).used, type(self).capacity)


@pytest.fixture
def device(monkeypatch):
    """A device of array-api-strict that counts every array for as long as something refers to it."""
    make, held = array_api_strict._array_object.Array._new.__func__, {}
    small = type("SmallBackend", (SmallBackend,), {})

    def release(key):
        small.used -= held.pop(key)

    def counted(cls, x, /, device):
        array = make(cls, x, device)
        owner = array._array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if device == array_api_strict.Device("device2") and id(owner) not in held:
            if small.used + owner.nbytes > small.capacity:
                raise MemoryError(f"Unable to allocate {owner.nbytes / 1024:.2f} KiB for an array with shape {owner.shape}")
            held[id(owner)] = owner.nbytes
            small.used += owner.nbytes
            weakref.finalize(owner, release, id(owner)).atexit = False
        return array

    monkeypatch.setattr(array_api_strict._array_object.Array, "_new", classmethod(counted))
    monkeypatch.setattr(strict, "StrictBackend", small)
    selector._backend.cache_clear()
    yield small
    selector._backend.cache_clear()


def advised(error, pattern):
    """Return the number that an error advises, after matching its message with a pattern."""
    found = re.search(f"^{pattern}$", str(error.value))
    assert found, str(error.value)
    return int(found[1].replace(",", ""))


SAID = (
    r"ran out of memory on strict:device2 \(a request for [\d.]+ [kM]B failed\); "
    r"[\d.]+ [kM]B of [\d.]+ MB is free, enough for [\d,]+: "
)


RESTS: list[dict] = [{}, {"dropout": 0.3}, {"validation_data": (X[:50], TARGET[:50])}, {"batch_size": 2000}]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("rest", RESTS, ids=["all at once", "dropout", "validation", "batches"])
def test_the_advised_batch_size_fits(device, optimizer, rest):
    network = bp.Network([20, 50, 30, 2], "gelu", backend="strict:device2", seed=0)
    layers, callbacks = network.layers, [bp.EarlyStopping(patience=2)]
    # Dropout masks are drawn for many batches ahead.
    device.capacity = 4_500_000 if "dropout" in rest else 1_500_000

    def learn(**options):
        return network.fit(X, TARGET, optimizer=optimizer, epochs=4, callbacks=callbacks, seed=0, **options)

    with pytest.raises(MemoryError) as told:
        learn(**rest)
    size = advised(told, rf"training on batches of [23],000 samples {SAID}give batch_size=(\d+)\.")
    assert network.layers == layers
    assert size >= 32, "arrays of the failed attempt must not count as used"
    del told
    gc.collect()
    learn(**rest | {"batch_size": size})
    with pytest.raises(MemoryError):
        learn(**rest | {"batch_size": 8 * size})


@pytest.mark.parametrize("method", ["loss", "gradient", "input_gradient", "trace", "hidden", "predict"])
def test_the_advised_number_of_samples_fits(device, method):
    network = bp.Network([20, 50, 30, 2], "gelu", backend="strict:device2", seed=0)
    arguments = (X,) if method in ("hidden", "predict") else (X, TARGET)
    device.capacity = 1_500_000
    with pytest.raises(MemoryError) as told:
        getattr(network, method)(*arguments)
    size = advised(told, rf"[a-z ]+ 3,000 samples at once {SAID}give at most ([\d,]+) at a time\.")
    assert size >= 256
    del told
    gc.collect()
    getattr(network, method)(*(each[:size] for each in arguments))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimators_give_the_same_advice(device, kind, solver):
    samples, y = X.astype("float32"), TARGET[:, 0] if kind is MLPRegressor else (TARGET[:, 0] > 0).astype(int)
    options = {"hidden_layer_sizes": (50, 30), "backend": "strict:device2", "max_iter": 3, "random_state": 0}
    device.capacity = 1_500_000
    with pytest.raises(MemoryError) as told:
        kind(solver=solver, batch_size=3000, **options).fit(samples, y)
    doing = "lbfgs with 3,000 samples at once" if solver == "lbfgs" else "training on batches of 3,000 samples"
    remedy = r"use solver='adam' with batch_size=(\d+)" if solver == "lbfgs" else r"give batch_size=(\d+)"
    size = advised(told, f"{doing} {SAID}{remedy}\\.")
    del told
    gc.collect()
    model = kind(solver="adam" if solver == "lbfgs" else solver, batch_size=size, **options).fit(samples, y)
    device.capacity = device.used + 700_000
    with pytest.raises(MemoryError, match=r"^predicting 3,000 samples at once ran out .*give at most \d+ at a time\.$"):
        model.predict(samples)


@pytest.mark.parametrize("method", ["fit", "gradient"])
def test_failed_arrays_are_released_before_free_memory_is_measured(device, method):
    network = bp.Network([20, 50, 30, 2], "gelu", backend="strict:device2", seed=0)
    x, target = network.backend.asarray(X), network.backend.asarray(TARGET)
    there = device.used
    device.capacity = 5_000_000
    with pytest.raises(MemoryError, match=f"{memory.format_bytes(device.capacity - there)} of 5 MB is free"):
        getattr(network, method)(x, target)


@pytest.mark.parametrize("method", ["fit", "gradient", "input_gradient", "loss", "trace", "hidden", "predict"])
def test_a_stored_traceback_holds_no_data(device, method):
    """A notebook keeps the traceback while the user tries again in the next cell."""
    network = bp.Network([20, 50, 30, 2], "gelu", backend="strict:device2", seed=0)
    there = device.used
    device.capacity = 600_000
    with pytest.raises(MemoryError) as told:
        getattr(network, method)(*([X] if method in ("hidden", "predict") else [X, TARGET]))
    assert told.value.__traceback__ is not None
    gc.collect()
    assert device.used == there


def test_data_that_do_not_fit(device):
    network = bp.Network([20, 5, 2], backend="strict:device2", seed=0)
    device.capacity = 100_000
    message = (
        r"converting x ran out of memory on strict:device2 \(a request for 240 kB failed\); x takes 240 kB and 99.* kB of "
        "100 kB is free: use fewer samples or a smaller network, or a device with more memory."
    )
    for run in (network.loss, network.fit, network.gradient):
        with pytest.raises(MemoryError, match=f"^{message}$"):
            run(X, TARGET)
    double = network.to("strict:device2", dtype="float64")
    with pytest.raises(MemoryError, match="a device with more memory, or dtype='float32'"):
        double.loss(X, TARGET)


def test_a_network_that_is_too_large(device):
    network = bp.Network([20, 50, 30, 2], backend="strict:device2", seed=0)
    device.capacity = device.used + 2_000
    with pytest.raises(MemoryError, match="not enough for one: use a smaller network, or a device with more memory"):
        network.fit(X[:2], TARGET[:2], optimizer="adam")


def test_unknown_free_memory(device, monkeypatch):
    network = bp.Network([20, 50, 30, 2], backend="strict:device2", seed=0)
    monkeypatch.setattr(device, "memory", lambda _: None)
    device.capacity = 1_000_000
    message = "ran out .*failed\\); this takes up to [0-9.]+ MB, and the free memory is unknown: give batch_size=1500"
    with pytest.raises(MemoryError, match=message):
        network.fit(X, TARGET)


def test_the_network_keeps_its_last_finished_epoch(device):
    network = bp.Network([20, 50, 30, 2], backend="strict:device2", seed=0)
    kept = []

    def shrink(training):
        kept.append(training.layers)
        device.capacity = device.used if training.epoch == 2 else device.capacity

    with pytest.raises(MemoryError):
        network.fit(X, TARGET, epochs=5, batch_size=100, callbacks=[shrink])
    assert len(network.history.loss) == len(kept) == 2
    assert network.layers == tuple(kept[-1])


def test_need_fitting():
    assert Need(100, 10).fitting(1124) == 64
    assert Need(100, 10).fitting(110) == 1
    assert Need(100, 10).fitting(109) == 0
    assert Need(100, 10).fitting(0) == 0


SHAPES = [[300, 400, 400, 300], [100, 1500, 10], [1000, 60], [64] * 12, [20, 700, 300, 100, 900, 5]]
CASES = [
    ("gelu", "squared_error", "adam", 2000),
    ("sigmoid", "huber", "momentum", 2000),
    ("relu", "absolute_error", "sgd", 4000),
    ("identity", "quantile", "rmsprop", 1000),
    ("silu", "binary_cross_entropy", "nesterov", 500),
    ("elu", "cross_entropy", "adamw", 50),
    ("softplus", "squared_error", "adam", 8),
    ("tanh", "squared_error", "sgd", 1),
]


def peak(work):
    """Return the peak memory of work in bytes, without what was allocated before."""
    gc.collect()
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("flag", ["numpy", "strict"])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_a_step_takes_no_more_memory_than_estimated(flag, sizes, case):
    """With NumPy, which reuses some temporary arrays, and with its wrapper, which like CuPy does not."""
    activation, loss, optimizer, samples = case
    network = bp.Network(sizes, activation, "identity", backend=flag, seed=0)
    backend, layers = network.backend, list(network.layers)
    activations = resolve_activations(activation, "identity", len(layers))
    pieces = Pieces(activations, MeanLoss(resolve_loss(loss)), resolve_optimizer(optimizer, None))
    function = backend.compile(lambda *given: step(pieces, *given))
    state = pieces.optimizer.init(layers)
    x, target = backend.asarray(np.zeros((samples, sizes[0]))), backend.asarray(np.zeros((samples, sizes[-1])))
    indices = backend.asarray(np.tile(np.arange(samples), (3, 1)), "int32")
    carry = Progress(layers, state, backend.asarray(0.0))
    run = plain_loop(function)((x, target, None))
    most = peak(lambda: run(carry, Batch(indices, (None,) * (len(layers) - 1)), 3))
    need = need_of_step(layers, sum(leaf.size for leaf in leaves(state)))
    estimate = 4 * (need.fixed + need.per_sample * samples)
    assert most <= estimate
    # The identity makes a single array, other activations make three or more.
    assert estimate <= (4.5 if activation == "identity" else 2.5) * most, (
        f"{most / 1e6:.2f} MB, estimated as {estimate / 1e6:.2f} MB"
    )


@pytest.mark.parametrize("activation", ["gelu", "relu", "softmax", "softplus", "identity"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_predicting_takes_no_more_memory_than_estimated(sizes, activation):
    network = bp.Network(sizes, activation, backend="strict", seed=0)
    x = GENERATOR.normal(size=(2000, sizes[0])).astype("float32")
    most = peak(lambda: network.predict(x))
    need = need_of_output(network.layers)
    estimate = 4 * (need.fixed + need.per_sample * len(x))
    assert most <= estimate <= 4.0 * most, f"{most / 1e6:.2f} MB, estimated as {estimate / 1e6:.2f} MB"
