"""Record NumPy calls, and the fastest way to replay each."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import array_api_compat.numpy
import numpy as np

from portable_bp.backends.recorded.recording import Call, Instruction, Library, Tracer, Value
from portable_bp.common.trees import leaves, map_leaves

DATA_DEPENDENT_SHAPE = "a shape that depends on numbers cannot be recorded"


class NumpyTracer(Tracer, np.lib.mixins.NDArrayOperatorsMixin):
    """Takes the place of a NumPy array."""

    device = "cpu"
    size = property(lambda self: self.value.example.size)
    mT = property(lambda self: np.swapaxes(self, -1, -2))  # the standard's name
    T = property(lambda self: np.transpose(self))

    def __array_namespace__(self, **_: Any) -> Any:
        """Return NumPy's array API namespace, whose functions are dispatched back to this class."""
        return array_api_compat.numpy

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        """Record a ufunc call."""
        return self.recorder.add(ufunc if method == "__call__" else getattr(ufunc, method), operands, options)

    def __array_function__(self, function: Callable[..., Any], types: Any, operands: tuple, options: dict[str, Any]) -> Any:
        """Record a call of any other NumPy function."""
        if function in SHAPED_BY_NUMBERS:
            raise TypeError(DATA_DEPENDENT_SHAPE)
        return self.recorder.add(function, operands, options)

    def __getitem__(self, key: Any) -> Any:
        """Record an indexing."""
        if any(isinstance(leaf, Tracer) and leaf.dtype == bool for leaf in leaves(key)):
            raise TypeError(DATA_DEPENDENT_SHAPE)
        return self.recorder.add(operator.getitem, (self, key), {})

    def __getattr__(self, name: str) -> Any:
        """Return an array method that NumPy has as a function too."""
        if not (hasattr(np.ndarray, name) and callable(getattr(np, name, None))):
            raise AttributeError(f"an array's {name} cannot be recorded")
        return functools.partial(getattr(np, name), self)

    def __pow__(self, exponent: Any) -> Any:
        """Record a power, or a product for a square, as NumPy computes it."""
        return self * self if isinstance(exponent, int | float) and exponent == 2 else np.power(self, exponent)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Record a change of dtype."""
        return self.recorder.add(as_dtype, (self, np.dtype(dtype)), {})


def as_dtype(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a copy of an array in a dtype."""
    return array.astype(dtype)


ELEMENTWISE = {
    *(ufunc for ufunc in vars(np).values() if isinstance(ufunc, np.ufunc) and ufunc.signature is None and ufunc.nout == 1),
    np.where,
    as_dtype,
}
SHAPED_BY_NUMBERS = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.compress, np.extract, np.delete, np.resize}
REDUCTIONS = {np.sum: np.add.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce}
MAX_COMPARED = 2**14  # constants up to this size, such as class numbers, are compared by content, larger ones by identity
SHORT_ROW = 32  # rows up to this length are reduced column by column: 200 rows of 10 take 2.6 us instead of 8.7


