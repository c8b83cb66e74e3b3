"""The array API namespace of tracers: each operation adds a node, whose shape and dtype it infers.

Functions of NumPy, CuPy and PyTorch reach the same operations by their names; any other function becomes an opaque node, which
only its own library can run.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from portable_bp.backends.graph import ir
from portable_bp.backends.graph.ir import Node, constant, dtype_name
from portable_bp.backends.graph.trace import OPERATORS, Tracer, recorder
from portable_bp.common.trees import leaves, map_leaves

SHAPED_BY_NUMBERS = {"nonzero", "flatnonzero", "argwhere", "unique", "compress", "extract", "delete", "resize"}
CREATION = {"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"}
NUMBERS = (bool, int, float)  # Python's own, which take the dtype of what they are combined with, unlike NumPy's
ABOUT_DTYPES = {"can_cast", "finfo", "iinfo", "isdtype", "result_type"}

# Other names of operations, in NumPy, CuPy and PyTorch.
ALIASES = {
    **OPERATORS,
    **{"div": "divide", "true_divide": "divide", "power": "pow", "absolute": "abs", "fabs": "abs"},
    **{"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_invert": "logical_not", "bitwise_not": "logical_not"},
    **{"arctan": "atan", "unsqueeze": "expand_dims", "clamp": "clip", "amax": "max", "amin": "min", "to": "astype"},
    **{"concatenate": "concat", "cat": "concat", "permute": "permute_dims"},
}
# What arithmetic on booleans is, and what whole numbers are not made floating-point numbers for.
OF_BOOLEANS = {"add": "logical_or", "maximum": "logical_or", "multiply": "logical_and", "minimum": "logical_and"}
WHOLE = {"pow", "floor", "ceil"}
KEYWORDS = {"dim": "axis", "keepdim": "keepdims"}  # of PyTorch


class Place(int):
    """The number of an input, where it stands among an opaque function's operands."""


def placed(operands: Any, arrays: Sequence[Any]) -> Any:
    """Return an opaque function's operands with arrays at their places."""
    return map_leaves(lambda leaf: arrays[leaf] if isinstance(leaf, Place) else leaf, operands)


