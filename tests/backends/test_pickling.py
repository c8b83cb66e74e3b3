"""Backends compare by value, and objects that hold arrays of any of them can be pickled and copied."""

import copy
import functools
import multiprocessing
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import carried, selector
from portable_bp.backends.pickling import BaseBackend
from tests.support.networks import bits

X = np.random.default_rng(0).normal(size=(12, 3))
COPIES = {
    "pickle": lambda given: pickle.loads(pickle.dumps(given)),
    "oldest pickle": lambda given: pickle.loads(pickle.dumps(given, 0)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
copied = pytest.mark.parametrize("make", COPIES.values(), ids=list(COPIES))
FIT = {"optimizer": "adam", "epochs": 3, "batch_size": 5, "dropout": 0.2}


def fitted(on_target, dtype="float64", **options):
    network = on_target.network([3, 5, 2], "tanh", seed=3, dtype=dtype, **options)
    network.notes["of"] = "a test"
    network.fit(X, X[:, :2], "absolute_error", **FIT)
    return network


@copied
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_copy_of_a_backend_is_the_backend(on_target, make, dtype):
    backend = on_target.backend(dtype)
    assert make(backend) is backend
    assert make([backend, {"b": backend}])[1]["b"] is backend


def test_backends_that_select_the_same_are_equal(on_target):
    backend, other = on_target.backend("float32"), on_target.backend("float64")
    flag = selector.flag_of(backend)
    selector._backend.cache_clear()
    again = bp.select_backend(flag)
    assert again is not backend and again == backend and hash(again) == hash(backend) and {again: 1}[backend] == 1
    assert backend != other and len({backend, again, other}) == 2
    assert backend != flag and backend != 5
    with pytest.raises(AttributeError):
        other.nothing  # noqa: B018


def test_backends_show_how_they_are_selected(on_target):
    backend = on_target.backend("float32")
    assert eval(repr(backend), {"select_backend": bp.select_backend}) == backend
    assert on_target.backend().name in repr(backend) and "float32" in repr(backend)


@pytest.mark.parametrize("precision", ["tf32", "mixed"])
@pytest.mark.parametrize("on_target", ["cupy-pretended"], indirect=True)
def test_a_precision_is_kept(on_target, precision):
    backend = bp.select_backend(on_target.flag, precision=precision)
    assert backend != on_target.backend("float32") and precision in repr(backend)
    for make in COPIES.values():
        assert make(backend) is backend


@copied
def test_a_copied_network_continues_as_the_original_would(on_target, make):
    network = fitted(on_target)
    twin, before, history = make(network), bits(network), copy.deepcopy(network.history)
    assert twin.backend is network.backend and type(twin.layers) is tuple
    assert bits(twin) == before
    for layer, own in zip(twin.layers, network.layers, strict=True):
        for array, original in zip(layer, own, strict=True):
            on_target.values(array)
            assert array is not original
    assert (twin.history, twin.notes, twin.loss_function) == (network.history, network.notes, network.loss_function)
    twin.fit(X, X[:, :2], "absolute_error", **FIT)
    twin.notes["of"] = "a copy"
    assert bits(network) == before and network.history == history and network.notes == {"of": "a test"}
    network.fit(X, X[:, :2], "absolute_error", **FIT)
    assert bits(network) == bits(twin) != before


def test_a_new_network_and_one_without_biases_are_copied(on_target):
    for network in (
        on_target.network([3, 2]),
        on_target.network([3, 4, 2], bias=False),
        on_target.network([3, 2], dtype="float32"),
    ):
        for make in COPIES.values():
            assert bits(make(network)) == bits(network)


class Bigger(bp.Network):
    """A user's subclass with attributes of its own."""

    extra = None


def scaled(net):
    return 0.5 * net


def slope(slope, signal):
    return 0.5 * slope


def test_a_subclass_and_custom_pieces():
    network = Bigger([2, 3, 2], (scaled, slope), seed=0, backend="numpy")
    network.extra = [1]
    for make in COPIES.values():
        twin = make(network)
        assert type(twin) is Bigger and twin.extra == [1] and twin.extra is not network.extra
        np.testing.assert_array_equal(twin.predict([1.0, 2.0]), network.predict([1.0, 2.0]))


def test_functions_without_a_name_are_copied_and_not_pickled(on_target):
    network = on_target.network([3, 4, 2], (lambda net: 0.5 * net, lambda slope, signal: 0.5 * slope), seed=0)
    np.testing.assert_array_equal(on_target.values(copy.deepcopy(network).predict(X)), on_target.values(network.predict(X)))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(network)


def test_shapes_alone_are_copied():
    pytest.importorskip("torch")
    network = bp.Network([3, 2], backend="torch:meta", check_finite=False)
    assert copy.deepcopy(network).layers[0].weight.device.type == "meta"
    with pytest.raises(bp.BackendUnavailableError, match="only shapes, no numbers"):
        pickle.dumps(network)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_arrays_of_every_kind_are_carried(on_target, dtype):
    backend = on_target.backend()
    given = backend.compile(lambda a: a == 1)(backend.asarray([0, 1])) if dtype == "bool" else backend.asarray([0, 1], dtype)
    tree = pickle.loads(pickle.dumps(carried((given, [given, "text", None]))))
    for array in (tree[0], tree[1][0]):
        assert array.dtype == given.dtype and type(array) is type(given)
        np.testing.assert_array_equal(backend.to_numpy(array), [0, 1])
    assert tree[1][1:] == ["text", None]


def test_the_layout_of_a_matrix_is_carried():
    torch = pytest.importorskip("torch")
    for matrix in (torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3).mT, torch.ones(1, 1), torch.ones(2, 0)):
        again = pickle.loads(pickle.dumps(carried([matrix])))[0]
        assert again.equal(matrix) and (again.stride() == matrix.stride() or matrix.numel() < 2)


BLOCKED = """
import pickle, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[2]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
try:
    pickle.load(open(sys.argv[1], "rb"))
except ImportError as error:
    print(error)
"""
READ = """
import pickle, sys
network, array = pickle.load(open(sys.argv[1], "rb"))
weight = network.layers[0].weight
print(weight.dtype, network.predict([1.0, 2.0, 3.0]).dtype, network.backend.to_numpy(weight).tobytes().hex())
"""


def run(script, *arguments):
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("flag", "module"), [("torch", "torch"), ("jax", "jax"), ("strict:device1", "array_api_strict")])
def test_unpickling_without_the_library(flag, module, tmp_path):
    pytest.importorskip(module)
    backend = bp.select_backend(flag, "float64")
    network = bp.Network([3, 2], backend=backend, seed=0)
    for number, given in enumerate((backend, network, carried([network.layers[0].weight]))):
        path = tmp_path / f"{number}.pickle"
        path.write_bytes(pickle.dumps(given))
        message = run(BLOCKED, path, module)
        assert (
            f"this pickle needs backend '{flag}" in message
            and "pip install 'portable-bp[" in message
            and "to('numpy')" in message
        )


