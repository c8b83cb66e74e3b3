"""Run the source of compiled steps as Python, so that it is tested without a compiler, and for many programs."""

import ctypes
import functools

import numpy as np

NUMBERS = {
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "bool": ctypes.c_uint8,
}


def _pointer(number, address):
    return ctypes.cast(int(address), ctypes.POINTER(number))


def _same(function):
    return function


def gemm(address, order, turned_a, turned_b, rows, columns, shared, alpha, a, lda, b, ldb, beta, out, ldc):
    number = type(out)._type_
    sizes, pointer = ctypes.c_int64, ctypes.POINTER(number)
    kinds = [ctypes.c_int32] * 3 + [sizes] * 3 + [number, pointer, sizes, pointer, sizes, number, pointer, sizes]
    whole = [int(each) for each in (order, turned_a, turned_b, rows, columns, shared)]
    blas = ctypes.CFUNCTYPE(None, *kinds)(address)
    blas(*whole, float(alpha), a, int(lda), b, int(ldb), float(beta), out, int(ldc))


NAMES = {
    "np": np,
    **{f"pointer_{name}": functools.partial(_pointer, number) for name, number in NUMBERS.items()},
    **dict.fromkeys(("inlined", "plain", "summing"), _same),
    "gemm": gemm,
}


@functools.cache
def interpreted(source):
    """Return the function of a source, in the place of the compiled one."""
    names = dict(NAMES)
    exec(compile(source, "a training step", "exec"), names)

    def run(*given):
        with np.errstate(all="ignore"):
            names["run"](*given)

    return run
