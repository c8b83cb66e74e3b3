"""A flag selects a backend, or the error says in one sentence what is missing."""

import os
import subprocess
import sys
import types
import unittest.mock

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import selector


@pytest.fixture
def no_gpu(monkeypatch):
    """A CuPy that is installed and finds no driver: the real one if it is installed, else one that behaves alike."""
    monkeypatch.delenv("PORTABLE_BP_BACKEND", raising=False)
    try:
        import cupy
    except ImportError:
        pass
    else:
        if cupy.cuda.is_available():
            pytest.skip("a GPU answers CuPy here")
        yield
        return

    class CUDARuntimeError(RuntimeError):
        pass

    def raise_no_driver():
        raise CUDARuntimeError("cudaErrorInsufficientDriver")

    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.__spec__ = types.SimpleNamespace()
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=raise_no_driver)
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", types.ModuleType("array_api_compat.cupy"))
    yield
    sys.modules.pop("portable_bp.backends.cupy", None)  # it is bound to the CuPy that was pretended


@pytest.fixture
def two_gpus(monkeypatch):
    """A CuPy that has two GPUs and computes nothing."""
    current = [0]

    class Device:
        def __init__(self, number):
            self.id = number

        def __enter__(self):
            current.append(self.id)

        def __exit__(self, *_):
            current.pop()

    class Pretended(types.ModuleType):
        def __getattr__(self, name):
            return unittest.mock.MagicMock()

    cupy = Pretended("cupy")
    cupy.__spec__ = types.SimpleNamespace()
    cupy.ndarray = type("ndarray", (), {})
    cupy.asarray = lambda data, dtype: current[-1]
    cupy.asnumpy = lambda array: current[-1]
    runtime = types.SimpleNamespace(CUDARuntimeError=RuntimeError, getDeviceCount=lambda: 2)
    cupy.cuda = unittest.mock.MagicMock(Device=Device, runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", types.ModuleType("array_api_compat.cupy"))
    monkeypatch.setitem(sys.modules, "portable_bp.backends.cupy", None)
    del sys.modules["portable_bp.backends.cupy"]
    selector._backend.cache_clear()
    yield current
    selector._backend.cache_clear()
    sys.modules.pop("portable_bp.backends.cupy", None)


def test_an_absent_gpu_is_not_a_present_one(two_gpus):
    assert bp.select_backend("cupy").device.id == 0
    assert bp.select_backend("cupy:1").device.id == 1
    with pytest.raises(bp.BackendUnavailableError, match="backend 'cupy' has no device '7' here: use one of 0, 1"):
        bp.select_backend("cupy:7")


def test_the_current_gpu_is_restored(two_gpus):
    backend = bp.select_backend("cupy:1")
    assert backend.asarray([1.0]) == backend.to_numpy(None) == backend.compile(lambda: two_gpus[-1])() == 1
    with pytest.raises(ZeroDivisionError):
        backend.compile(lambda: 1 / 0)()
    assert two_gpus == [0]


@pytest.mark.parametrize("library", ["cupy", "torch:cuda", "jax:gpu"])
def test_the_second_gpu_gives_the_same_as_the_first(library):
    flags = [f"{library}:{number}" for number in (0, 1)]
    try:
        backends = [bp.select_backend(flag, "float64") for flag in flags]
    except (ImportError, bp.BackendUnavailableError) as error:
        pytest.skip(f"this needs two GPUs: {error}")
    x = np.random.default_rng(0).normal(size=(64, 3))
    losses, outs = [], []
    for backend in backends:
        network = bp.Network([3, 16, 2], "tanh", backend=backend, seed=0)
        losses.append(network.fit(x, x[:, :2], optimizer="adam", epochs=5, batch_size=10, dropout=0.2).loss)
        outs.append(network.predict(backend.asarray(x)))
        for array in (outs[-1], *(part for layer in network.layers for part in layer)):
            assert array.device == backend.device
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    np.testing.assert_allclose(*(backend.to_numpy(out) for backend, out in zip(backends, outs, strict=True)), rtol=1e-9)
    with pytest.raises(TypeError, match="move it there yourself"):
        bp.Network([3, 2], backend=backends[1]).predict(backends[0].asarray(x))


def test_contract(on_target):
    backend = on_target.backend()
    array = backend.asarray([[1, 2], [3, 4]])
    assert on_target.values(array).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert backend.to_numpy(array).dtype == np.float64
    assert backend.asarray([1, 2], "int32").dtype == backend.xp.int32
    assert backend.to_numpy(backend.compile(lambda a: a + 1.0)(array)).tolist() == [[2.0, 3.0], [4.0, 5.0]]
    backend.synchronize()
    assert backend.name == on_target.flag.partition(":")[0]


def test_the_backend_s_arrays_are_converted_to_its_dtype(on_target):
    double, single = on_target.backend("float64"), on_target.backend("float32")
    on_target.assert_close(single.asarray(double.asarray([1.5, 2.5])), [1.5, 2.5], dtype="float32")
    on_target.assert_close(double.asarray(double.asarray([1, 2], "int32")), [1.0, 2.0])


def test_the_same_flag_gives_the_same_backend(on_target):
    assert on_target.backend() is on_target.backend()
    assert bp.select_backend(on_target.backend(), "float32") is on_target.backend("float32")
    assert bp.select_backend(on_target.backend()) is on_target.backend()


def test_available_backends_has_a_row_for_each_backend():
    rows = {row.name: row for row in bp.available_backends()}
    assert list(rows) == ["numpy", "cupy", "torch", "jax", "strict"]
    assert rows["numpy"] == ("numpy", ("cpu",), np.__version__, True, None)
    for row in rows.values():
        assert row.usable == (row.reason is None) == bool(row.devices)


def test_auto_uses_the_environment_variable(monkeypatch):
    monkeypatch.setenv("PORTABLE_BP_BACKEND", "strict:device2")
    assert bp.select_backend().name == "strict"
    assert "device2" in str(bp.select_backend("auto").device)


def test_auto_without_cupy_is_numpy(monkeypatch):
    monkeypatch.delenv("PORTABLE_BP_BACKEND", raising=False)
    monkeypatch.setattr(selector.importlib.util, "find_spec", lambda name: None)
    assert bp.select_backend().name == "numpy"


def test_auto_with_cupy_and_no_gpu_is_numpy_with_a_warning(no_gpu):
    with pytest.warns(RuntimeWarning, match="'auto' uses numpy: CuPy is installed, but finds no GPU"):
        assert bp.select_backend().name == "numpy"


def test_cupy_without_a_gpu_fails_with_the_reason(no_gpu):
    with pytest.raises(bp.BackendUnavailableError, match="finds no GPU that works .*cudaErrorInsufficientDriver"):
        bp.select_backend("cupy")
    row = bp.available_backends()[1]
    assert (row.name, row.version, row.usable) == ("cupy", "14.2.0", False)


def test_a_missing_library_is_one_sentence_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "array_api_strict", None)
    monkeypatch.delitem(sys.modules, "portable_bp.backends.strict", raising=False)
    with pytest.raises(ImportError, match=r"^array_api_strict is needed .*: pip install 'portable-bp\[test\]'$"):
        bp.select_backend("strict")


