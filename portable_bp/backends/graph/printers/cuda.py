"""CuPy: many steps as one kernel, or fused kernels and products by cuBLAS, a step of which is one CUDA graph where possible.

CuPy refuses to call cuBLAS during stream capture (its issue 6290). The bindings of nvmath-python do not, so a step becomes one
launch where they are installed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.kernels import C_TYPES, PREAMBLE, Kernel
from portable_bp.backends.graph.passes import factors_in_bfloat16, roundings_into_takes, row_sums_as_products, sums_of_sums
from portable_bp.backends.graph.printers.calls import Call, Executable
from portable_bp.backends.graph.printers.cuda_rows import ItemReader, take_rows
from portable_bp.backends.graph.printers.gpu import FusedLibrary
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.common.lookup import require
from portable_bp.common.trees import leaves

cupy = require("cupy", "cuda13", "cuda12")

WORKSPACE_SIZE = 2**25  # bytes; what cuBLAS recommends for Hopper

_warm: set[Any] = set()  # pairs of a cuBLAS handle and a kind of product that it has computed before


@functools.cache
def warn_once(failure: str, error: str) -> None:
    """Warn that CuPy could not do something and what follows, and why."""
    warnings.warn(
        f"CuPy could not {failure}. Update CuPy and nvmath-python; report this error if it persists: {error}",
        RuntimeWarning,
        stacklevel=2,
    )


class CupyLibrary(FusedLibrary):
    """CuPy, for replay; precision is "tf32" or "mixed" (bfloat16) for factors of matrix products, or that of the dtype."""

    library = cupy
    captures = True

    def __init__(self, precision: str) -> None:
        self.precision = precision
        in_bfloat16 = (factors_in_bfloat16, roundings_into_takes) if precision == "mixed" else ()
        self.passes = (sums_of_sums, row_sums_as_products, *in_bfloat16)

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
        try:
            if node.operation == "matmul":
                first, second = operands
                return Gemm(first, second, out, self.precision), ()
            if node.operation == "take" and node.attributes["axis"] == 0:
                source, numbers = operands
                return take_rows(source, numbers, out)
        except TypeError:
            if any(each.dtype == "bfloat16" for each in (node, *node.inputs)):  # which CuPy lacks: it would read integers
                raise
        return super().emit(instruction)

    def report(self, error: Exception) -> None:
        """Warn of a kernel that cannot be compiled, which is no fault of the user's."""
        if isinstance(error, cupy.cuda.compiler.CompileException):
            warn_once("compile a kernel, so steps are called operation by operation, which is slower", str(error))

    def assign(self, target: Any, source: Any) -> None:
        """Copy an array's numbers into another: by a memory copy if both are contiguous and of one dtype."""
        if target.dtype == source.dtype and target.flags.c_contiguous and source.flags.c_contiguous:
            target.data.copy_from_device_async(source.data, target.nbytes)
        else:
            target[...] = source

    def executable(self, schedule: Schedule, data: Any) -> Executable:
        """Return what runs a schedule."""
        return CupyExecutable(schedule, self, data)

    def capture(self, executable: Executable) -> list[Call]:
        """Return one launch of a CUDA graph of all calls, or the calls themselves if they cannot be captured."""
        try:
            from nvmath.bindings import cublas
        except ImportError:
            return executable.calls
        try:
            return [(CudaGraph(executable, cublas), ())]
        except Exception as error:  # whatever CUDA refuses to capture can be called one by one
            warn_once("capture a training step as one CUDA graph, so it runs call by call, which is slower", str(error))
            return executable.calls


class CupyExecutable(Executable):
    """An executable whose small items are read within its CUDA graph, if it has one: each step is one launch then."""

    def bind(self, data: Any) -> None:
        """Bind the calls to the loop's data, which our kernels need contiguous."""
        super().bind([array if array.flags.c_contiguous else array.copy(order="C") for array in leaves(data)])

    def run_steps(self, items: list[tuple[Any, Any]], indices: range) -> None:
        """Launch some steps."""
        for function, _ in self.calls:
            if isinstance(function, CudaGraph):
                items = function.begin(items, indices)
        super().run_steps(items, indices)


