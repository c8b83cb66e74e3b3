"""Small networks on CuPy: one kernel for many steps, compiled for real GPUs and run on the processor.

A block of threads trains a single network, or one member of a population.
"""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.arrays import Layer, Signal
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS, Optimizer
from portable_bp.backends import cache
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends.graph.printers import block
from portable_bp.backends.graph.printers.block_source import BlockSource
from portable_bp.backends.graph.printers.calls import Executable
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.backends.graph.trace import record
from tests.support import nvrtc
from tests.support.cuda_on_cpu import BlockOnTheHost, PopulationOnTheHost, emulated, need_compiler
from tests.support.networks import parameters
from tests.support.pretended_cupy import pretending
from tests.support.targets import usable


@pytest.fixture(params=["cupy-pretended", *usable(["cupy"])])
def cupy(request, monkeypatch):
    """CuPy, real or pretended, which runs kernels on the processor; kernels are wanted for few steps, too."""
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "1")
    if request.param == "cupy":
        yield pytest.importorskip("cupy")
        return
    need_compiler()
    with pretending():
        import cupy

        yield cupy


@pytest.fixture
def launches(monkeypatch):
    """Return how many steps each launch of a kernel took, and zeros for other executables."""
    noted, run_steps, run = [], Executable.run_steps, block.BlockExecutable.run
    monkeypatch.setattr(Executable, "run_steps", lambda self, *given: (noted.append(0), run_steps(self, *given)))

    def counted(self, carry, items, indices):
        noted.append(len(indices))
        return run(self, carry, items, indices)

    monkeypatch.setattr(block.BlockExecutable, "run", counted)
    return noted


@pytest.fixture
def grids(cupy, monkeypatch):
    """Return the number of blocks of each kernel of many steps."""
    from portable_bp.backends.graph.printers import cuda_block

    noted, launcher = [], cuda_block.BlockLibrary.launcher

    def counted(self, source):
        launch = launcher(self, source)
        noted.append(source.blocks)
        return launch

    monkeypatch.setattr(cuda_block.BlockLibrary, "launcher", counted)
    return noted


def train(backend="cupy", sizes=(3, 5, 2), epochs=20, dtype="float64", samples=41, population=None, own=(), **fit):
    network = bp.Network(sizes, "tanh", backend=backend, dtype=dtype, seed=3, population=population)
    generator = np.random.default_rng(5)
    x, target, weight = (
        generator.uniform(0.5, 2.0, size=(*[population] * (name in own), samples, *shape))
        for name, shape in (("x", sizes[:1]), ("target", sizes[-1:]), ("sample_weight", ()))
    )
    fit |= {"sample_weight": weight} if "sample_weight" in own else {}
    if fit.pop("classes", False):
        fit["loss"], target = "cross_entropy", generator.integers(0, sizes[-1], samples)
    network.fit(x, target, epochs=epochs, batch_size=8, **fit)
    return network


