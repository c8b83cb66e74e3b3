"""Replay calls recorded from NumPy on a GPU: elementwise ones fused into kernels, the others by the GPU's array library.

A kernel makes several elementwise calls for each index of its arrays; intermediate results are never written to memory. Its
lines are valid as C++ and, without the type, as Python, given the functions in ``PREAMBLE`` or their NumPy counterparts:

    float v3 = exp(v2);        float v5 = v4 + v3;
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portable_bp.backends.recorded.numpy_library import NumpyLibrary, as_dtype, assign_result
from portable_bp.backends.recorded.recording import Call, Instruction, Register, Value

# The expression for each NumPy function, given operands that are cast to the dtypes that it computes in.
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
# Functions of floating-point numbers only, which have the same names in C++.
FLOAT_FUNCTIONS = ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sin", "cos", "floor", "ceil", "isfinite")
EXPRESSIONS |= {getattr(np, name): f"{name}({{}})" for name in FLOAT_FUNCTIONS} | {np.power: "pow({}, {})"}
FLOAT_ONLY = {np.power, np.divide, *(getattr(np, name) for name in FLOAT_FUNCTIONS)}

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
    """One line of a kernel: a variable, the NumPy name of its dtype, and its expression."""

    dtype: str
    name: str
    expression: str


class Kernel(NamedTuple):
    """What is computed for each index of some arrays."""

    inputs: tuple[str, ...]  # dtypes of the arrays and numbers that are read: in0, in1, ... in the lines
    outputs: tuple[str, ...]  # dtypes of the arrays that are written
    lines: tuple[Line, ...]
    results: tuple[str, ...]  # the variable for each output


class KernelWriter:
    """Writes the kernel for elementwise instructions; raises a KeyError if a function or a dtype has no C++ counterpart."""

    def __init__(self) -> None:
        self._inputs: list[Any] = []
        self._outputs: dict[int, Any] = {}
        self._lines: list[Line] = []
        self._variables: dict[Any, Line] = {}  # the variable that holds a number, or an array's current contents

    def write(self, instruction: Instruction) -> None:
        """Append the line for an instruction, and lines for what it reads first."""
        value, operands, out = instruction
        *operand_dtypes, dtype = _dtypes(value, operands)
        expression = EXPRESSIONS[value.function].format(*map(self._operand, value.operands, operands, operand_dtypes))
        expression = expression if dtype == out.dtype else f"to_{out.dtype.name}({expression})"
        self._variables[id(out)] = self._define(out.dtype, expression)
        if not isinstance(out, Register):
            self._outputs[id(out)] = out

    def finish(self) -> tuple[Kernel, tuple[Any, ...]]:
        """Return the kernel and its arrays: inputs, then outputs. An array may be both: all reads come before all writes."""
        kernel = Kernel(
            inputs=tuple(array.dtype.name for array in self._inputs),
            outputs=tuple(array.dtype.name for array in self._outputs.values()),
            lines=tuple(self._lines),
            results=tuple(self._variables[key].name for key in self._outputs),
        )
        return kernel, (*self._inputs, *self._outputs.values())

    def _define(self, dtype: Any, expression: str) -> Line:
        self._lines.append(Line(np.dtype(dtype).name, f"v{len(self._lines)}", expression))
        C_TYPES[self._lines[-1].dtype]  # raises a KeyError if it has no C++ type
        return self._lines[-1]

    def _operand(self, recorded: Any, operand: Any, dtype: Any) -> str:
        """Return an operand's expression, cast to a dtype; define the variable that reads it if it is new."""
        wanted = np.dtype(dtype).name
        key: Any = id(operand)
        if not isinstance(recorded, Value) and np.ndim(operand) == 0 and not hasattr(operand, "__cuda_array_interface__"):
            # A number is an argument, so that one kernel serves every batch size and learning rate.
            operand = np.dtype(dtype).type(recorded)
            key = wanted, repr(operand)
        if key not in self._variables:
            self._variables[key] = self._define(operand.dtype, f"in{len(self._inputs)}")
            self._inputs.append(operand)
        variable = self._variables[key]
        return variable.name if variable.dtype == wanted else f"to_{wanted}({variable.name})"


def _dtypes(value: Value, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the dtypes that NumPy casts a call's operands to, and that of its result."""
    result = value.example.dtype
    if value.function is np.where:
        return np.dtype(bool), result, result, result
    if value.function is as_dtype:
        return operands[0].dtype, operands[0].dtype
    if value.function in (np.logical_and, np.logical_or):
        return np.dtype(bool), np.dtype(bool), np.dtype(bool)
    # Python numbers take the dtype of the arrays that they are combined with.
    given = [type(operand) if type(operand) in (int, float) else np.result_type(operand.dtype) for operand in operands]
    dtypes = value.function.resolve_dtypes((*given, None))
    if value.function in FLOAT_ONLY and dtypes[0].kind != "f":
        raise KeyError(f"{value.function.__name__} of {dtypes[0]}")
    return dtypes


class FusedLibrary(NumpyLibrary):
    """Records NumPy calls, and replays them in a library like it on a GPU; subclasses compile the kernels."""

    xp: Any = None  # the library
    fuses = True
    max_fused = 32  # a kernel's arguments take up to some 4 KB, and each call may add an array or two
    elementwise = set(EXPRESSIONS)
    supports_out = {np.sum, np.max, np.min, np.mean, np.take}

    def compile_kernel(self, kernel: Kernel) -> Callable[..., Any]:
        """Return a function of the arrays that a kernel reads, then those that it writes."""
        raise NotImplementedError

    def bind_matmul(self, first: Any, second: Any, out: Any) -> Callable[[], Any]:
        """Return a function without arguments that writes a product of two matrices into a third."""
        return functools.partial(self.xp.matmul, first, second, out=out)

    def is_array(self, given: Any) -> bool:
        """Return whether this is a NumPy array or scalar, or an array of the library."""
        return super().is_array(given) or isinstance(given, self.xp.ndarray)

    def constant_key(self, array: Any) -> Any:
        """Return a small NumPy array's contents, or another array's identity."""
        return super().constant_key(array) if super().is_array(array) else id(array)

    def simplify(self, value: Value, uses: Any) -> list[Value]:
        """Return an empty list: scaling a product is part of a kernel anyway."""
        return []

    def empty(self, shape: tuple[int, ...], example: Any) -> Any:
        """Return a new array of the library."""
        return self.xp.empty(shape, example.dtype)

    def convert_constants(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the operands, with NumPy arrays as the library's."""
        recorded = zip(value.operands, operands, strict=True)
        return tuple(self._to_device(operand) if operand is given else operand for given, operand in recorded)

    def _to_device(self, constant: Any) -> Any:
        if not isinstance(constant, np.ndarray):
            return constant
        return self.xp.asarray(constant) if constant.ndim else constant[()]

    def emit_fused(self, instructions: list[Instruction]) -> Call:
        """Return the one kernel that does what all instructions do."""
        writer = KernelWriter()
        for instruction in instructions:
            writer.write(instruction)
        kernel, arrays = writer.finish()
        return self.compile_kernel(kernel), arrays

    def emit(self, instruction: Instruction) -> Call:
        """Return a call that is not elementwise, of the library's function of the same name where it takes ``out``."""
        value, operands, out = instruction
        if value.function is np.matmul and not value.options and all(operand.ndim == 2 for operand in operands):
            return self.bind_matmul(operands[0], operands[1], out), ()
        if value.function in self.supports_out:
            return functools.partial(getattr(self.xp, value.function.__name__), out=out, **value.options), operands
        return assign_result(instruction)
