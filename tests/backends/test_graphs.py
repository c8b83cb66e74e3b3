"""A training step on CuPy: kernels and products, launched together as one CUDA graph if possible."""

import sys
from collections import Counter

import array_api_compat
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends.graph.buffers import Buffers
from portable_bp.backends.graph.printers import calls as executable
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.backends.graph.trial import Trial
from tests.support.cuda_on_cpu import need_compiler
from tests.support.networks import parameters
from tests.support.pretended_cupy import pretending
from tests.support.targets import usable


@pytest.fixture(params=["cupy-pretended", *usable(["cupy"])])
def cupy(request):
    """CuPy, with empty caches."""
    if request.param == "cupy":
        pytest.importorskip("nvmath.bindings", reason="nvmath-python, which captures products, is not installed")
        yield request.param
        return
    with pretending():
        yield request.param


@pytest.fixture
def launches(monkeypatch):
    """Return the types of the calls that each run of an executable launches."""
    noted = []
    run = executable.Executable.run

    def counted(self, carry, items, numbers):
        noted.append([type(function).__name__ for function, _ in self.calls])
        return run(self, carry, items, numbers)

    monkeypatch.setattr(executable.Executable, "run", counted)
    return noted


def train(backend, sizes=(5, 7, 3), dtype="float64", **options):
    """Train in batches of 8 and a last one of 1."""
    network = bp.Network(sizes, "tanh", backend=backend, dtype=dtype, seed=3)
    generator = np.random.default_rng(5)
    network.fit(generator.normal(size=(41, 5)), generator.random((41, 3)), epochs=4, batch_size=8, **options)
    return parameters(network)


def assert_learns_as_numpy_does(optimizer="adam"):
    for mine, expected in zip(train("cupy", optimizer=optimizer), train("numpy", optimizer=optimizer), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-13)


def test_a_step_is_one_launch(cupy, launches):
    assert_learns_as_numpy_does()
    on_cupy = [calls for calls in launches if "CudaGraph" in calls or "Gemm" in calls]
    # For each batch size two rehearsals, call by call: one compared with a called step, one with the graph.
    assert sum("Gemm" in calls for calls in on_cupy) == 2 * 2
    assert sum(calls == ["CudaGraph"] for calls in on_cupy) == 2 + 4 * 2


@pytest.mark.parametrize(("width", "copies"), [(3, 0), (2**13, 1)], ids=["small", "large"])
def test_a_step_reads_small_items_itself(cupy, monkeypatch, width, copies):
    """Each run has other items, in other memory; what is too large for one block is copied for every step."""
    copied = []
    generator = np.random.default_rng(0)
    data, target = generator.normal(size=(20, 3)), generator.normal(size=(3, width))

    def step(carry, data, item):
        rows, masks = item
        xp = array_api_compat.array_namespace(data[0])
        return (0.9 * carry[0] + xp.take(data[0], rows, axis=0) @ data[1] * masks,)

    def run_all(flag):
        backend = bp.select_backend(flag, "float64")
        run = backend.loop(step)((backend.asarray(data), backend.asarray(target)))
        carry = (backend.asarray(np.zeros((4, width))),)
        generator = np.random.default_rng(1)
        for steps in (5, 1, 3, 5):
            items = generator.integers(0, 20, (steps, 4)), generator.random((steps, 4, width))
            before = len(copied)
            carry = run(carry, (backend.asarray(items[0], "int32"), backend.asarray(items[1])), steps, expected=5)
        if flag == "cupy":
            assert copied[before:] == [(4, width)] * (1 + copies * steps), "the carry once, and large items for every step"
        return backend.to_numpy(carry[0])

    expected = run_all("numpy")
    from portable_bp.backends.graph.printers.cuda import CupyLibrary

    assign = CupyLibrary.assign

    def counted(self, target, source):
        copied.append(target.shape)
        assign(self, target, source)

    monkeypatch.setattr(CupyLibrary, "assign", counted)
    np.testing.assert_allclose(run_all("cupy"), expected, rtol=1e-12)


def test_two_runs_of_one_step_have_their_own_items(cupy):
    backend = bp.select_backend("cupy", "float64")
    loop = backend.loop(lambda carry, data, item: (2.0 * carry[0] + item,))
    first, second = loop(()), loop(())
    carries = [(backend.asarray(np.zeros(3)),)] * 2
    for number in (0.0, 10.0, 20.0):
        for place, run in enumerate((first, second)):
            items = backend.asarray(number + place + np.arange(6.0).reshape(2, 3))
            carries[place] = run(carries[place], items, 2)
    for place, (carry,) in enumerate(carries):
        expected = np.zeros(3)
        for number in (0.0, 10.0, 20.0):
            for item in number + place + np.arange(6.0).reshape(2, 3):
                expected = 2.0 * expected + item
        np.testing.assert_array_equal(backend.to_numpy(carry), expected)


@pytest.mark.parametrize(
    ("optimizer", "updates"), [*dict.fromkeys(["sgd", "momentum", "nesterov", "rmsprop", "adam"], 1).items(), ("adamw", 2)]
)
def test_the_launches_of_a_step_are_counted(cupy, launches, optimizer, updates):
    """Products: three up, two down, three for the gradients of the weights, and three for those of the biases.

    Kernels: three up, two down, one of the error, one for all numbers that are no arrays, and one to update all parameters, or
    two, if weights decay and biases do not. Two more gather rows, and one call sums up the error.
    """
    train("cupy", sizes=(5, 7, 6, 3), optimizer=optimizer)
    rehearsed = next(calls for calls in launches if "Gemm" in calls)
    assert Counter(rehearsed) == {"Gemm": 11, "ElementwiseKernel": 7 + updates, "RawKernel": 2, "partial": 1}


