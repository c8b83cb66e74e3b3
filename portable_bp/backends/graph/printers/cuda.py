"""CuPy: fused kernels, matrix products by cuBLAS, and the whole step as one CUDA graph where possible.

CuPy refuses to call cuBLAS during stream capture (its issue 6290). The bindings of nvmath-python do not, so a step becomes one
launch where they are installed.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.kernels import C_TYPES, Kernel
from portable_bp.backends.graph.passes import row_sums_as_products
from portable_bp.backends.graph.printers.calls import Call
from portable_bp.backends.graph.printers.cuda_rows import take_rows
from portable_bp.backends.graph.printers.gpu import FusedLibrary
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")

WORKSPACE_SIZE = 2**25  # bytes; what cuBLAS recommends for Hopper
PREAMBLE = """
template <typename T> __device__ inline T maximum(T a, T b) { return a != a || a > b ? a : b; }  // NaN stays NaN
template <typename T> __device__ inline T minimum(T a, T b) { return a != a || a < b ? a : b; }
template <typename T> __device__ inline T absolute(T a) { return a <= T(0) ? T(0) - a : a; }
template <typename T> __device__ inline T sign(T a) { return a > T(0) ? T(1) : a < T(0) ? T(-1) : a; }
template <typename T> __device__ inline T where(bool condition, T a, T b) { return condition ? a : b; }
""" + "".join(
    f"template <typename T> __device__ inline {c_type} to_{dtype}(T a) {{ return static_cast<{c_type}>(a); }}\n"
    for dtype, c_type in C_TYPES.items()
)

_warm: set[Any] = set()  # pairs of a cuBLAS handle and a kind of product that it has computed before


class CupyLibrary(FusedLibrary):
    """CuPy, for replay; precision is "tf32" or "mixed" for matrix products, or that of the dtype."""

    library = cupy
    captures = True
    passes = (row_sums_as_products,)

    def __init__(self, precision: str) -> None:
        self.precision = precision

    @property
    def exact(self) -> CupyLibrary:
        """The library with matrix products in full precision."""
        return CupyLibrary("float32") if self.precision in ("tf32", "mixed") else self

    @staticmethod
    @functools.cache
    def compile_kernel(kernel: Kernel) -> Callable[..., Any]:
        """Return an ``ElementwiseKernel``."""
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

    def emit(self, instruction: Instruction) -> Call:
        """Return a call of cuBLAS or of a kernel of our own if it takes the arrays, and else of CuPy's function."""
        node, operands, out = instruction
        with contextlib.suppress(TypeError):
            if node.operation == "matmul":
                return Gemm(*operands, out, self.precision), ()
            if node.operation == "take" and node.attributes["axis"] == 0:
                return take_rows(*operands, out)
        return super().emit(instruction)

    def assign(self, target: Any, source: Any) -> None:
        """Copy an array's numbers into another: by a memory copy if both are contiguous and of one dtype."""
        if target.dtype == source.dtype and target.flags.c_contiguous and source.flags.c_contiguous:
            target.data.copy_from_device_async(source.data, target.nbytes)
        else:
            target[...] = source

    def capture(self, calls: list[Call]) -> list[Call]:
        """Return one launch of a CUDA graph of all calls, or the calls themselves if they cannot be captured."""
        try:
            from nvmath.bindings import cublas
        except ImportError:
            return calls
        try:
            return [(CudaGraph(calls, cublas), ())]
        except Exception as error:  # whatever CUDA refuses to capture can be called one by one
            warnings.warn(
                f"CuPy could not capture a training step as one CUDA graph ({error}): it runs call by call, which is slower. "
                "Report this error if it persists with current versions of CuPy and nvmath-python.",
                RuntimeWarning,
                stacklevel=2,
            )
            return calls


