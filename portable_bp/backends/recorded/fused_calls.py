"""How calls recorded from NumPy are played on a GPU: elementwise ones fused into kernels, the others by the GPU's library.

A kernel does for each place of its arrays what many calls would do one after the other: what only its own lines need is never
written to memory. Its lines read as C++ and as Python alike, with the functions in `PREAMBLE` or their counterparts of NumPy:

    float v3 = exp(v2);        float v5 = v4 + v3;
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.backends.recorded.numpy_calls import NumpyLibrary, as_dtype
from portable_bp.backends.recorded.tape import Register, Value

# What NumPy's ufuncs are in a line, for the operands cast to what the ufunc takes.
EXPRESSIONS: dict[Any, str] = {
    np.add: "{} + {}",
    np.subtract: "{} - {}",
    np.multiply: "{} * {}",
    np.divide: "{} / {}",
    np.negative: "-{}",
    np.square: "{0} * {0}",
    np.greater: "{} > {}",
    np.greater_equal: "{} >= {}",
    np.less: "{} < {}",
    np.less_equal: "{} <= {}",
    np.equal: "{} == {}",
    np.not_equal: "{} != {}",
    np.bitwise_and: "{} & {}",
    np.bitwise_or: "{} | {}",
    np.logical_and: "{} & {}",
    np.logical_or: "{} | {}",
    np.maximum: "maximum({}, {})",
    np.minimum: "minimum({}, {})",
    np.absolute: "absolute({})",
    np.sign: "sign({})",
    np.where: "where({}, {}, {})",
    as_dtype: "{}",
}
# Those that are functions of floating-point numbers alone, and have the same names in C++.
FUNCTIONS = ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sin", "cos", "floor", "ceil", "isfinite")
EXPRESSIONS |= {getattr(np, name): f"{name}({{}})" for name in FUNCTIONS} | {np.power: "pow({}, {})"}
OF_FLOATS = {np.power, np.divide, *(getattr(np, name) for name in FUNCTIONS)}

C_TYPES = {"float32": "float", "float64": "double", "int32": "int", "int64": "long long", "bool": "bool"}
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


class Line(NamedTuple):
    """One line of a kernel.

    Attributes
    ----------
    dtype : str
        The NumPy name of the variable's dtype.
    name : str
        The variable's.
    expression : str
        What it is.
    """

    dtype: str
    name: str
    expression: str


class Kernel(NamedTuple):
    """What is done for each place of some arrays.

    Attributes
    ----------
    inputs : tuple of str
        The dtypes of the arrays and numbers that are read: in0, in1, and so on, in the lines.
    outputs : tuple of str
        The dtypes of the arrays that are written.
    lines : tuple of Line
        In their order.
    results : tuple of str
        Which variable goes into which of the outputs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lines: tuple[Line, ...]
    results: tuple[str, ...]


def write_kernel(calls: Sequence[tuple[Value, tuple[Any, ...], Any]]) -> tuple[Kernel, tuple[Any, ...]]:
    """Return the kernel that does what elementwise calls do, and its arrays: those it reads, then those it writes.

    One may be among both: everything is read before anything is written.

    Parameters
    ----------
    calls : list of tuple of Value, tuple and array
        What each calls, with which operands, and where its result goes.

    Raises
    ------
    KeyError
        If a call or a dtype has no counterpart in C++.
    """
    read: list[Any] = []
    lines: list[Line] = []
    variables: dict[Any, Line] = {}  # the variable that holds a number, or what is in an array by now
    written: dict[int, Any] = {}

    def name(dtype: Any, expression: str) -> Line:
        lines.append(Line(np.dtype(dtype).name, f"v{len(lines)}", expression))
        C_TYPES[lines[-1].dtype]  # a KeyError if it has none
        return lines[-1]

    def argument(recorded: Any, operand: Any, dtype: Any) -> str:
        wanted = np.dtype(dtype).name
        place: Any = id(operand)
        if not isinstance(recorded, Value) and np.ndim(operand) == 0 and not hasattr(operand, "__cuda_array_interface__"):
            # A number is handed over, so that one kernel serves batches of all sizes, and every learning rate.
            operand = np.dtype(dtype).type(recorded)
            place = wanted, repr(operand)
        if place not in variables:
            variables[place] = name(operand.dtype, f"in{len(read)}")
            read.append(operand)
        variable = variables[place]
        return variable.name if variable.dtype == wanted else f"to_{wanted}({variable.name})"

    for value, operands, out in calls:
        *taken, given = _dtypes(value, operands)
        expression = EXPRESSIONS[value.function].format(*map(argument, value.operands, operands, taken))
        variables[id(out)] = name(out.dtype, expression if given == out.dtype else f"to_{out.dtype.name}({expression})")
        if not isinstance(out, Register):
            written[id(out)] = out
    kernel = Kernel(
        inputs=tuple(array.dtype.name for array in read),
        outputs=tuple(array.dtype.name for array in written.values()),
        lines=tuple(lines),
        results=tuple(variables[place].name for place in written),
    )
    return kernel, (*read, *written.values())


