"""Rows are copied on a GPU as NumPy does it, whatever their length, dtype and alignment."""

import numpy as np
import pytest

from tests.support.cuda_on_cpu import need_compiler
from tests.support.pretended_cupy import EmulatedKernel, pretending
from tests.support.targets import usable


@pytest.fixture(params=["cupy-pretended", "source", *usable(["cupy"])])
def cupy(request, monkeypatch):
    """CuPy, pretended, with the kernels in Python or their own source, or real."""
    if request.param == "cupy":
        yield pytest.importorskip("cupy")
        return
    with pretending():
        import cupy

        from portable_bp.backends.graph.printers import cuda_rows

        if request.param == "source":
            need_compiler()
            monkeypatch.setattr(cupy, "RawKernel", EmulatedKernel)
        cuda_rows._kernel.cache_clear()
        yield cupy
        cuda_rows._kernel.cache_clear()


def assert_takes(cupy, source, numbers):
    """Compare with NumPy's rows, and return the bytes of the words that were copied."""
    from portable_bp.backends.graph.printers.cuda_rows import take_rows

    out = cupy.zeros((len(numbers), *source.shape[1:]), source.dtype)
    kernel, launch = take_rows(source, numbers, out)
    kernel(*launch)
    expected = np.take(cupy.asnumpy(source), cupy.asnumpy(numbers), axis=0, mode="wrap")
    np.testing.assert_array_equal(cupy.asnumpy(out), expected)
    return source.nbytes // source.shape[0] // int(launch[2][4])


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize(
    ("dtype", "row", "word"),
    [
        *[("float32", (784,), 16), ("float32", (10,), 8), ("float32", (3,), 4), ("float32", (), 4), ("float32", (2, 6), 16)],
        *[("float64", (2,), 16), ("float64", (), 8), ("float64", (1000,), 16), ("int32", (1,), 4), ("int64", (), 8)],
        *[("bool", (3,), 1), ("bool", (6,), 2), ("uint16", (5,), 2), ("uint8", (32,), 16)],
    ],
)
def test_rows_are_copied_in_the_largest_words_that_fit(cupy, dtype, row, word, index):
    generator = np.random.default_rng(0)
    source = cupy.asarray(generator.integers(0, 2 if dtype == "bool" else 100, (37, *row)).astype(dtype))
    for count in (1, 37, 300):
        assert assert_takes(cupy, source, cupy.asarray(generator.integers(0, 37, count).astype(index))) == word


def test_row_numbers_out_of_range_wrap_as_in_cupy_take(cupy):
    source = cupy.asarray(np.arange(20.0).reshape(5, 4))
    assert_takes(cupy, source, cupy.asarray(np.asarray([-1, 5, 4, 0, -5, -6, -10, -11, 12, 2**31 - 1, -(2**31)], "int32")))


def test_the_alignment_of_an_array_limits_the_words(cupy):
    numbers = cupy.asarray(np.asarray([3, 1, 1], "int32"))
    flat = cupy.asarray(np.arange(40, dtype="float32"))
    for start, word in ((0, 16), (1, 4), (2, 8), (3, 4)):
        assert assert_takes(cupy, flat[start : start + 32].reshape(4, 8), numbers) == word


def test_rows_are_rounded_to_bfloat16_as_pytorch_does(cupy):
    from portable_bp.backends.graph.printers.cuda_rows import take_rows

    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(50, 7)) * 10.0 ** generator.integers(-40, 38, (50, 7))).astype("float32")
    rows[3, :4] = [np.inf, -np.inf, -0.0, 3.4e38]
    numbers, out = np.asarray([3, -1, 49, 3, 0], "int32"), cupy.zeros((5, 7), "uint16")
    kernel, launch = take_rows(cupy.asarray(rows), cupy.asarray(numbers), out)
    kernel(*launch)
    expected = torch.from_numpy(rows[numbers]).to(torch.bfloat16).view(torch.int16).numpy().view("uint16")
    np.testing.assert_array_equal(cupy.asnumpy(out), expected)


def test_other_arrays_are_refused(cupy):
    from portable_bp.backends.graph.printers.cuda_rows import take_rows

    source, out = cupy.zeros((4, 6), "float32"), cupy.zeros((2, 3), "float32")
    for given, dtype in ((source[:, ::2], "int32"), (source.T, "int32"), (cupy.zeros((4, 3), "float32"), "uint8")):
        with pytest.raises(TypeError):
            take_rows(given, cupy.zeros(2, dtype), out)
