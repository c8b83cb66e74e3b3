"""NumPy: what recording needs to know of it, and the fastest call for each operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat.numpy
import numpy as np

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.ir import ELEMENTWISE, Node
from portable_bp.backends.graph.namespace import Namespace, Place
from portable_bp.backends.graph.passes import LARGE, scale_factors, sums_as_products, sums_of_products
from portable_bp.backends.graph.printers.calls import Call, CallPrinter
from portable_bp.backends.graph.schedule import Policy
from portable_bp.backends.graph.trace import Tracer
from portable_bp.common.trees import map_leaves

OTHER_NAMES = {"pow": "power", "atan": "arctan"}
UFUNCS = {name: getattr(np, OTHER_NAMES.get(name, name)) for name in ELEMENTWISE - {"where", "astype", "copy"}}
REDUCTIONS = {"sum": np.add.reduce, "max": np.maximum.reduce, "min": np.minimum.reduce}
SHORT_ROW = 32  # rows up to this length are reduced column by column: 200 rows of 10 take 2.6 us instead of 8.7


class NumpyLibrary(CallPrinter):
    """NumPy, for recording and replay."""

    xp = array_api_compat.numpy
    array_type = np.ndarray
    device: Any = "cpu"
    giving_pairs = ()
    policy = Policy(block_size=float(LARGE))  # a few such blocks fit the cache of one core
    passes = (sums_of_products, scale_factors, sums_as_products)

    def is_array(self, given: Any) -> bool:
        """Return whether this is an array or a NumPy number."""
        return isinstance(given, np.ndarray | np.generic)

    def on_host(self, array: Any) -> Any:
        """Return None: all arrays of NumPy are constants as they are."""
        return None

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

    @np.errstate(all="ignore")
    def infer(
        self, nodes: Sequence[Node], function: Callable[..., Any], operands: Any, options: dict[str, Any]
    ) -> tuple[Sequence[int], str]:
        """Return the shape and dtype of a call's result on zeros, which take no memory; a ufunc computes only one of them."""
        shapes = [node.shape for node in nodes]
        is_ufunc = isinstance(function, np.ufunc) and function.signature is None
        zeros = [np.zeros((1,) * len(node.shape) if is_ufunc else (), node.dtype) for node in nodes]
        given = [each if is_ufunc else np.broadcast_to(each, shape) for each, shape in zip(zeros, shapes, strict=True)]
        result = function(*map_leaves(lambda leaf: given[leaf] if isinstance(leaf, Place) else leaf, operands), **options)
        if not self.is_array(result):
            raise TypeError("a result that is not an array may depend on numbers, which are unknown while recording")
        others = [np.shape(each) for each in operands if not isinstance(each, Place)] if is_ufunc else []
        return np.broadcast_shapes(*shapes, *others) if is_ufunc else result.shape, result.dtype.name

    def empty(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """Return a new array."""
        return np.empty(shape, dtype)

    def as_array(self, node: Node) -> Any:
        """Return a constant, as it is."""
        return node.attributes["value"]

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
            if max(operand.ndim for operand in operands) > 2:
                return np.matmul, (*operands, out)
            return np.ndarray.dot, (*operands, out.reshape((*operands[0].shape[:-1], *operands[1].shape[1:])))
        if operation in REDUCTIONS:
            (array,), axis, keepdims = operands, attributes["axis"], attributes["keepdims"]
            # A sum's rounding depends on its order, which stays as it is.
            if operation != "sum" and axis == (1,) and array.ndim == 2 and array.shape[1] <= SHORT_ROW:
                return _reduce_by_columns(REDUCTIONS[operation], array), (array, out)
            return REDUCTIONS[operation], (array, axis, None, out, keepdims)
        if operation == "take":
            # The standard leaves out-of-bounds indices undefined; without wrapping, NumPy would copy the result once more.
            return np.ndarray.take, (*operands, attributes["axis"], out, "wrap")
        if operation == "concat":
            return functools.partial(np.concatenate, operands, attributes["axis"], out), ()
        if operation == "where":
            return functools.partial(_where, out), operands
        return self.assign, (out, operands[0])  # astype, copy


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


class NumpyTracer(Tracer):
    """Takes the place of a NumPy array."""

    library = NumpyLibrary()
    namespace = Namespace(library)


NumpyLibrary.tracer = NumpyTracer  # type: ignore[attr-defined]
