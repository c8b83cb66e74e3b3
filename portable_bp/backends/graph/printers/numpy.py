"""NumPy: what recording needs to know of it, and the fastest call for each operation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import array_api_compat.numpy
import numpy as np

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.ir import ELEMENTWISE, Node
from portable_bp.backends.graph.namespace import Place
from portable_bp.backends.graph.passes import scale_factors, sums_as_products, sums_of_products
from portable_bp.backends.graph.printers.calls import Call, Library
from portable_bp.backends.graph.printers.threads import run_in_threads, usable_threads

OTHER_NAMES = {"pow": "power", "atan": "arctan"}
UFUNCS = {name: getattr(np, OTHER_NAMES.get(name, name)) for name in ELEMENTWISE - {"where", "astype", "copy"}}
REDUCTIONS = {"sum": np.add.reduce, "max": np.maximum.reduce, "min": np.minimum.reduce}
# In multiplications, as measured: OpenBLAS uses one thread for a product of up to the first number. Dividing many of them among
# two threads of our own pays off from the second number on, which takes some 0.6 ms.
MAX_OF_ONE_THREAD, MIN_IN_THREADS = 2**18, 2**22
SHORT_ROW = 32  # rows up to this length are reduced column by column: 200 rows of 10 take 2.6 us instead of 8.7


class NumpyLibrary(Library):
    """NumPy, for recording and replay."""

    xp = array_api_compat.numpy
    array_type = np.ndarray
    device = "cpu"
    passes = (sums_of_products, scale_factors, sums_as_products)
    library: Any = np  # the module whose arrays are computed with

    def is_array(self, given: Any) -> bool:
        """Return whether this is an array or number of NumPy, or an array of the library."""
        return isinstance(given, np.ndarray | np.generic | self.library.ndarray)

    @staticmethod
    @functools.cache
    def dtype(name: str) -> Any:
        """Return the NumPy dtype of a name."""
        return np.dtype(name)

    @staticmethod
    @functools.cache
    def promote(*kinds: Any) -> str:
        """Return the dtype that NumPy computes in."""
        known = [np.dtype(kind[0]) if isinstance(kind, tuple) else kind(0) for kind in kinds]
        return np.result_type(*known).name

    def without_numbers(self, node: Node) -> np.ndarray:
        """Return one zero, broadcast to the shape of a node."""
        return np.broadcast_to(np.zeros((), node.dtype), node.shape)

    def infer(
        self, nodes: Sequence[Node], function: Callable[..., Any], operands: Any, options: dict[str, Any]
    ) -> tuple[Sequence[int], str]:
        """Return the shape and dtype of the result of an opaque function; a ufunc computes no more than one number."""
        if not isinstance(function, np.ufunc) or function.signature:
            return super().infer(nodes, function, operands, options)
        single = [replace(node, shape=(1,) * len(node.shape)) for node in nodes]
        _, dtype = super().infer(single, function, operands, options)
        constants = [np.shape(each) for each in operands if not isinstance(each, Place)]
        return np.broadcast_shapes(*(node.shape for node in nodes), *constants), dtype

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a new array of the library."""
        return self.library.empty(shape, dtype)

    def emit(self, instruction: Instruction) -> Call:
        """Return a call that writes into the result's array: of a ufunc, or of the array method behind a function."""
        node, operands, out = instruction
        operation, attributes = node.operation, node.attributes
        if operation in ("minimum", "maximum"):  # they take out by keyword only
            # The minimum of two arrays of one shape is several times faster than that of an array and a number.
            whole = (
                _filled(out.shape, operand.item(), operand.dtype)
                if source.operation == "constant" and operand.ndim == 0
                else operand
                for source, operand in zip(node.inputs, operands, strict=True)
            )
            return functools.partial(UFUNCS[operation], out=out), tuple(whole)
        if operation in UFUNCS:
            return UFUNCS[operation], (*operands, out)
        if operation == "matmul":
            first, second = operands
            if max(first.ndim, second.ndim) > 2:
                return _products_in_threads(first, second, out) or (np.matmul, (first, second, out))
            return np.ndarray.dot, (first, second, out.reshape((*first.shape[:-1], *second.shape[1:])))
        if operation in REDUCTIONS:
            (array,), axis, keepdims = operands, attributes["axis"], attributes["keepdims"]
            # A sum's rounding depends on its order, which stays as it is.
            if operation != "sum" and axis == (1,) and array.ndim == 2 and array.shape[1] <= SHORT_ROW:
                return _reduce_by_columns(REDUCTIONS[operation], array), (array, out)
            return REDUCTIONS[operation], (array, axis, None, out, keepdims)
        if operation == "take":
            # Rows of a batch are within bounds; without wrapping, NumPy would copy the result once more.
            return np.ndarray.take, (*operands, attributes["axis"], out, "wrap" if node.inputs[1].root.is_given else "raise")
        if operation == "concat":
            return functools.partial(np.concatenate, operands, attributes["axis"], out), ()
        if operation == "where":
            return functools.partial(_where, out), operands
        return self.assign, (out, operands[0])  # astype, copy


def _products_in_threads(first: np.ndarray, second: np.ndarray, out: np.ndarray) -> Call | None:
    """Return a call that divides many small products among threads; None where one thread, or BLAS itself, is as fast."""
    members, rows, columns = (1, *out.shape)[-3:]
    multiplications = rows * columns * first.shape[-1]
    parts = min(members, usable_threads())
    if multiplications > MAX_OF_ONE_THREAD or members * multiplications < MIN_IN_THREADS or parts == 1 or out.ndim != 3:
        return None
    edges = [members * number // parts for number in range(parts + 1)]
    work = []
    for start, stop in itertools.pairwise(edges):
        given = (each[start:stop] if each.shape[:-2] == (members,) else each for each in (first, second))
        work.append(functools.partial(np.matmul, *given, out[start:stop]))
    return run_in_threads, (work,)


def _where(out: np.ndarray, *operands: Any) -> None:
    out[...] = np.where(*operands)


@functools.lru_cache(maxsize=16)
def _filled(shape: tuple[int, ...], number: Any, dtype: Any) -> np.ndarray:
    return np.full(shape, number, dtype)


def _reduce_by_columns(reduce: Callable[..., Any], array: np.ndarray) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return a reduction over rows that runs along the columns of a copy."""
    columns = np.empty(array.shape[::-1], array.dtype)

    def reduce_rows(array: np.ndarray, out: np.ndarray) -> None:
        columns[...] = array.T
        reduce(columns, 0, None, out.reshape(-1))

    return reduce_rows
