"""Factors of products are rounded only on request, only in products, and the library's setting is restored."""

import contextlib

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends.graph.kernels import TO_BFLOAT16
from portable_bp.backends.graph.printers import calls as executable
from tests.support.cuda_on_cpu import emulated, need_compiler
from tests.support.kernels_in_python import to_bfloat16
from tests.support.pretended_cupy import pretending
from tests.support.targets import usable


@pytest.fixture
def cupy():
    """The pretended CuPy, with empty caches before and after."""
    with pretending():
        yield


@pytest.fixture(params=["cupy-pretended", *usable(["cupy"])])
def any_cupy(request):
    """CuPy, pretended or real."""
    if request.param == "cupy":
        yield pytest.importorskip("cupy")
        return
    with pretending():
        import cupy

        yield cupy


@pytest.mark.parametrize(
    ("flag", "dtype", "precision", "error", "message"),
    [
        (
            "numpy",
            "float32",
            "tf32",
            bp.BackendUnavailableError,
            "precision is 'tf32', and backend 'numpy:cpu' in float32 supports float32",
        ),
        (
            "torch:cpu",
            "float32",
            "mixed",
            bp.BackendUnavailableError,
            "'torch:cpu' in float32 supports float32: use one of these",
        ),
        ("jax:cpu", "float32", "mixed", bp.BackendUnavailableError, "'jax:cpu:0' in float32 supports float32"),
        ("cupy", "float64", "tf32", bp.BackendUnavailableError, "'cupy:0' in float64 supports float64"),
        ("cupy", "float32", "float64", bp.BackendUnavailableError, "'cupy:0' in float32 supports float32, tf32, mixed"),
        ("numpy", "float32", "tf23", ValueError, "unknown precision 'tf23'.*did you mean 'tf32'"),
    ],
)
def test_an_unsupported_precision_is_refused(cupy, flag, dtype, precision, error, message):
    with pytest.raises(error, match=message):
        bp.select_backend(flag, dtype, precision)


def test_a_backend_keeps_its_precision_unless_another_is_requested(cupy):
    backend = bp.select_backend("cupy:1", precision="tf32")
    assert (backend.precision, bp.select_backend("cupy:1").precision) == ("tf32", "float32")
    assert bp.select_backend("numpy", "float64").precision == "float64"
    assert bp.select_backend(backend) is bp.select_backend(backend, "float32") is backend
    assert bp.select_backend(backend, precision="mixed").precision == "mixed"
    assert bp.select_backend(backend, "float64").precision == "float64"
    network = bp.Network([3, 4, 2], backend=backend, seed=0)
    assert network.backend is backend
    assert bp.check_gradient(network, np.eye(3), np.ones((3, 2))).max_relative_error < 1e-6