class Gemm:
    """A product of two matrices, or of a vector and a matrix, by cuBLAS, bound to their memory.

    The factors are contiguous, or transposes of contiguous matrices; ``out`` is contiguous; the dtype is the same for
    all, except for factors in bfloat16, whose product is float32. Raises a TypeError for others.
    Products with a vector are sums, and are computed in full precision.
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
        runtime = cupy.cuda.runtime
        single = cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if precision == "tf32" else cublas.CUBLAS_COMPUTE_32F
        # The types of the factors, of the result and of the sums, by the dtypes of the arrays.
        kinds = {
            ("float32", "float32", "float32"): (runtime.CUDA_R_32F, runtime.CUDA_R_32F, single),
            ("float64", "float64", "float64"): (runtime.CUDA_R_64F, runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
            ("uint16", "uint16", "float32"): (runtime.CUDA_R_16BF, runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
        }
        dtypes = first.dtype.name, second.dtype.name, out.dtype.name
        if dtypes not in kinds or not out.flags.c_contiguous:
            raise TypeError("matrices of other dtypes, or a result that is not contiguous")
        factor, result, compute_type = kinds[dtypes]
        alpha, beta = np.ones((), out.dtype), np.zeros((), out.dtype)
        self.kept = first, second, out, alpha, beta  # the pointers below are valid only as long as these exist
        # cuBLAS is column-major: it sees our matrices transposed, and computes out^T = second^T first^T.
        (rows, shared), columns = first.shape, second.shape[1]
        (first_is_transposed, first_distance), (second_is_transposed, second_distance) = _layout(first), _layout(second)
        self.arguments = (
            *(cublas.CUBLAS_OP_T if each else cublas.CUBLAS_OP_N for each in (second_is_transposed, first_is_transposed)),
            *(columns, rows, shared, alpha.ctypes.data),
            *(second.data.ptr, factor, second_distance, first.data.ptr, factor, first_distance),
            *(beta.ctypes.data, out.data.ptr, result, columns, compute_type, cublas.CUBLAS_GEMM_DEFAULT),
        )
        # Products of one kind use the same cuBLAS kernel.
        self.kind = (*self.arguments[:5], factor, compute_type)
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

    Matrix products go through ``cublas``, the bindings of nvmath-python. The graph reads its items itself if they are small.
    """

    def __init__(self, executable: Executable, cublas: Any) -> None:
        calls = executable.calls
        self.readers = {id(item): ItemReader(item) for item in executable.items if ItemReader.takes(item)}
        for reader in self.readers.values():
            reader.begin(reader.item)
            reader()
        workspace = cupy.empty(WORKSPACE_SIZE, "uint8")
        # Temporary arrays come from a pool of the graph's own: it writes to their memory at every launch.
        pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        handle = _handle(cublas, cupy.cuda.runtime.getDevice())
        products = [function for function, _ in calls if isinstance(function, Gemm)]
        with cupy.cuda.using_allocator(pool.malloc), stream:
            cublas.set_stream(handle, stream.ptr)
            cublas.set_workspace(handle, workspace.data.ptr, WORKSPACE_SIZE)
            _warm_up(cublas, handle, products)
            stream.begin_capture()
            try:
                for reader in self.readers.values():
                    reader()
                for function, operands in calls:
                    if isinstance(function, Gemm):
                        cublas.gemm_ex(handle, *function.arguments)
                    else:
                        function(*operands)
            finally:
                self.graph = stream.end_capture()
        self.kept = calls, pool, workspace

    def begin(self, items: list[tuple[Any, Any]], indices: range) -> list[tuple[Any, Any]]:
        """Tell the graph where the items of the next steps are, and return those that it does not read itself."""
        for array, given in items:
            if id(array) in self.readers:
                self.readers[id(array)].begin(given[indices.start : indices.stop])
        return [(array, given) for array, given in items if id(array) not in self.readers]

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
