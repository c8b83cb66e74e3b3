"""What generated source may use: pointers to arrays, a matrix product of a BLAS at an address, and decorators."""

from __future__ import annotations

from typing import Any

import numpy as np  # noqa: F401  generated source uses it
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract"}}
_INTERNAL: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
inlined = njit(forceinline=True, fastmath={"contract"}, **_INTERNAL)
plain = njit(fastmath={"contract"}, **_INTERNAL)
summing = njit(fastmath={"contract", "reassoc", "nsz"}, **_INTERNAL)  # in another order, so that a sum is vectorized


def _pointer(dtype: Any) -> Any:
    """Return a function that makes a pointer to numbers of a dtype from an address."""

    @intrinsic
    def pointer(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(dtype)))

        return types.CPointer(dtype)(types.int64), generate

    return pointer


pointer_float32, pointer_float64 = _pointer(types.float32), _pointer(types.float64)
pointer_int32, pointer_int64, pointer_bool = _pointer(types.int32), _pointer(types.int64), _pointer(types.uint8)


@intrinsic
def gemm(
    context: Any, address: Any, order: Any, turn_a: Any, turn_b: Any, rows: Any, columns: Any, shared: Any,
    alpha: Any, a: Any, lda: Any, b: Any, ldb: Any, beta: Any, out: Any, ldc: Any,
) -> Any:  # fmt: skip
    """Call the ``cblas_?gemm`` with 64-bit integers that is at an address."""
    enums, sizes = [types.int32] * 3, [types.int64] * 3
    signature = types.void(types.int64, *enums, *sizes, alpha, a, types.int64, b, types.int64, beta, out, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [context.get_value_type(each) for each in signature.args[1:]])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return signature, generate