@pytest.mark.parametrize(
    ("flag", "error", "message"),
    [
        ("nunpy", ValueError, "unknown backend 'nunpy'.*did you mean 'numpy'"),
        ("tensorflow", ValueError, "the known ones are numpy, cupy, torch, jax, strict"),
        ("numpy:1", bp.BackendUnavailableError, "backend 'numpy' has no device '1' here: use one of cpu"),
        ("strict:gpu", bp.BackendUnavailableError, "use one of CPU_DEVICE, device1, device2"),
    ],
)
def test_wrong_flags(flag, error, message):
    with pytest.raises(error, match=message):
        bp.select_backend(flag)


@pytest.mark.parametrize("dtype", ["float16", "int32", "floot32", "complex128"])
def test_wrong_dtypes(dtype):
    with pytest.raises(ValueError, match=f"unknown dtype '{dtype}': the known ones are float32, float64"):
        bp.select_backend("numpy", dtype)


@pytest.mark.parametrize("spec", [None, 5, {}])
def test_objects_that_are_not_backends(spec):
    with pytest.raises(TypeError, match="and should be a flag such as 'numpy' or 'cupy:1', or a backend"):
        bp.Network([2, 2], backend=spec)


def test_a_backend_s_own_dtype_is_kept():
    network = bp.Network([2, 2], backend=bp.select_backend("numpy", "float64"))
    assert network.layers[0].weight.dtype == np.float64


def test_a_library_that_is_half_installed_does_not_hide_the_others(monkeypatch):
    from portable_bp.backends import strict

    def fail():
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(strict, "devices", fail)
    row = bp.available_backends()[-1]
    assert not row.usable and "libcudart" in row.reason


def test_jax_devices_are_distinguished():
    pytest.importorskip("jax")
    script = "import portable_bp as bp; b = bp.select_backend('jax:cpu:1'); print(b.device.id, b.asarray([1.0]).device.id)"
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1", "1"]


def test_jax_compiles():
    jax = pytest.importorskip("jax")
    seen = []
    backend = bp.select_backend("jax")
    run = backend.compile(lambda array: seen.append(isinstance(array, jax.core.Tracer)) or array)
    for _ in range(3):
        run(backend.asarray([1.0]))
    assert seen == [True]


def test_jax_keeps_float64_when_the_switch_was_turned_off():
    jax = pytest.importorskip("jax")
    backend = bp.select_backend("jax", "float64")
    jax.config.update("jax_enable_x64", False)
    assert backend.asarray([1.0]).dtype == np.float64


def test_dtypes_of_any_library(on_target):
    for dtype in ("float64", np.float64, on_target.backend().dtype):
        assert on_target.backend(dtype) is on_target.backend()


def test_importing_the_package_imports_no_library_but_numpy():
    libraries = ["cupy", "torch", "jax", "array_api_strict", "sklearn", "matplotlib", "tqdm"]
    script = f"import sys, portable_bp; print([name for name in {libraries} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_an_array_belongs_to_the_backend_that_made_it(on_target):
    for dtype in ("float32", "float64"):
        backend = bp.select_backend(on_target.flag, dtype)
        assert selector.backend_of(backend.asarray([1.0, 2.0])) is backend
        assert selector.backend_of(backend.asarray([1, 2], "int32"), dtype) is backend
    assert selector.backend_of(backend.asarray([1, 2], "int32")) is bp.select_backend(on_target.flag, "float32")
    for stranger in ([1.0], "text", None):
        with pytest.raises(TypeError, match="there is no backend for arrays of .*: give an array of NumPy, CuPy"):
            selector.backend_of(stranger)