def numbers_to_round():
    """Return float32 numbers of every kind: any bits, ties, those next to ties, denormals, infinities and NaN."""
    upper = np.concatenate([np.random.default_rng(0).integers(0, 2**16, 2000), [0, 1, 0x7F7F, 0x7F80, 0x8000, 0xFF7F, 0xFF80]])
    lower = np.asarray([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    return (upper[:, None].astype("uint32") << 16 | lower.astype("uint32")).reshape(-1).view("float32")


def assert_rounds(to_bfloat16):
    numbers = numbers_to_round()
    bits = to_bfloat16(numbers)
    with np.errstate(invalid="ignore"):
        expected = numbers.astype(pytest.importorskip("ml_dtypes").bfloat16)
    nan = np.isnan(numbers)
    np.testing.assert_array_equal(bits[~nan], expected.view("uint16")[~nan])
    assert nan.any() and np.isnan((bits.astype("uint32") << 16).view("float32")[nan]).all()


def test_the_pretended_kernels_round_to_bfloat16():
    assert_rounds(to_bfloat16)


def test_the_kernels_text_rounds_to_bfloat16():
    need_compiler()
    lines = "const int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) out[i] = to_bfloat16(a[i]);"
    source = f'{TO_BFLOAT16}extern "C" __global__ void run(const float* a, unsigned short* out, int n) {{ {lines} }}'

    def rounded(numbers):
        bits = np.empty(numbers.shape, "uint16")
        emulated(source)((-(-numbers.size // 256),), (256,), numbers, bits, np.int32(numbers.size))
        return bits

    assert_rounds(rounded)


def distance(precision, activation, optimizer):
    """Return the distance of the weights from those of float64 after some steps, relative to how far these moved."""
    generator = np.random.default_rng(0)
    x, target = generator.normal(size=(64, 20)), generator.random((64, 4))
    begun, ended = [], []
    for backend in (bp.select_backend("numpy", "float64"), bp.select_backend("cupy", "float32", precision)):
        network = bp.Network([20, 30, 4], activation, backend=backend, seed=1)
        begun.append(network.backend.to_numpy(network.layers[0].weight))
        network.fit(x, target, optimizer=optimizer, epochs=3, batch_size=16, seed=0)
        ended.append(network.backend.to_numpy(network.layers[0].weight))
    return np.linalg.norm(ended[1] - ended[0]) / np.linalg.norm(ended[0] - begun[0])


@pytest.mark.parametrize(("activation", "optimizer"), [("tanh", "sgd"), ("relu", "adam")])
def test_errors_of_rounded_products(cupy, monkeypatch, activation, optimizer):
    """A factor of TF32 has 11 bits, and one of bfloat16 8: each step has that error, and no more; and it is one graph."""
    launches = []
    run = executable.Executable.run

    def counted(self, carry, items, numbers):
        launches.append([type(function).__name__ for function, _ in self.calls])
        return run(self, carry, items, numbers)

    monkeypatch.setattr(executable.Executable, "run", counted)
    # Adam divides a slope by its size: where it is close to zero, rounding decides.
    blown_up = {"sgd": 1.0, "adam": 16.0}[optimizer]
    for precision, least, most in (("float32", 0.0, 2.0**-16), ("tf32", 2.0**-15, 2.0**-10), ("mixed", 2.0**-12, 2.0**-7)):
        launches.clear()
        assert least <= distance(precision, activation, optimizer) <= blown_up * most, precision
        assert launches.count(["CudaGraph"]) == 1 + 3, "the rehearsal of the graph, and an epoch each"


def test_mixed_precision_has_the_error_of_bfloat16(any_cupy):
    from portable_bp.backends.cupy import roundings

    if "mixed" not in roundings("0"):
        pytest.skip("the GPU has no bfloat16")
    assert 2.0**-12 <= distance("mixed", "tanh", "sgd") <= 2.0**-7


def test_a_called_step_is_compared_with_products_in_full_precision(cupy):
    from portable_bp.backends.graph.printers.cuda import CupyLibrary

    full = CupyLibrary("float32")
    assert full.exact is full
    for precision in ("tf32", "mixed"):
        assert (CupyLibrary(precision).exact.precision, CupyLibrary(precision).exact.passes) == ("float32", full.passes)


@pytest.mark.parametrize("precision", ["float32", "tf32", "mixed"])
def test_sums_are_not_rounded(any_cupy, precision):
    """They are products with ones, which have full precision whatever that of the products of matrices is."""
    from portable_bp.backends.graph.printers.cuda import Gemm

    numbers = np.random.default_rng(0).normal(size=(50, 7)).astype("float32")
    matrix, rows, columns = any_cupy.asarray(numbers), any_cupy.empty(7, "float32"), any_cupy.empty((50, 1), "float32")
    Gemm(any_cupy.ones(50, "float32"), matrix, rows, precision)()
    Gemm(matrix, any_cupy.ones(7, "float32"), columns, precision)()
    np.testing.assert_allclose(rows.get(), numbers.sum(axis=0, dtype="float64"), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(columns.get()[:, 0], numbers.sum(axis=1, dtype="float64"), rtol=1e-5, atol=1e-5)


def test_cupy_s_setting_is_restored(cupy):
    import cupy

    get_compute_type = cupy._core._routines_linalg.get_compute_type
    backend = bp.select_backend("cupy", precision="tf32")
    seen = []

    def looks():
        seen.append(get_compute_type("float32"))
        raise ArithmeticError

    with contextlib.suppress(ArithmeticError):
        backend.compile(looks)()
    assert (seen, get_compute_type("float32")) == ([7], 0)


@pytest.mark.parametrize(("precision", "meanwhile"), [("tf32", "tf32"), ("float32", "ieee")])
def test_torch_s_setting_is_restored(torch, monkeypatch, precision, meanwhile):
    from portable_bp.backends.torch import TorchBackend

    backend = TorchBackend("cpu", "float32", precision)
    monkeypatch.setattr(backend, "device", type("Gpu", (), {"type": "cuda"}))
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    seen = []

    def looks(carry, constants, item):
        seen.append(products.fp32_precision)
        return carry

    backend.compile(looks)(None, None, None)
    backend.loop(looks)(())((), (), 1)
    assert (seen, products.fp32_precision) == ([meanwhile] * 2, before)


@pytest.mark.parametrize(("precision", "told"), [("float32", "HIGHEST"), ("tf32", "TF32_TF32_F32"), ("mixed", "BF16_BF16_F32")])
def test_jax_gets_the_precision_of_every_product_on_a_gpu(precision, told, monkeypatch):
    """By default, JAX uses TF32 for float32 there."""
    import jax

    from portable_bp.backends import jax as jax_backend

    backend = jax_backend.JaxBackend("cpu:0", "float32", precision)
    monkeypatch.setattr(backend, "device", type("Gpu", (), {"platform": "gpu"}))
    product = backend._with_precision(lambda a, b: a @ b)
    assert told in str(jax.make_jaxpr(product)(np.eye(2, dtype="float32"), np.eye(2, dtype="float32")))