def _dtypes(value: Value, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the dtype that a call takes of each operand, and the one that it gives, by NumPy's rules."""
    given = value.example.dtype
    if value.function is np.where:
        return np.dtype(bool), given, given, given
    if value.function is as_dtype:
        return operands[0].dtype, operands[0].dtype
    if value.function in (np.logical_and, np.logical_or):
        return np.dtype(bool), np.dtype(bool), np.dtype(bool)
    # Python's own numbers take the dtype of the arrays beside them.
    kinds = [type(operand) if type(operand) in (int, float) else np.result_type(operand.dtype) for operand in operands]
    dtypes = value.function.resolve_dtypes((*kinds, None))
    if value.function in OF_FLOATS and dtypes[0].kind != "f":
        raise KeyError(f"{value.function.__name__} of {dtypes[0]}")
    return dtypes


class FusedLibrary(NumpyLibrary):
    """What recording asks of NumPy, and playing of a library like it on a GPU; how a kernel is made is left to subclasses.

    Attributes
    ----------
    xp : module
        The library.
    """

    xp: Any = None
    fuses = True
    most_together = 32  # a kernel takes some 4 KB of arguments, and each call may bring an array or two
    elementwise = set(EXPRESSIONS)
    gathers = {np.sum, np.max, np.min, np.mean, np.take}

    def make_kernel(self, kernel: Kernel) -> Callable[..., Any]:
        """Return a function of the arrays that a kernel reads and then of those that it writes."""
        raise NotImplementedError

    def multiply(self, first: Any, second: Any, out: Any) -> Callable[[], Any]:
        """Return a function that leaves the product of two matrices in a third."""
        return functools.partial(self.xp.matmul, first, second, out=out)

    def is_array(self, given: Any) -> bool:
        """Return whether something is an array or a number of NumPy's, or an array of the library's."""
        return super().is_array(given) or isinstance(given, self.xp.ndarray)

    def identity(self, array: Any) -> Any:
        """Return an array's numbers where they are few and at hand, else what is its own alone."""
        return super().identity(array) if super().is_array(array) else id(array)

    def contract(self, value: Value, uses: Any) -> list[Value]:
        """Return nothing: a product's scale is part of a kernel anyway."""
        return []

    def empty(self, shape: tuple[int, ...], example: Any) -> Any:
        """Return a new array of the library's."""
        return self.xp.empty(shape, example.dtype)

    def numbers(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the operands, with NumPy's arrays as the library's."""
        recorded = zip(value.operands, operands, strict=True)
        return tuple(self._placed(each) if each is given else each for given, each in recorded)

    def _placed(self, constant: Any) -> Any:
        if not isinstance(constant, np.ndarray):
            return constant
        return self.xp.asarray(constant) if constant.ndim else constant[()]

    def fused(self, calls: list[tuple[Value, tuple[Any, ...], Any]]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the one kernel that does what all the calls do."""
        kernel, arrays = write_kernel(calls)
        return self.make_kernel(kernel), arrays

    def call(self, value: Value, operands: tuple[Any, ...], out: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what does a call that is not elementwise, by the library's function of the same name where it can."""
        function, options = value.function, value.options
        if function is np.matmul and not options and all(operand.ndim == 2 for operand in operands):
            return self.multiply(operands[0], operands[1], out), ()
        if function in self.gathers:
            return functools.partial(getattr(self.xp, function.__name__), out=out, **options), operands

        def assign(*operands: Any) -> None:
            out[...] = function(*operands, **options)

        return assign, operands