class Namespace:
    """The namespace of tracers: its public methods, and ``ir.ELEMENTWISE``, are the operations.

    Any other name is that of something in the library's own namespace.
    """

    def __getattr__(self, name: str) -> Any:
        if name in ir.ELEMENTWISE:
            return functools.partial(self._elementwise, name)
        if name in CREATION:
            return functools.partial(self._create, name)
        found = getattr(recorder().library.xp, name)
        if name in ABOUT_DTYPES:
            return lambda *given: found(*(leaf.dtype if isinstance(leaf, Tracer) else leaf for leaf in given))
        if isinstance(found, type) or not callable(found):
            return found  # such as a dtype, or pi
        return lambda *operands, **options: self.record_call(found, operands, options)

    def record_call(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Record a call of a library's function: as the operation of its name if that takes the arguments, or as opaque."""
        if not any(isinstance(leaf, Tracer) for leaf in leaves([operands, *options.values()])):
            return function(*operands, **options)
        name = getattr(function, "__name__", "").removeprefix("cupy_")
        operation = ALIASES.get(name.strip("_"), name.strip("_"))
        if options.get("out") is not None or options.get("inplace") or name.endswith("_") != name.startswith("__"):
            raise TypeError(f"{name} changes an array in place, which cannot be recorded")
        is_pair = name in recorder().library.giving_pairs and (len(operands) > 1 or bool(options))
        is_other = is_pair or name in recorder().library.others
        if not is_other and (operation in ir.ELEMENTWISE or hasattr(Namespace, operation)):
            with contextlib.suppress(TypeError, ValueError, IndexError):  # it does not take these arguments
                return getattr(self, operation)(*operands, **{KEYWORDS.get(key, key): options[key] for key in options})
        return self._opaque(function, operands, options)

    def _opaque(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Tracer:
        """Record a call that only the library can make."""
        if getattr(function, "__name__", "") in SHAPED_BY_NUMBERS:
            raise TypeError("a shape that depends on numbers cannot be recorded")
        if any(isinstance(leaf, Tracer) for leaf in leaves(list(options.values()))):
            raise TypeError("an array that is passed by keyword cannot be recorded")
        tracers: list[Tracer] = []

        def place(leaf: Any) -> Any:
            if not isinstance(leaf, Tracer):
                return leaf
            tracers.append(leaf)
            return Place(len(tracers) - 1)

        call = {"function": function, "operands": map_leaves(place, operands), "options": options}
        shape, dtype = recorder().library.infer([each.node for each in tracers], **call)
        return self._add("opaque", tracers, shape, dtype, **call)

    def _create(self, name: str, *given: Any, dtype: Any = None, device: Any = None, **options: Any) -> Tracer:
        """Return an array of known numbers, as a constant."""
        if name == "asarray" and isinstance(given[0], Tracer):
            return given[0] if dtype is None else self.astype(given[0], dtype)
        create = getattr(recorder().library.xp, name)
        return recorder().add(constant(np.asarray(create(*given, dtype=dtype, **options))))

    def _add(self, operation: str, tracers: Sequence[Tracer], shape: Sequence[int], dtype: str, **attributes: Any) -> Tracer:
        return recorder().add(Node(operation, tuple(each.node for each in tracers), tuple(shape), dtype, attributes))

    def _tracer(self, given: Any, dtype: str | None = None) -> Tracer:
        """Return an operand, in a dtype: a number or an array is a constant."""
        if not isinstance(given, Tracer):
            is_number = type(given) in NUMBERS
            known = constant(given, dtype) if is_number else constant(recorder().library.comparable(given))
            given = recorder().add(known)
        return given if dtype in (None, given.node.dtype) else self._add("astype", [given], given.shape, dtype)

    def _elementwise(self, operation: str, *operands: Any) -> Tracer:
        given = [each if type(each) in NUMBERS else self._tracer(each) for each in operands]
        dtype = self._promote(given[1:] if operation == "where" else given)
        if dtype == "bool":
            operation = OF_BOOLEANS.get(operation, operation)
        is_defined = dtype == "bool" or operation not in ir.LOGICAL
        refused = ir.ARITHMETIC if dtype == "bool" else () if dtype.startswith("float") else WHOLE
        if not is_defined or operation in refused:
            raise TypeError(f"{operation} of {dtype} is no operation")
        if operation in ir.FLOATING | ir.PREDICATES and not dtype.startswith("float"):
            dtype = recorder().library.promote((dtype, 1), float)
        wanted = ["bool", dtype, dtype] if operation == "where" else [dtype] * len(given)
        tracers = [self._tracer(each, name) for each, name in zip(given, wanted, strict=True)]
        shape = np.broadcast_shapes(*(each.shape for each in tracers))
        return self._add(operation, tracers, shape, "bool" if operation in ir.BOOLEAN else wanted[-1])

    def _promote(self, given: Sequence[Any]) -> str:
        return recorder().library.promote(
            *((each.node.dtype, each.ndim) if isinstance(each, Tracer) else type(each) for each in given)
        )

    def getitem(self, array: Tracer, key: Any) -> Tracer:
        parts = key if isinstance(key, tuple) else (key,)
        if any(_dtype_of(part) == "bool" for part in parts):
            raise TypeError("a shape that depends on numbers cannot be recorded")
        if not all(isinstance(part, int | slice | type(None) | type(...)) for part in parts):
            return self._opaque(operator.getitem, (array, key), {})
        parts = parts if ... in parts else (*parts, ...)  # so that even one number is an array
        return self._add("getitem", [array], _hollow(array)[parts].shape, array.node.dtype, key=parts)

    def _reduce(self, operation: str, array: Tracer, axis: Any, keepdims: bool) -> Tracer:
        if array.node.dtype == "bool":
            raise TypeError(f"{operation} of booleans is no operation")
        every = range(array.ndim)
        axes = tuple(sorted(normalize_axis_tuple(every if axis is None else axis, array.ndim)))
        shape = [1 if each in axes else array.shape[each] for each in every if keepdims or each not in axes]
        return self._add(operation, [array], shape, array.node.dtype, axis=axes, keepdims=bool(keepdims))

    # Operations, with the arguments of the standard.

    def astype(self, array: Any, dtype: Any, *, copy: bool = True, device: Any = None) -> Tracer:
        return self._tracer(array, dtype_name(dtype))

    def positive(self, array: Any) -> Tracer:
        return array

    def square(self, array: Any) -> Tracer:
        return self._elementwise("multiply", array, array)

    def pow(self, base: Any, exponent: Any) -> Tracer:
        is_square = isinstance(exponent, int | float) and exponent == 2
        return self.square(base) if is_square else self._elementwise("pow", base, exponent)

    def clip(self, array: Any, min: Any = None, max: Any = None) -> Tracer:
        above = array if min is None else self._elementwise("maximum", array, min)
        return above if max is None else self._elementwise("minimum", above, max)

    def matmul(self, first: Any, second: Any) -> Tracer:
        dtype = self._promote([first := self._tracer(first), second := self._tracer(second)])
        if first.ndim < 2 or second.ndim < 2 or first.shape[-1] != second.shape[-2]:
            raise TypeError("a product of vectors, or of shapes that do not match")
        leading = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
        factors = [self._tracer(each, dtype) for each in (first, second)]
        return self._add("matmul", factors, (*leading, first.shape[-2], second.shape[-1]), dtype)

    def vecdot(self, first: Any, second: Any, *, axis: int = -1) -> Tracer:
        return self.sum(self._elementwise("multiply", first, second), axis)

    def sum(self, array: Any, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Tracer:
        name = dtype_name(dtype) if dtype else array.node.dtype
        is_float = name.startswith("float")
        return self._reduce("sum", self._tracer(array, name if dtype or is_float else "int64"), axis, keepdims)

    def mean(self, array: Any, axis: Any = None, *, keepdims: bool = False) -> Tracer:
        total = self.sum(array, axis, keepdims=keepdims)
        return self._elementwise("divide", total, float(array.size // max(1, total.size)))

    def max(self, array: Any, axis: Any = None, *, keepdims: bool = False) -> Tracer:
        return self._reduce("max", array, axis, keepdims)

    def min(self, array: Any, axis: Any = None, *, keepdims: bool = False) -> Tracer:
        return self._reduce("min", array, axis, keepdims)

    def take(self, array: Any, indices: Any, axis: int | None = None) -> Tracer:
        array, indices = self._tracer(array), self._tracer(indices)
        if axis is None and array.ndim != 1:
            raise TypeError("numbers of a flattened array")
        axis = range(array.ndim)[axis or 0]
        if indices.ndim != 1:
            flat = self.take(array, self.reshape(indices, -1), axis)
            return self.reshape(flat, (*array.shape[:axis], *indices.shape, *array.shape[axis + 1 :]))
        shape = (*array.shape[:axis], indices.size, *array.shape[axis + 1 :])
        return self._add("take", [array, indices], shape, array.node.dtype, axis=axis)

    def concat(self, arrays: Sequence[Any], axis: int = 0) -> Tracer:
        dtype = self._promote(arrays := [self._tracer(each) for each in arrays])
        axis = range(arrays[0].ndim)[axis]
        total = builtins.sum(each.shape[axis] for each in arrays)
        shape = (*arrays[0].shape[:axis], total, *arrays[0].shape[axis + 1 :])
        return self._add("concat", [self._tracer(each, dtype) for each in arrays], shape, dtype, axis=axis)

    def stack(self, arrays: Sequence[Any], axis: int = 0) -> Tracer:
        return self.concat([self.expand_dims(each, axis) for each in arrays], axis)

    def permute_dims(self, array: Any, axes: Sequence[int]) -> Tracer:
        axes = tuple(range(array.ndim)[each] for each in axes)
        return self._add("permute_dims", [array], [array.shape[each] for each in axes], array.node.dtype, axes=axes)

    def swapaxes(self, array: Any, first: int, second: int) -> Tracer:
        axes = list(range(array.ndim))
        axes[first], axes[second] = axes[second], axes[first]
        return self.permute_dims(array, axes)

    def matrix_transpose(self, array: Any) -> Tracer:
        return self.swapaxes(array, -1, -2)

    def expand_dims(self, array: Any, axis: int) -> Tracer:
        return self.getitem(array, (*[slice(None)] * range(array.ndim + 1)[axis], None))

    def squeeze(self, array: Any, axis: int) -> Tracer:
        if array.shape[axis] != 1:
            raise TypeError("an axis that is not of length 1")
        return self.getitem(array, (*[slice(None)] * range(array.ndim)[axis], 0))

    def reshape(self, array: Any, *shape: Any) -> Tracer:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        found = _hollow(array).reshape(wanted).shape
        is_contiguous = not array.node.is_view or array.node.operation == "reshape"
        whole = array if is_contiguous else self._add("copy", [array], array.shape, array.node.dtype)
        return self._add("reshape", [whole], found, array.node.dtype)

    def broadcast_to(self, array: Any, shape: Sequence[int]) -> Tracer:
        array = self._tracer(array)
        return self._add("broadcast_to", [array], np.broadcast_to(_hollow(array), shape).shape, array.node.dtype)

    def full_like(self, array: Any, value: Any, *, dtype: Any = None, device: Any = None) -> Tracer:
        return self.broadcast_to(self._tracer(value, dtype_name(dtype or array.dtype)), array.shape)

    def zeros_like(self, array: Any, *, dtype: Any = None, device: Any = None) -> Tracer:
        return self.full_like(array, 0, dtype=dtype)

    def ones_like(self, array: Any, *, dtype: Any = None, device: Any = None) -> Tracer:
        return self.full_like(array, 1, dtype=dtype)


def _hollow(array: Tracer) -> np.ndarray:
    """Return an array of NumPy of the same shape, which takes no memory, and one byte for each number if it is reshaped."""
    return np.broadcast_to(np.zeros((), bool), array.shape)


def _dtype_of(given: Any) -> str:
    return dtype_name(given.dtype) if hasattr(given, "dtype") else type(given).__name__


Tracer.namespace = Namespace()
