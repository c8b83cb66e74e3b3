"""How CuPy plays what was recorded: kernels, products by cuBLAS, and the whole step as one CUDA graph where it can.

CuPy refuses to have its products captured in a graph (its issue 6290). The bindings of nvmath-python do not, so that with them
a step is one launch.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.recorded.fused_calls import C_TYPES, PREAMBLE, FusedLibrary, Kernel
from portable_bp.backends.recorded.tape import Library
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")

_warm: set[Any] = set()  # with which handle was multiplied in which way
WORKSPACE = 2**25  # bytes; what cuBLAS recommends for Hopper


class CupyLibrary(FusedLibrary):
    """What recording and playing ask of CuPy.

    Parameters
    ----------
    precision : str
        "float32" for products as exact as their dtype, "tf32" or "mixed".
    """

    xp = cupy
    captures = True

    def __init__(self, precision: str) -> None:
        self.precision = precision

    @property
    def exact(self) -> Library:
        """The same with products of float32, or itself."""
        return CupyLibrary("float32") if self.precision in ("tf32", "mixed") else self

    def make_kernel(self, kernel: Kernel) -> Callable[..., Any]:
        """Return CuPy's kernel of the lines."""
        return _compiled(kernel)

    def multiply(self, first: Any, second: Any, out: Any) -> Callable[[], Any]:
        """Return a product in fixed places, or one that CuPy finds its way to each time, where they are of another kind."""
        try:
            return Product(first, second, out, self.precision)
        except TypeError:
            return super().multiply(first, second, out)

    def assign(self, target: Any, source: Any) -> None:
        """Copy an array's numbers into another: as they stand, where both are in one piece."""
        if target.dtype == source.dtype and target.flags.c_contiguous and source.flags.c_contiguous:
            target.data.copy_from_device_async(source.data, target.nbytes)
        else:
            target[...] = source

    def captured(self, calls: list[Any]) -> list[Any]:
        """Return one launch of a CUDA graph of all the calls, or the calls themselves where there can be none."""
        try:
            from nvmath.bindings import cublas
        except ImportError:
            return calls
        try:
            return [(Graph(calls, cublas), ())]
        except Exception as error:  # whatever CUDA refuses, the calls can be made one by one
            warnings.warn(f"a step on CuPy is not one CUDA graph, and so slower: {error}", RuntimeWarning, stacklevel=2)
            return calls


@functools.cache
def _compiled(kernel: Kernel) -> Callable[..., Any]:
    lines = [f"const {C_TYPES[dtype]} {name} = {expression};" for dtype, name, expression in kernel.lines]
    results = [f"out{number} = {variable};" for number, variable in enumerate(kernel.results)]
    return cupy.ElementwiseKernel(
        ", ".join(f"{dtype} in{number}" for number, dtype in enumerate(kernel.inputs)),
        ", ".join(f"{dtype} out{number}" for number, dtype in enumerate(kernel.outputs)),
        "\n".join([*lines, *results]),
        "portable_bp_kernel",
        preamble=PREAMBLE,
        no_return=True,
    )


class Product:
    """A product of two matrices into a third, all of them in fixed places.

    Parameters
    ----------
    first : cupy.ndarray, shape (rows, shared)
        In one piece, or the transpose of one that is.
    second : cupy.ndarray, shape (shared, columns)
        As the first.
    out : cupy.ndarray, shape (rows, columns)
        In one piece.
    precision : str
        As `CupyLibrary` takes it.

    Raises
    ------
    TypeError
        If they are of another kind.
    """

    def __init__(self, first: Any, second: Any, out: Any, precision: str) -> None:
        # It needs CUDA's libraries, and this module must be importable without.
        from cupy_backends.cuda.libs import cublas

        if not (first.dtype == second.dtype == out.dtype) or out.dtype.kind != "f" or not out.flags.c_contiguous:
            raise TypeError("not of one dtype, or in pieces")
        double = out.dtype == "float64"
        kind = cupy.cuda.runtime.CUDA_R_64F if double else cupy.cuda.runtime.CUDA_R_32F
        single = {"tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32, "mixed": cublas.CUBLAS_COMPUTE_32F_FAST_16BF}
        compute = cublas.CUBLAS_COMPUTE_64F if double else single.get(precision, cublas.CUBLAS_COMPUTE_32F)
        self.kept = first, second, out, np.ones((), out.dtype), np.zeros((), out.dtype)
        one, zero = (number.ctypes.data for number in self.kept[3:])
        # cuBLAS reads by columns: our rows are the columns of the transpose, and out^T = second^T first^T.
        (rows, shared), columns = first.shape, second.shape[1]
        self.arguments = (
            *(cublas.CUBLAS_OP_T if _is_transposed(factor) else cublas.CUBLAS_OP_N for factor in (second, first)),
            *(columns, rows, shared, one),
            *(second.data.ptr, kind, _leading(second), first.data.ptr, kind, _leading(first)),
            *(zero, out.data.ptr, kind, columns, compute, cublas.CUBLAS_GEMM_DEFAULT),
        )
        self.kind = (*self.arguments[:5], kind, compute)
        self.multiply = cublas.gemmEx

    def __call__(self) -> None:
        """Multiply, on the current stream."""
        self.multiply(cupy.cuda.device.get_cublas_handle(), *self.arguments)


def _is_transposed(matrix: Any) -> bool:
    if not (matrix.flags.c_contiguous or matrix.flags.f_contiguous):
        raise TypeError("in pieces")
    return not matrix.flags.c_contiguous


def _leading(matrix: Any) -> int:
    """Return how far apart the rows of a matrix lie, or its columns where it is transposed."""
    return matrix.shape[0] if _is_transposed(matrix) else matrix.shape[1]


class Graph:
    """Calls that were captured in a CUDA graph.

    Parameters
    ----------
    calls : list of tuple
        Functions and their operands, each called once before, so that nothing is compiled or loaded while they are captured.
    cublas : module
        The bindings of nvmath-python, for the products.
    """

    def __init__(self, calls: list[Any], cublas: Any) -> None:
        workspace = cupy.empty(WORKSPACE, "uint8")
        # What calls take for a moment must not be given to anybody else as long as the graph may write there.
        pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        handle = _handle(cublas, cupy.cuda.runtime.getDevice())
        cublas.set_stream(handle, stream.ptr)
        cublas.set_workspace(handle, workspace.data.ptr, WORKSPACE)
        products = [function for function, _ in calls if isinstance(function, Product)]
        with cupy.cuda.using_allocator(pool.malloc), stream:
            self._warm(cublas, handle, products)
            stream.begin_capture()
            try:
                for function, operands in calls:
                    if isinstance(function, Product):
                        cublas.gemm_ex(handle, *function.arguments)
                    else:
                        function(*operands)
            finally:
                self.graph = stream.end_capture()
        self.kept = calls, pool, workspace

    def _warm(self, cublas: Any, handle: int, products: list[Product]) -> None:
        """Multiply once in every way that is new to the handle, so that nothing is loaded while calls are captured."""
        new = [product for product in products if (handle, product.kind) not in _warm]
        if new:
            cupy.cuda.Device().synchronize()  # nothing else may be at work on what they overwrite
            for product in new:
                cublas.gemm_ex(handle, *product.arguments)
                _warm.add((handle, product.kind))
            cupy.cuda.Device().synchronize()

    def __call__(self) -> None:
        """Launch it on the current stream."""
        self.graph.launch()


@functools.cache
def _handle(cublas: Any, device: int) -> int:
    return cublas.create()
