"""How NumPy's calls are recorded, and how each is best played."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import array_api_compat.numpy
import numpy as np

from portable_bp.backends.recorded.tape import Library, StandIn, Value
from portable_bp.common.trees import leaves, map_leaves


class NumpyStandIn(StandIn, np.lib.mixins.NDArrayOperatorsMixin):
    """Takes the place of a NumPy array."""

    device = "cpu"
    size = property(lambda self: self.value.example.size)
    mT = property(lambda self: np.swapaxes(self, -1, -2))  # the standard's name
    T = property(lambda self: np.transpose(self))

    def __array_namespace__(self, **_: Any) -> Any:
        """Return NumPy's array API namespace, whose functions come back here by NumPy's protocols."""
        return array_api_compat.numpy

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **options: Any) -> Any:
        """Note a call of one of NumPy's ufuncs."""
        return self.tape.add(ufunc if method == "__call__" else getattr(ufunc, method), given, options)

    def __array_function__(self, function: Callable[..., Any], types: Any, given: tuple, options: dict[str, Any]) -> Any:
        """Note a call of another of NumPy's functions."""
        if function in SHAPED_BY_NUMBERS:
            raise TypeError("a shape that depends on numbers is not recorded")
        return self.tape.add(function, given, options)

    def __getitem__(self, key: Any) -> Any:
        """Note that a part is taken."""
        if any(isinstance(leaf, StandIn) and leaf.dtype == bool for leaf in leaves(key)):
            raise TypeError("a shape that depends on numbers is not recorded")
        return self.tape.add(operator.getitem, (self, key), {})

    def __getattr__(self, name: str) -> Any:
        """Return a method of NumPy's arrays that is one of its functions too."""
        if not (hasattr(np.ndarray, name) and callable(getattr(np, name, None))):
            raise AttributeError(f"an array's {name} is not recorded")
        return functools.partial(getattr(np, name), self)

    def __pow__(self, exponent: Any) -> Any:
        """Note a power; a square is a product, as for NumPy's own arrays."""
        return self * self if isinstance(exponent, int | float) and exponent == 2 else np.power(self, exponent)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Note a change of dtype."""
        return self.tape.add(as_dtype, (self, np.dtype(dtype)), {})


def as_dtype(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return an array in another dtype, always as a copy.

    Parameters
    ----------
    array : numpy.ndarray
        What to change.
    dtype : numpy.dtype
        Into what.
    """
    return array.astype(dtype)


ELEMENTWISE = {
    *(ufunc for ufunc in vars(np).values() if isinstance(ufunc, np.ufunc) and ufunc.signature is None and ufunc.nout == 1),
    np.where,
    as_dtype,
}
SHAPED_BY_NUMBERS = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.compress, np.extract, np.delete, np.resize}
FEW_NUMBERS = 2**14  # of a constant, such as the numbers of the classes: it is compared by them
SHORT = 32  # rows of no more numbers are reduced by columns: for 200 rows of 10, in 2.6 us in place of 8.7
REDUCTIONS = {np.sum: np.add.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce}