def assert_trained_as_by_numpy(network, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTABLE_BP_COMPILE", "0")
        expected = train("numpy", **options)
    for mine, theirs in zip(parameters(network), parameters(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(network.history.loss, expected.history.loss, rtol=1e-9)


@pytest.mark.parametrize("fit", [{"optimizer": "adam"}, {"dropout": 0.3, "classes": True}, {"optimizer": "nesterov"}], ids=str)
def test_the_batches_of_an_epoch_are_one_launch(cupy, launches, fit):
    """And the last batch, which is smaller, another one; the first launch of each size is a rehearsal."""
    network = train(**fit)
    assert launches == [1, 5, 1, 1] + [5, 1] * 19
    assert_trained_as_by_numpy(network, **fit)


def test_another_gpu_than_the_first(cupy, launches):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")
    assert_trained_as_by_numpy(train("cupy:1"))
    assert 5 in launches


@pytest.mark.parametrize(
    ("switch", "epochs", "launched"),
    [("", 20, {0}), ("", 170, {0, 1, 5}), ("", 500, {1, 5}), ("0", 170, {0}), ("1", 20, {1, 5})],
)
def test_a_kernel_pays_off_for_many_steps_or_is_asked_for(cupy, launches, monkeypatch, switch, epochs, launched):
    """The last batch of an epoch, which is smaller, needs a kernel of its own."""
    monkeypatch.setenv("PORTABLE_BP_COMPILE", switch)
    train(epochs=epochs)
    assert set(launches) == launched


@pytest.mark.parametrize("sizes", [(3, 3000, 60, 2), (300, 300, 2)], ids=["products", "memory"])
def test_a_larger_network_is_trained_by_many_blocks(cupy, launches, sizes):
    network = train(sizes=sizes, epochs=2, learning_rate=0.01)
    assert set(launches) == {0}
    assert_trained_as_by_numpy(network, sizes=sizes, epochs=2, learning_rate=0.01)


def test_a_kernel_that_cannot_be_compiled_is_said_once(cupy, launches, monkeypatch):
    known = cupy.RawKernel

    def refuse(code, name, **options):
        if name == "run":
            raise RuntimeError("NVRTC_ERROR_COMPILATION")
        return known(code, name, **options)

    monkeypatch.setattr(cupy, "RawKernel", refuse)
    with pytest.warns(RuntimeWarning, match="as one CUDA kernel, .* report this error .*NVRTC_ERROR_COMPILATION"):
        network = train(sizes=(3, 6, 2))
    train(sizes=(3, 6, 2))  # a second warning would be an error
    assert set(launches) == {0}
    assert_trained_as_by_numpy(network, sizes=(3, 6, 2))


def test_a_piece_that_only_its_library_can_run_is_trained_by_many_kernels(cupy, launches):
    pair = (lambda net: cupy.cumsum(net, axis=-1), lambda slope, signal: slope)
    network = bp.Network([3, 4, 2], activation=[pair, "identity"], backend="cupy", seed=0)
    network.fit(np.eye(3), np.ones((3, 2)), epochs=20)
    assert set(launches) <= {0}


def test_pieces_written_with_cupy_are_part_of_the_kernel(cupy, launches, monkeypatch):
    def value(net):
        return cupy.where(net > 0, net, cupy.expm1(net))

    def delta(slope, signal):
        return slope * cupy.minimum(signal.out + 1.0, 1.0)

    def weights(activation, backend):
        network = bp.Network([3, 4, 2], activation=[activation, "identity"], backend=backend, seed=0, dtype="float64")
        network.fit(np.eye(3), np.ones((3, 2)), epochs=20)
        return parameters(network)

    found = weights((value, delta), "cupy")
    assert set(launches) == {1}, "one batch an epoch"
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")
    for mine, theirs in zip(found, weights("elu", "numpy"), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_constants_are_read_in_their_order_and_empty_arrays_have_a_place(cupy, launches):
    matrix = np.arange(12.0).reshape(4, 3) / 12.0

    def pieces(asarray):
        return lambda net: net * asarray(matrix).T[1, :], lambda slope, signal: slope * asarray(matrix).T[1, :]

    def update(gradient, state, layers):
        return [
            Layer(*(old - 0.1 * new for old, new in zip(*each, strict=True))) for each in zip(layers, gradient, strict=True)
        ], state

    def trained(backend, asarray):
        optimizer = Optimizer(lambda layers: asarray(np.zeros((0, 3))), update)
        network = bp.Network([3, 4, 2], [pieces(asarray), "identity"], backend=backend, seed=0, dtype="float64")
        network.fit(np.eye(3), np.ones((3, 2)), optimizer=optimizer, epochs=9)
        return parameters(network)

    found = trained("cupy", cupy.asarray)
    assert set(launches) == {1}
    for mine, theirs in zip(found, trained("numpy", np.asarray), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


POPULATIONS = {
    "adam": {"optimizer": "adam"},
    "dropout, classes": {"dropout": 0.3, "classes": True, "sizes": (3, 5, 4, 2)},
    "numbers": {"dropout": [0.0, 0.2, 0.5, 0.1, 0.3], "learning_rate": [0.01, 0.02, 0.03, 0.04, 0.05]},
    "one order": {"shared_order": True, "own": ("x", "target")},
    "own data": {"own": ("x", "target", "sample_weight"), "optimizer": "nesterov"},
    "single precision": {"dtype": "float32"},
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_block_of_a_launch_trains_a_member(cupy, launches, grids, name):
    """And the last batch, which is smaller, has other launches; the first one of each size is a rehearsal."""
    options = {"population": 5, **POPULATIONS[name]}
    network = train(**options)
    assert launches == [1, 5, 1, 1] + [5, 1] * 19 and grids == [5, 5]
    if options.get("dtype") != "float32":
        assert_trained_as_by_numpy(network, **options)


@pytest.mark.parametrize(
    ("switch", "epochs", "launched"), [("", 20, {0}), ("", 40, {0, 1, 5}), ("", 100, {1, 5}), ("0", 100, {0}), ("1", 4, {1, 5})]
)
def test_a_kernel_pays_off_for_fewer_steps_of_a_population(cupy, launches, monkeypatch, switch, epochs, launched):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", switch)
    train(epochs=epochs, population=3)
    assert set(launches) == launched


@pytest.mark.parametrize("sizes", [(3, 3000, 60, 2), (300, 300, 2)], ids=["products", "memory"])
def test_larger_members_are_trained_by_many_kernels(cupy, launches, sizes):
    options = {"sizes": sizes, "epochs": 2, "learning_rate": 0.01, "population": 2}
    network = train(**options)
    assert set(launches) == {0}
    assert_trained_as_by_numpy(network, **options)


def test_the_bits_of_a_member_do_not_depend_on_the_others(cupy, launches):
    few, many = (train(population=members, optimizer="adam", dropout=0.2) for members in (2, 5))
    assert 0 not in launches
    for one, other in zip(parameters(few), parameters(many), strict=True):
        assert one.tobytes() == other[:2].tobytes()


def test_members_that_end_leave_the_others_in_the_same_kernel(cupy, launches, grids):
    from portable_bp.backends.graph.printers import cuda_block

    def stop(training):
        if training.epoch in (3, 6):
            training.stop("enough", np.arange(8) % 4 < training.epoch // 3)

    options = {"population": 8, "callbacks": [stop], "optimizer": "adam", "samples": 40}
    cuda_block._compiled.cache_clear()
    network = train(**options)
    assert network.history.epochs.tolist() == [3, 6, 20, 20] * 2
    assert grids == [8, 4] and cuda_block._compiled.cache_info().misses == 1
    assert_trained_as_by_numpy(network, **options)


def test_members_whose_launch_does_not_fit_into_memory_are_trained_in_parts(cupy, launches, grids, monkeypatch):
    run = block.BlockExecutable.run

    def limited(self, carry, items, indices):
        if len(indices) > 1 and len(carry.total) > 2:
            raise cupy.cuda.memory.OutOfMemoryError(7, 4)
        return run(self, carry, items, indices)

    monkeypatch.setattr(block.BlockExecutable, "run", limited)
    options = {"population": 5, "samples": 40, "dropout": 0.2, "own": ("x",)}
    network = train(**options)
    assert grids == [5, 3, 2, 2, 1] and 0 not in launches
    assert_trained_as_by_numpy(network, **options)


def test_a_second_fit_of_a_population_uses_the_kernel_of_the_first(cupy, launches, grids):
    network, generator = bp.Network([3, 5, 2], backend="cupy", dtype="float64", seed=0, population=4), np.random.default_rng(0)
    for _ in range(2):
        network.fit(generator.normal(size=(16, 3)), generator.random((16, 2)), epochs=9, batch_size=8)
    assert launches == [1] + [2] * 18 and grids == [4]


def test_more_samples_need_no_other_kernel(monkeypatch):
    first, second = (sources(monkeypatch, samples=samples, sizes=(3, 5, 2))[0] for samples in (41, 57))
    assert str(first) == str(second) and first.numbers != second.numbers


@pytest.mark.parametrize("shared_order", [False, True], ids=["own order", "one order"])
@pytest.mark.parametrize("own", [(), ("x", "target", "sample_weight")], ids=["shared", "own"])
def test_more_members_and_samples_need_no_other_kernel(monkeypatch, own, shared_order):
    options = [{"population": 3}, {"population": 4}, {"population": 4, "samples": 57}]
    found = [sources(monkeypatch, own=own, shared_order=shared_order, **each)[0] for each in options]
    assert len({str(source) for source in found}) == 1 and [source.blocks for source in found] == [3, 4, 4]


def sources(monkeypatch, **options):
    """Return the sources of the kernels of a training."""
    found = []

    def launcher(self, source):
        found.append(source)
        raise TypeError("it is not run")

    monkeypatch.setattr(BlockOnTheHost, "launcher", launcher)
    monkeypatch.setattr(numpy_backend, "PopulationLibrary", PopulationOnTheHost)
    monkeypatch.setattr(numpy_backend, "CompiledLibrary", BlockOnTheHost)
    cache.clear()
    train("numpy", epochs=2, **options)
    cache.clear()
    return found


@nvrtc.NEEDED
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_compile_for_gpus(monkeypatch, architecture, dtype):
    fit = {"dropout": 0.3, "classes": True, "optimizer": "adamw", "sizes": (6, 40, 24, 5)}
    first, last = sources(monkeypatch, dtype=dtype, **fit)
    assert ".entry run(" in nvrtc.compiled(str(first), architecture)
    assert first.threads == 256 and last.memory < first.memory


@nvrtc.NEEDED
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_kernels_of_populations_compile_for_gpus(monkeypatch, architecture):
    fit = {"dropout": 0.3, "optimizer": "adamw", "sizes": (6, 40, 24, 5), "population": 3, "own": ("x", "sample_weight")}
    first, _ = sources(monkeypatch, dtype="float32", **fit)
    assert ".entry run(" in nvrtc.compiled(str(first), architecture)
    assert (first.threads, first.blocks) == (64, 3)


@nvrtc.NEEDED
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_compiles_for_a_gpu(monkeypatch, optimizer):
    assert nvrtc.compiled(str(sources(monkeypatch, optimizer=optimizer)[0]), "compute_90")


@nvrtc.NEEDED
def test_every_activation_and_loss_compiles_for_a_gpu(monkeypatch):
    """In one kernel, since each compilation takes a while."""
    activations = [make() for make in ACTIVATIONS.values()]
    losses = [make() for name, make in LOSSES.items() if name != "cross_entropy"]  # which takes classes

    def step(net, target):
        for activation in activations:
            out = activation.value(net)
            net = net + activation.delta(net, Signal(net, out))
        for loss in losses:
            net = net + loss.slope(out, target) + loss.value(out, target)[:, None]
        return net

    assert nvrtc.compiled(str(kernel(step, (4, 3), (4, 3))), "compute_90")


def kernel(function, *shapes):
    """Return the source of a step that changes one array, given others."""
    carry, *data = (np.ones(shape) for shape in shapes)
    graph = record(NumpyLibrary(), lambda carry, data, item: (function(carry[0], *data),), (carry,), tuple(data), ())
    return BlockSource(Schedule(graph, np.inf))


def test_a_kernel_has_a_barrier_only_where_threads_read_what_others_wrote():
    text = str(kernel(lambda a, b, c: np.tanh(a @ b + c), (4, 3), (3, 3), (3,)))
    step = text.partition("++step) {\n")[2].partition("\n    }\n")[0]
    assert [line.strip() for line in step.splitlines()] == [
        "multiply<4, 3, 3, 3, 1, 3, 1, 1, 1, false>(thread, threads, s0, data0, s96);",
        "__syncthreads();",
        "if (const int i = thread; i < 12) {",
        "const double v0 = (s96)[i];",
        "const double v1 = (data1)[i % 3];",
        "const double v2 = v0 + v1;",
        "const double v3 = tanh(v2);",
        "(s0)[i] = v3;",
        "}",
        "__syncthreads();",
    ]


RACE = """
extern "C" __global__ void __launch_bounds__(32)
run(const long long steps, int* out) {
    extern __shared__ __align__(16) unsigned char memory[];
    const int thread = threadIdx.x;
    int* const shared = (int*)memory;
    for (long long step = 0; step < steps; ++step) {
        shared[thread] = thread;
        BARRIER
        out[thread] = shared[(thread + 1) % 32];
        __syncthreads();
    }
}
"""


@pytest.mark.parametrize("barrier, is_right", [("__syncthreads();", True), ("", False)])
def test_a_missing_barrier_shows(barrier, is_right):
    need_compiler()
    out = np.empty(32, np.int32)
    emulated(RACE.replace("BARRIER", barrier))((1,), (32,), np.int64(1), out)
    assert np.array_equal(out, (np.arange(32) + 1) % 32) == is_right


def test_a_barrier_that_not_all_threads_reach_shows():
    need_compiler()
    with pytest.raises(AssertionError, match="wait at a barrier"):
        source = RACE.replace("BARRIER", "if (thread < 7) __syncthreads();")
        emulated(source)((1,), (32,), np.int64(1), np.empty(32, np.int32))
