"""CuPy: many steps as one kernel, or fused kernels and products by cuBLAS, a step of which is one CUDA graph where possible.

CuPy refuses to call cuBLAS during stream capture (its issue 6290). The bindings of nvmath-python do not, so a step becomes one
launch where they are installed.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.kernels import C_TYPES, PREAMBLE, Kernel
from portable_bp.backends.graph.printers.block import BlockExecutable
from portable_bp.backends.graph.printers.block_source import BlockSource
from portable_bp.backends.graph.printers.calls import Call, Executable
from portable_bp.backends.graph.printers.gpu import FusedLibrary
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")

WORKSPACE_SIZE = 2**25  # bytes; what cuBLAS recommends for Hopper
# Steps, of all shapes and of one, from which a kernel of a whole step pays off: it saves some 40 us in each.
MIN_TOTAL, MIN_STEPS = 1000, 100

_warm: set[Any] = set()  # pairs of a cuBLAS handle and a kind of product that it has computed before


class CupyLibrary(FusedLibrary):
    """CuPy, for replay; precision is "tf32" or "mixed" for matrix products, or that of the dtype."""

    library = cupy
    captures = True

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
        """Return a ``Gemm`` for a product that it takes, and a call of CuPy's function for any other operation."""
        if instruction.node.operation == "matmul":
            first, second = instruction.operands
            with contextlib.suppress(TypeError):
                return Gemm(first, second, instruction.out, self.precision), ()
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


class BlockLibrary(CupyLibrary):
    """CuPy, for replay of many steps of a small network by one kernel, in full precision."""

    max_fused = math.inf
    captures = False

    @property
    def exact(self) -> BlockLibrary:
        """The library itself."""
        return self

    @property
    def shared_memory(self) -> int:
        """The bytes that a block may use."""
        return cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]

    def pays(self, steps: float, total: float, size: int) -> bool:
        """Return whether enough steps are expected for a kernel: CuPy compiles it for new sizes, and keeps it in a file."""
        switch = os.environ.get("PORTABLE_BP_COMPILE")
        return switch == "1" or (switch != "0" and total >= MIN_TOTAL and steps >= MIN_STEPS)

    def executable(self, schedule: Schedule, data: Any) -> Executable:
        """Return the schedule as one kernel."""
        return BlockExecutable(schedule, self, data)

    def launcher(self, source: BlockSource) -> Callable[..., None]:
        """Return the compiled kernel, which takes the arguments of its source."""
        kernel = _compiled(str(source), source.memory, cupy.cuda.runtime.getDevice())
        if kernel is None:
            raise TypeError("a kernel that CuPy could not compile")
        return lambda *arguments: kernel((1,), (source.threads,), arguments, shared_mem=source.memory)

    def asarray(self, array: Any) -> Any:
        """Return an array on the device."""
        return cupy.asarray(array)

    def contiguous(self, array: Any) -> Any:
        """Return an array with its numbers one after the other in memory."""
        return cupy.ascontiguousarray(array)


@functools.cache
def _compiled(source: str, memory: int, device: int) -> Any:
    """Return the kernel of a source that uses so much shared memory, or None, after a warning, if it cannot be compiled."""
    try:
        kernel = cupy.RawKernel(source, "run", options=("-std=c++17",))
        kernel.max_dynamic_shared_size_bytes = memory  # compiles it, too
    except Exception as error:  # the step runs as several kernels instead
        warnings.warn(
            f"CuPy could not compile a training step as one CUDA kernel ({error}): it runs as several, which is slower. "
            "Report this error if it persists with a current version of CuPy.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return kernel


class Gemm:
    """A product of two matrices into a third by cuBLAS, bound to their memory.

    The factors are contiguous, or transposes of contiguous matrices; ``out`` is contiguous; the dtype is the same for all.
    Raises a TypeError for others.
    """

    def __init__(self, first: Any, second: Any, out: Any, precision: str) -> None:
        # Imported here since this module must be importable without CUDA's libraries.
        from cupy_backends.cuda.libs import cublas

        if not first.ndim == second.ndim == 2:
            raise TypeError("arrays that are not matrices")
        if not (first.dtype == second.dtype == out.dtype) or out.dtype.kind != "f" or not out.flags.c_contiguous:
            raise TypeError("matrices of several dtypes, or a result that is not contiguous")
        double = out.dtype == "float64"
        dtype = cupy.cuda.runtime.CUDA_R_64F if double else cupy.cuda.runtime.CUDA_R_32F
        single = {"tf32": cublas.CUBLAS_COMPUTE_32F_FAST_TF32, "mixed": cublas.CUBLAS_COMPUTE_32F_FAST_16BF}
        compute_type = cublas.CUBLAS_COMPUTE_64F if double else single.get(precision, cublas.CUBLAS_COMPUTE_32F)
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