class NumpyLibrary(Library):
    """What recording and playing ask of NumPy: see `portable_bp.backends.recorded.tape.Library`."""

    stand_in = NumpyStandIn
    block = 32768.0  # a few such blocks fit the cache that a core has to itself
    elementwise = ELEMENTWISE

    def is_array(self, given: Any) -> bool:
        """Return whether something is an array or a number of NumPy's."""
        return isinstance(given, np.ndarray | np.generic)

    def hollow(self, array: Any) -> np.ndarray:
        """Return one number, seen as an array of the shape."""
        return _hollow(array.shape, array.dtype)

    @np.errstate(all="ignore")
    def example(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return an array like the result: elementwise calls and products are not carried out in full."""
        given = map_leaves(lambda leaf: leaf.example if isinstance(leaf, Value) else leaf, operands)
        if function in ELEMENTWISE and not options:
            arrays = [leaf for leaf in leaves(given) if isinstance(leaf, np.ndarray)]
            first = map_leaves(lambda leaf: leaf[(slice(1),) * leaf.ndim] if isinstance(leaf, np.ndarray) else leaf, given)
            return _hollow(np.broadcast_shapes(*(array.shape for array in arrays)), function(*first).dtype)
        if function is np.matmul and not options and all(array.ndim > 1 for array in given):
            first, second = given
            np.matmul(first[..., :1, :], second[..., :, :1])  # which raises where the shapes do not fit
            leading = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
            return _hollow((*leading, first.shape[-2], second.shape[-1]), np.result_type(first, second))
        if function is np.take and given[0].ndim and isinstance(options.get("axis"), int):
            # NumPy would first copy all that it takes from.
            first = given[0].swapaxes(0, options["axis"])[:1].swapaxes(0, options["axis"])
            return function(first, *given[1:], **(options | {"mode": "wrap"}))
        return function(*given, **options)

    def is_view(self, example: Any, other: Any) -> bool:
        """Return whether two examples share memory."""
        return np.may_share_memory(example, other)

    def identity(self, array: Any) -> Any:
        """Return an array's numbers where they are few, else what is its own alone."""
        return (array.shape, array.dtype, array.tobytes()) if array.size <= FEW_NUMBERS else id(array)

    def contract(self, value: Value, uses: Mapping[Value, int]) -> list[Value]:
        """Let a number times a large product be the product of a scaled factor, where that factor is smaller."""
        if value.function is not np.multiply or value.options or math.prod(value.shape) <= self.block:
            return []
        for number, product in (value.operands, value.operands[::-1]):
            if getattr(number, "shape", ()) == () and isinstance(product, Value) and product.function is np.matmul:
                first, second = product.operands
                alike = len({given.example.dtype for given in (value, product, first)}) == 1
                if alike and uses[product] == 1 and math.prod(first.shape) < math.prod(value.shape):
                    scaled = self._scaled(number, first)
                    value.function, value.operands = np.matmul, (scaled[-1], second)
                    return scaled
        return []

    def _scaled(self, number: Any, value: Value) -> list[Value]:
        """Return the values that a number times another takes; a view is taken of what was scaled."""
        if value.view_of is not None:
            below = self._scaled(number, value.view_of)
            operands = (below[-1], *value.operands[1:])
            example = value.function(below[-1].example, *value.operands[1:], **value.options)
            return [*below, Value(example, value.function, operands, value.options, below[-1])]
        return [Value(_hollow(value.shape, value.example.dtype), np.multiply, (number, value))]

    def empty(self, shape: tuple[int, ...], example: Any) -> np.ndarray:
        """Return a new array."""
        return np.empty(shape, example.dtype)

    def numbers(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the operands with numbers as the arrays that NumPy would make of them each time."""
        if not isinstance(value.function, np.ufunc):
            return operands
        kinds = [operand.dtype for operand in operands if self.is_array(operand)]
        # NumPy finds the smaller of two arrays several times as fast as that of an array and a number.
        like = shape if value.function in (np.minimum, np.maximum) else ()
        return tuple(
            operand if self.is_array(operand) else np.full(like, operand, np.result_type(*kinds, operand))
            for operand in operands
        )

    def call(self, value: Value, operands: tuple[Any, ...], out: np.ndarray) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the ufunc, or the method behind a function, that writes into an array."""
        function, options = value.function, value.options
        if isinstance(function, np.ufunc) and not options:
            if function in (np.minimum, np.maximum):  # which take no third array by place
                return functools.partial(function, out=out), operands
            matrices = function is np.matmul and all(operand.ndim == 2 for operand in operands)
            return np.ndarray.dot if matrices else function, (*operands, out)
        if function is np.sum and _may_be_product(operands, options):
            # A product with ones takes a third of the time of a sum.
            axis = range(operands[0].ndim)[options["axis"]]
            ones = np.ones(operands[0].shape[axis], out.dtype)
            pair = (operands[0], ones) if axis == operands[0].ndim - 1 else (ones, operands[0])
            return np.ndarray.dot, (*pair, out.reshape(-1) if operands[0].ndim > 1 else out.reshape(()))
        if function in REDUCTIONS and len(operands) == 1 and options.keys() <= {"axis", "dtype", "keepdims"}:
            named = (options.get("axis"), options.get("dtype"), out, options.get("keepdims", False))
            # Not a sum, which rounds as its order is.
            if function is not np.sum and _has_short_rows(operands[0], options):
                return _reduced_by_columns(REDUCTIONS[function], operands[0]), (*operands, out)
            return REDUCTIONS[function], (*operands, *named)
        if function is as_dtype:
            return self.assign, (out, operands[0])
        if function is np.take and options.keys() == {"axis"}:
            # The standard leaves open what an index outside gives; without wrapping NumPy would copy the result once more.
            return np.ndarray.take, (*operands, options["axis"], out, "wrap")

        def assign(*operands: Any) -> None:
            out[...] = function(*operands, **options)

        return assign, operands

    def assign(self, target: np.ndarray, source: Any) -> None:
        """Copy numbers from one array into another."""
        target[...] = source


def _may_be_product(operands: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Return whether a sum is one of floating-point numbers over an axis of a matrix or vector: a product with ones."""
    plain = len(operands) == 1 and options.keys() <= {"axis", "keepdims"} and isinstance(options.get("axis"), int)
    return plain and operands[0].dtype.kind == "f" and operands[0].ndim in (1, 2)


def _has_short_rows(array: np.ndarray, options: dict[str, Any]) -> bool:
    """Return whether a reduction is one over the short rows of a matrix."""
    over_rows = options.keys() <= {"axis", "keepdims"} and options.get("axis") in (-1, 1)
    return over_rows and array.ndim == 2 and array.shape[1] <= SHORT


def _reduced_by_columns(reduce: Callable[..., Any], array: np.ndarray) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return a reduction over short rows that goes along the columns of a copy."""
    columns = np.empty(array.shape[::-1], array.dtype)

    def reduced(array: np.ndarray, out: np.ndarray) -> None:
        columns[...] = array.T
        reduce(columns, 0, None, out.reshape(-1))

    return reduced


def _hollow(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype), shape)