def test_mixed_precision_adds_kernels_only_for_what_no_kernel_computes(cupy, launches):
    """Three weights are rounded by kernels of their own, the inputs while they are gathered, all else where it is computed."""
    mixed = bp.select_backend("cupy", "float32", "mixed")
    counts = []
    for backend in ("cupy", mixed):
        train(backend, sizes=(5, 7, 6, 3), dtype="float32", optimizer="adam")
        *_, rehearsed = [calls for calls in launches if "Gemm" in calls]
        counts.append(Counter(rehearsed))
    assert counts[1] - counts[0] == {"ElementwiseKernel": 3} and not counts[0] - counts[1]


@pytest.mark.parametrize("compile_", ["0", "1"], ids=["CUDA graph", "one block"])
def test_a_second_fit_uses_what_the_first_prepared(cupy, monkeypatch, compile_):
    """Only the CUDA graph, which holds the addresses of the data, is captured again."""
    need_compiler()
    monkeypatch.setenv("PORTABLE_BP_COMPILE", compile_)
    network, x = bp.Network([5, 7, 3], backend="cupy", seed=0), np.random.default_rng(0).normal(size=(41, 5))
    network.fit(x, x[:, :3], epochs=3, batch_size=8)
    refused = AssertionError("it is prepared again")
    for kind, method in ((Buffers, "__init__"), (Schedule, "__init__"), (Trial, "replay")):
        monkeypatch.setattr(kind, method, lambda *_, **__: (_ for _ in ()).throw(refused))
    other = np.random.default_rng(1).normal(size=(41, 5))
    network.fit(other, other[:, :3], epochs=3, batch_size=8)
    assert network.history.loss[-1] < network.history.loss[0]


@pytest.mark.parametrize("precision", [None, "mixed"])
def test_arrays_in_another_order_are_trained_as_others_are(cupy, launches, precision):
    """In a first and in a second fit."""
    backend = bp.select_backend("cupy", "float32", precision)
    x = np.random.default_rng(0).normal(size=(41, 10)).astype("float32")
    given = {
        "C": backend.asarray(x[:, ::2].copy()),
        "F": backend.asarray(x.T[::2].copy()).T,
        "strided": backend.asarray(x)[:, ::2],
    }
    trained = {}
    for first, order in [("C", "C"), ("C", "F"), ("F", "C"), ("strided", "F"), ("C", "strided")]:
        network = bp.Network([5, 7, 5], backend=backend, seed=0)
        network.fit(given[first], given[first], epochs=2, batch_size=8, seed=1)
        network.fit(given[order], given[order], epochs=2, batch_size=8, seed=2)
        trained[first, order] = parameters(network)
    for found in trained.values():
        for mine, expected in zip(found, trained["C", "C"], strict=True):
            np.testing.assert_array_equal(mine, expected)
    assert all("CudaGraph" in calls or "Gemm" in calls for calls in launches)


def test_free_memory_includes_the_pool_s_unused_blocks_and_its_limit(monkeypatch):
    with pretending():
        import cupy

        backend = bp.select_backend("cupy:1")
        assert backend.memory() == (2**34 + 2**20, 2**36)
        monkeypatch.setattr(cupy.get_default_memory_pool(), "limit", 3 * 2**30)
        assert backend.memory() == (2 * 2**30, 3 * 2**30)


def test_without_nvmath_a_step_is_launched_call_by_call(launches, monkeypatch):
    with pretending():
        monkeypatch.setitem(sys.modules, "nvmath.bindings", None)
        assert_learns_as_numpy_does("momentum")
    assert any("Gemm" in calls for calls in launches) and not any("CudaGraph" in calls for calls in launches)


def test_calls_that_cuda_cannot_capture_are_launched_one_by_one_with_a_warning(launches, monkeypatch):
    with pretending():
        import cupy

        def refuse(self):
            raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorStreamCaptureUnsupported")

        monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", refuse)
        with pytest.warns(RuntimeWarning, match="could not capture a training step .*: cudaErrorStreamCaptureUnsupported"):
            assert_learns_as_numpy_does("sgd")
    assert any("Gemm" in calls for calls in launches) and not any("CudaGraph" in calls for calls in launches)


def test_a_kernel_that_cannot_be_compiled_is_said_once(launches, monkeypatch):
    with pretending():
        import cupy

        def refuse(self, *arrays):
            raise cupy.cuda.compiler.CompileException("nvrtc: error: invalid value for --gpu-architecture")

        monkeypatch.setattr(cupy.ElementwiseKernel, "__call__", refuse)
        with pytest.warns(RuntimeWarning, match="compile a kernel, .* report this error .*gpu-architecture") as told:
            assert_learns_as_numpy_does("sgd")
    assert len(told) == 1


def test_the_reason_why_a_step_is_not_replayed_is_logged(launches, monkeypatch, caplog):
    """Otherwise only the time would show it."""
    with pretending():
        import cupy

        def refuse(self, *arrays):
            raise RuntimeError("NVRTC_ERROR_COMPILATION")

        monkeypatch.setattr(cupy.ElementwiseKernel, "__call__", refuse)
        with caplog.at_level("DEBUG", "portable_bp"):
            assert_learns_as_numpy_does("sgd")
    assert [record.message for record in caplog.records] == ["a step cannot be replayed"] * 2
    assert "NVRTC_ERROR_COMPILATION" in caplog.text