class Gemm:
    """A product of two matrices, or of a vector and a matrix, by cuBLAS, bound to their memory.

    The factors are contiguous, or transposes of contiguous matrices; ``out`` is contiguous; the dtype is the same for all.
    Raises a TypeError for others. Products with a vector are sums, and are computed in full precision.
    """

    def __init__(self, first: Any, second: Any, out: Any, precision: str) -> None:
        # Imported here since this module must be importable without CUDA's libraries.
        from cupy_backends.cuda.libs import cublas

        if first.ndim == 1 or second.ndim == 1:
            precision = ""
            first = first[None, :] if first.ndim == 1 else first
            second = second[:, None] if second.ndim == 1 else second
        if not first.ndim == second.ndim == 2:
            raise TypeError("arrays that are neither matrices nor vectors")
        if not (first.dtype == second.dtype == out.dtype) or not out.flags.c_contiguous:
            raise TypeError("matrices of several dtypes, or a result that is not contiguous")
        single = {"tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32, "mixed": cublas.CUBLAS_COMPUTE_32F_FAST_16BF}
        kinds = {
            "float32": (cupy.cuda.runtime.CUDA_R_32F, single.get(precision, cublas.CUBLAS_COMPUTE_32F)),
            "float64": (cupy.cuda.runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
        }
        if out.dtype.name not in kinds:
            raise TypeError("matrices of a dtype that cuBLAS does not multiply")
        dtype, compute_type = kinds[out.dtype.name]
        alpha, beta = np.ones((), out.dtype), np.zeros((), out.dtype)
        self.kept = first, second, out, alpha, beta  # the pointers below are valid only as long as these exist
        # cuBLAS is column-major: it sees our matrices transposed, and computes out^T = second^T first^T.
        (rows, shared), columns = first.shape, second.shape[1]
        (first_is_transposed, first_distance), (second_is_transposed, second_distance) = _layout(first), _layout(second)
        self.arguments = (
            *(cublas.CUBLAS_OP_T if each else cublas.CUBLAS_OP_N for each in (second_is_transposed, first_is_transposed)),
            *(columns, rows, shared, alpha.ctypes.data),
            *(second.data.ptr, dtype, second_distance, first.data.ptr, dtype, first_distance),
            *(beta.ctypes.data, out.data.ptr, dtype, columns, compute_type, cublas.CUBLAS_GEMM_DEFAULT),
        )
        # Products of one kind use the same cuBLAS kernel.
        self.kind = (*self.arguments[:5], dtype, compute_type)
        self.gemm = cublas.gemmEx

    def __call__(self) -> None:
        """Multiply, on the current stream."""
        self.gemm(cupy.cuda.device.get_cublas_handle(), *self.arguments)


def _layout(matrix: Any) -> tuple[bool, int]:
    """Return whether a matrix is the transpose of a contiguous one, and the distance between the rows of that, in numbers."""
    if matrix.flags.c_contiguous:
        return False, matrix.shape[1]
    if matrix.flags.f_contiguous:
        return True, matrix.shape[0]
    raise TypeError("a matrix that is neither contiguous nor the transpose of one that is")


class CudaGraph:
    """Calls captured in a CUDA graph; each was called once before, so that nothing is compiled or loaded during capture.

    Matrix products go through ``cublas``, the bindings of nvmath-python.
    """

    def __init__(self, calls: list[Call], cublas: Any) -> None:
        workspace = cupy.empty(WORKSPACE_SIZE, "uint8")
        # Temporary arrays come from a pool of the graph's own: it writes to their memory at every launch.
        pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        handle = _handle(cublas, cupy.cuda.runtime.getDevice())
        cublas.set_stream(handle, stream.ptr)
        cublas.set_workspace(handle, workspace.data.ptr, WORKSPACE_SIZE)
        products = [function for function, _ in calls if isinstance(function, Gemm)]
        with cupy.cuda.using_allocator(pool.malloc), stream:
            _warm_up(cublas, handle, products)
            stream.begin_capture()
            try:
                for function, operands in calls:
                    if isinstance(function, Gemm):
                        cublas.gemm_ex(handle, *function.arguments)
                    else:
                        function(*operands)
            finally:
                self.graph = stream.end_capture()
        self.kept = calls, pool, workspace

    def __call__(self) -> None:
        """Launch on the current stream."""
        self.graph.launch()


def _warm_up(cublas: Any, handle: int, products: list[Gemm]) -> None:
    """Compute each kind of product that is new to a handle once, so that nothing is loaded during capture."""
    new = [product for product in products if (handle, product.kind) not in _warm]
    if new:
        cupy.cuda.Device().synchronize()  # no other work may be using what these products overwrite
        for product in new:
            cublas.gemm_ex(handle, *product.arguments)
            _warm.add((handle, product.kind))
        cupy.cuda.Device().synchronize()


@functools.cache
def _handle(cublas: Any, device: int) -> int:
    return cublas.create()