def test_a_pickle_of_float64_keeps_its_dtype_in_another_process(tmp_path):
    pytest.importorskip("jax")
    network = bp.Network([3, 2], backend="jax", dtype="float64", seed=0)
    (tmp_path / "pickle").write_bytes(pickle.dumps((network, carried([network.layers[0].weight]))))
    assert run(READ, tmp_path / "pickle").split() == [*["float64"] * 2, bits(network)[0].hex()]


def test_unpickling_without_the_device(monkeypatch):
    backend = bp.select_backend("strict:device2")
    pickled = pickle.dumps(backend)
    monkeypatch.setattr("portable_bp.backends.strict.devices", lambda: ("CPU_DEVICE",))
    with pytest.raises(bp.BackendUnavailableError, match="needs backend 'strict:device2'.*use one of CPU_DEVICE.*NumPy"):
        pickle.loads(pickled)


def test_pickles_pass_between_processes():
    network = bp.Network([3, 2], backend="strict", dtype="float64", seed=0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        out, twin = pool.apply(predicted, (network,))
    np.testing.assert_array_equal(out, network.backend.to_numpy(network.predict(X)))
    assert twin.backend is network.backend and bits(twin) == bits(network)


def predicted(network):
    return network.backend.to_numpy(network.predict(X)), network


def test_threads_find_equal_backends():
    selector._backend.cache_clear()
    found = []
    threads = [threading.Thread(target=functools.partial(lambda: found.append(bp.select_backend("numpy")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and all(isinstance(backend, BaseBackend) for backend in found)