class NumpyLibrary(Library):
    """NumPy, for recording and replay."""

    tracer = NumpyTracer
    block_size = 32768.0  # a few such blocks fit the cache of one core
    elementwise = ELEMENTWISE

    def is_array(self, given: Any) -> bool:
        """Return whether this is a NumPy array or scalar."""
        return isinstance(given, np.ndarray | np.generic)

    def shape_only(self, array: Any) -> np.ndarray:
        """Return one number broadcast to the array's shape."""
        return _shape_only(array.shape, array.dtype)

    @np.errstate(all="ignore")
    def infer_example(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return an array like the result; elementwise calls and matrix products are not computed in full."""
        given = map_leaves(lambda leaf: leaf.example if isinstance(leaf, Value) else leaf, operands)
        if function in ELEMENTWISE and not options:
            arrays = [leaf for leaf in leaves(given) if isinstance(leaf, np.ndarray)]
            first = map_leaves(lambda leaf: leaf[(slice(1),) * leaf.ndim] if isinstance(leaf, np.ndarray) else leaf, given)
            return _shape_only(np.broadcast_shapes(*(array.shape for array in arrays)), function(*first).dtype)
        if function is np.matmul and not options and all(array.ndim > 1 for array in given):
            first, second = given
            np.matmul(first[..., :1, :], second[..., :, :1])  # raises if the shapes do not match
            leading = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
            return _shape_only((*leading, first.shape[-2], second.shape[-1]), np.result_type(first, second))
        if function is np.take and given[0].ndim and isinstance(options.get("axis"), int):
            # The full array would be copied first, as it is not contiguous.
            first = given[0].swapaxes(0, options["axis"])[:1].swapaxes(0, options["axis"])
            return function(first, *given[1:], **(options | {"mode": "wrap"}))
        return function(*given, **options)

    def is_view(self, example: Any, other: Any) -> bool:
        """Return whether two examples share memory."""
        return np.may_share_memory(example, other)

    def constant_key(self, array: Any) -> Any:
        """Return a small array's contents, or a large one's identity."""
        return (array.shape, array.dtype, array.tobytes()) if array.size <= MAX_COMPARED else id(array)

    def simplify(self, value: Value, uses: Mapping[Value, int]) -> list[Value]:
        """Rewrite a number times a large matrix product as a product with a scaled factor, if that factor is smaller."""
        if value.function is not np.multiply or value.options or math.prod(value.shape) <= self.block_size:
            return []
        for number, product in (value.operands, value.operands[::-1]):
            if getattr(number, "shape", ()) == () and isinstance(product, Value) and product.function is np.matmul:
                first, second = product.operands
                same_dtype = len({given.example.dtype for given in (value, product, first)}) == 1
                if same_dtype and uses[product] == 1 and math.prod(first.shape) < math.prod(value.shape):
                    scaled = self._scale(number, first)
                    value.function, value.operands = np.matmul, (scaled[-1], second)
                    return scaled
        return []

    def _scale(self, number: Any, value: Value) -> list[Value]:
        """Return the values that compute a number times a value; of a view, its root is scaled, so that it stays a view."""
        if value.view_of is not None:
            base = self._scale(number, value.view_of)
            operands = (base[-1], *value.operands[1:])
            example = value.function(base[-1].example, *value.operands[1:], **value.options)
            return [*base, Value(example, value.function, operands, value.options, base[-1])]
        return [Value(_shape_only(value.shape, value.example.dtype), np.multiply, (number, value))]

    def empty(self, shape: tuple[int, ...], example: Any) -> np.ndarray:
        """Return a new array."""
        return np.empty(shape, example.dtype)

    def convert_constants(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return a ufunc's operands with Python numbers converted to arrays, which NumPy would do at every call."""
        if not isinstance(value.function, np.ufunc):
            return operands
        dtypes = [operand.dtype for operand in operands if self.is_array(operand)]
        # The minimum of two arrays of one shape is several times faster than that of an array and a number.
        shape = shape if value.function in (np.minimum, np.maximum) else ()
        return tuple(
            operand if self.is_array(operand) else np.full(shape, operand, np.result_type(*dtypes, operand))
            for operand in operands
        )

    def emit(self, instruction: Instruction) -> Call:
        """Return a call that writes into the result's array: of a ufunc, or of the array method behind a function."""
        value, operands, out = instruction
        function, options = value.function, value.options
        if isinstance(function, np.ufunc) and not options:
            if function in (np.minimum, np.maximum):  # they take out by keyword only
                return functools.partial(function, out=out), operands
            matrices = function is np.matmul and all(operand.ndim == 2 for operand in operands)
            return np.ndarray.dot if matrices else function, (*operands, out)
        if function is np.sum and _may_be_product(operands, options):
            # A product with ones takes a third of the time of a sum.
            axis = range(operands[0].ndim)[options["axis"]]
            ones = np.ones(operands[0].shape[axis], out.dtype)
            factors = (operands[0], ones) if axis == operands[0].ndim - 1 else (ones, operands[0])
            return np.ndarray.dot, (*factors, out.reshape(-1) if operands[0].ndim > 1 else out.reshape(()))
        if function in REDUCTIONS and len(operands) == 1 and options.keys() <= {"axis", "dtype", "keepdims"}:
            # A sum's rounding depends on its order, which stays as it is.
            if function is not np.sum and _has_short_rows(operands[0], options):
                return _reduce_by_columns(REDUCTIONS[function], operands[0]), (*operands, out)
            arguments = (options.get("axis"), options.get("dtype"), out, options.get("keepdims", False))
            return REDUCTIONS[function], (*operands, *arguments)
        if function is as_dtype:
            return self.assign, (out, operands[0])
        if function is np.take and options.keys() == {"axis"}:
            # The standard leaves out-of-bounds indices undefined; without wrapping, NumPy would copy the result once more.
            return np.ndarray.take, (*operands, options["axis"], out, "wrap")
        return assign_result(instruction)

    def assign(self, target: np.ndarray, source: Any) -> None:
        """Copy numbers from one array into another."""
        target[...] = source


def assign_result(instruction: Instruction) -> Call:
    """Return a call of the recorded function that copies the result into its array."""
    value, operands, out = instruction
    function, options = value.function, value.options

    def assign(*operands: Any) -> None:
        out[...] = function(*operands, **options)

    return assign, operands


def _may_be_product(operands: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Return whether a sum can be a product with ones: of floating-point numbers, over one axis of a matrix or vector."""
    plain = len(operands) == 1 and options.keys() <= {"axis", "keepdims"} and isinstance(options.get("axis"), int)
    return plain and operands[0].dtype.kind == "f" and operands[0].ndim in (1, 2)


def _has_short_rows(array: np.ndarray, options: dict[str, Any]) -> bool:
    """Return whether a reduction is over the short rows of a matrix."""
    over_rows = options.keys() <= {"axis", "keepdims"} and options.get("axis") in (-1, 1)
    return over_rows and array.ndim == 2 and array.shape[1] <= SHORT_ROW


def _reduce_by_columns(reduce: Callable[..., Any], array: np.ndarray) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return a reduction over rows that runs along the columns of a copy."""
    columns = np.empty(array.shape[::-1], array.dtype)

    def reduce_rows(array: np.ndarray, out: np.ndarray) -> None:
        columns[...] = array.T
        reduce(columns, 0, None, out.reshape(-1))

    return reduce_rows


def _shape_only(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype), shape)
