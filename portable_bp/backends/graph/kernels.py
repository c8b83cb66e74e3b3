"""Fused kernels: several elementwise operations for each index of some arrays, whose intermediate results stay in registers.

The lines of a kernel are valid as C++ and, without the type, as Python, given functions of these names:

    float v3 = exp(v2);        float v5 = v4 + v3;
"""

from __future__ import annotations

from typing import Any, NamedTuple

from portable_bp.backends.graph.buffers import Instruction, Register

# The expressions of elementwise operations, given operands of the dtype that they compute in; any other calls a function.
EXPRESSIONS = {
    **{"add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}", "negative": "-{}"},
    **{"greater": "{} > {}", "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}"},
    **{"equal": "{} == {}", "not_equal": "{} != {}", "logical_and": "{} & {}", "logical_or": "{} | {}"},
    **{"logical_not": "{} == 0", "astype": "to_{dtype}({})", "copy": "{}", "abs": "absolute({})"},
}
C_TYPES = {
    **{"float32": "float", "float64": "double", "int32": "int", "int64": "long long", "bool": "bool"},
    "uint16": "unsigned short",
}
STORED_AS = {"bfloat16": "uint16"}  # dtypes that NumPy and CuPy lack, and the integers that hold their bits
TO_BFLOAT16 = """
__device__ inline unsigned short to_bfloat16(float a) {  // rounded to nearest, ties to even; NaN stays NaN
    const unsigned int bits = __float_as_uint(a);
    return a != a ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
"""
# The functions that expressions call and CUDA does not have.
PREAMBLE = (
    TO_BFLOAT16
    + """
template <typename T> __device__ inline T maximum(T a, T b) { return a != a || a > b ? a : b; }  // NaN stays NaN
template <typename T> __device__ inline T minimum(T a, T b) { return a != a || a < b ? a : b; }
template <typename T> __device__ inline T absolute(T a) { return a <= T(0) ? T(0) - a : a; }
template <typename T> __device__ inline T sign(T a) { return a > T(0) ? T(1) : a < T(0) ? T(-1) : a; }
template <typename T> __device__ inline T where(bool condition, T a, T b) { return condition ? a : b; }
"""
    + "".join(
        f"template <typename T> __device__ inline {c_type} to_{dtype}(T a) {{ return static_cast<{c_type}>(a); }}\n"
        for dtype, c_type in C_TYPES.items()
    )
)


class Line(NamedTuple):
    """One line of a kernel: a variable, the name of its dtype, and its expression."""

    dtype: str
    name: str
    expression: str


class Kernel(NamedTuple):
    """What is computed for each index of some arrays."""

    inputs: tuple[str, ...]  # dtypes of the arrays and numbers that are read: in0, in1, ... in the lines
    outputs: tuple[str, ...]  # dtypes of the arrays that are written
    lines: tuple[Line, ...]
    results: tuple[str, ...]  # the variable for each output


def write_kernel(instructions: list[Instruction]) -> tuple[Kernel, tuple[Any, ...]]:
    """Return the kernel of elementwise instructions, and its arrays: inputs, then outputs.

    An array may be both: all reads come before all writes. Raises a KeyError if a dtype has no C++ type.
    """
    inputs: list[tuple[str, Any]] = []
    outputs: dict[int, tuple[str, Any]] = {}
    lines: list[Line] = []
    variables: dict[Any, str] = {}  # of a number, or of an array's current contents

    def define(dtype: str, expression: str) -> str:
        lines.append(Line(STORED_AS.get(dtype, dtype), f"v{len(lines)}", expression))
        C_TYPES[lines[-1].dtype]  # raises a KeyError if it has no C++ type
        return lines[-1].name

    for node, operands, out in instructions:
        names = []
        for source, operand in zip(node.inputs, operands, strict=True):
            # A number is an argument, so that one kernel serves every batch size and learning rate.
            is_number = source.operation == "constant" and source.shape == ()
            key: Any = source if is_number else id(operand)
            if key not in variables:
                inputs.append((source.dtype, operand))
                variables[key] = define(source.dtype, f"in{len(inputs) - 1}")
            names.append(variables[key])
        expression = EXPRESSIONS.get(node.operation, f"{node.operation}({', '.join(names)})")
        variables[id(out)] = define(node.dtype, expression.format(*names, dtype=node.dtype))
        if not isinstance(out, Register):
            outputs[id(out)] = lines[-1].dtype, out
    kernel = Kernel(
        inputs=tuple(dtype for dtype, _ in inputs),
        outputs=tuple(dtype for dtype, _ in outputs.values()),
        lines=tuple(lines),
        results=tuple(variables[key] for key in outputs),
    )
    return kernel, tuple(array for _, array in (*inputs, *outputs.values()))
