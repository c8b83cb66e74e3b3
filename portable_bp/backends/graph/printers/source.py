"""Python source of a whole program, which Numba compiles: the steps of a training as loops over pointers.

Sizes, strides, numbers and addresses are arguments, so that one compiled function serves networks of all sizes made of the
same pieces. Small matrix products are loops; larger ones call the BLAS that NumPy itself uses.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portable_bp.backends.graph.buffers import Buffers, Instruction
from portable_bp.backends.graph.kernels import write_kernel
from portable_bp.backends.graph.printers.vector_math import source as vector_math
from portable_bp.backends.graph.schedule import Stage

LOOPED = 16384  # multiplications up to which a product is faster as loops than by a BLAS


def address_of(array: np.ndarray) -> int:
    """Return the address of an array's first number."""
    return array.__array_interface__["data"][0]


class Source:
    """The source of a program, and what it takes: arrays, sizes and numbers."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers
        self.schedule = buffers.schedule
        self.arrays: list[Any] = []
        # Places of arrays in the items, which move from step to step, and in the data: which of them, and the offset in bytes.
        self.items: dict[int, tuple[int, int]] = {}
        self.of_data: dict[int, tuple[int, int]] = {}
        self.sizes: list[int] = []
        self.numbers: list[float] = []
        self._pointers: dict[Any, str] = {}
        self._loads: list[str] = []
        self._moving: list[str] = []
        self._known: dict[Any, str] = {}
        self._dtypes: set[str] = set()
        self._body: list[str] = []
        graph = self.schedule.graph
        self._item, self._data = ([self.buffers.array(node) for node in nodes] for nodes in (graph.item, graph.data))
        for stage in self.schedule.stages:
            self._print(stage)
        for old, result in zip(graph.carry, graph.results, strict=True):
            if not self.buffers.in_place(old, result):
                self._print_copy(self.buffers.array(result), self.buffers.array(old))

    def __str__(self) -> str:
        floats = sorted(dtype for dtype in self._dtypes if dtype.startswith("float"))
        if len(floats) != 1:
            raise TypeError("a program of no or several floating-point dtypes is not compiled")
        return "\n".join(
            [
                *(vector_math(floats[0]), PREAMBLE.replace("FLOAT", floats[0])),
                *("def run(steps, addresses, sizes, numbers):", "    t = pointer_int64(addresses)"),
                *("    n = pointer_int64(sizes)", "    f = pointer_float64(numbers)"),
                *(f"    {line}" for line in self._loads),
                "    for step in range(steps):",
                *(f"        {line}" for line in [*self._moving, *self._body]),
            ]
        )

    # What the source takes.

    def _size(self, number: int, key: Any = None) -> str:
        """Return the name of a size; the same for the same key."""
        if key is not None and key in self._known:
            return self._known[key]
        name = f"n{len(self.sizes)}"
        self._loads.append(f"{name} = n[{len(self.sizes)}]")
        self.sizes.append(int(number))
        self._known[name if key is None else key] = name
        return name

    def _number(self, node: Any) -> str:
        key = "number", node
        if key not in self._known:
            self._known[key] = name = f"f{len(self.numbers)}"
            self._loads.append(f"{name} = to_{node.dtype}(f[{len(self.numbers)}])")
            self._dtypes.add(node.dtype)
            self.numbers.append(float(node.attributes["value"]))
        return self._known[key]

    def _pointer(self, array: np.ndarray) -> str:
        """Return the name of the pointer to an array's first number."""
        address = address_of(array)
        key = address, array.dtype.name
        if key not in self._pointers:
            place = len(self.arrays)
            self._pointers[key] = name = f"p{place}"
            self.arrays.append(array)
            self._dtypes.add(array.dtype.name)
            self.of_data |= _inside(self._data, address, place)
            item = _inside(self._item, address, place)
            self.items |= item
            if item:
                size = self._size(self._item[item[place][0]].nbytes)
                self._moving.append(f"{name} = pointer_{array.dtype.name}(t[{place}] + step * {size})")
            else:
                self._loads.append(f"{name} = pointer_{array.dtype.name}(t[{place}])")
        return self._pointers[key]

    def _strides(self, array: np.ndarray, shape: Sequence[int]) -> list[str]:
        """Return an array's strides along the axes of a shape that it is broadcast to: 0, 1, or the name of a size."""
        missing = len(shape) - array.ndim
        strides = ["0"] * missing
        for axis, length in enumerate(shape[missing:]):
            stride = array.strides[axis] // array.itemsize
            if array.shape[axis] == 1 and length != 1:
                strides.append("0")
            elif axis == array.ndim - 1 and (stride == 1 or length == 1):
                strides.append("1")
            elif stride == 0 and length != 1:
                strides.append("0")
            else:
                strides.append(self._size(stride))
        return strides

    # Operations.

    def _line(self, depth: int, text: str) -> None:
        self._body.append("    " * depth + text)

    def _loops(self, shape: Sequence[str], first: int = 0, depth: int = 0) -> int:
        """Open loops over the axes of a shape, and return the depth inside."""
        for axis, length in enumerate(shape):
            self._line(depth + axis, f"for i{first + axis} in range({length}):")
        return depth + len(shape)

    def _print(self, stage: Stage) -> None:
        instructions = [self.buffers.instruction(group) for group in stage.groups]
        if stage.elementwise:
            kernel, arrays = write_kernel(instructions)
            self._print_elementwise(kernel, arrays, instructions)
            return
        instruction = instructions[0]
        printer = getattr(self, f"_print_{instruction.node.operation}", None)
        if printer is None:
            raise TypeError(f"{instruction.node.operation} is not compiled")
        printer(instruction)

    def _print_elementwise(self, kernel: Any, arrays: tuple[Any, ...], instructions: list[Instruction]) -> None:
        constants = {id(operand): node for each in instructions for node, operand in zip(each.node.inputs, each.operands, strict=True)
                     if node.operation == "constant" and node.shape == ()}  # fmt: skip
        reads, writes = arrays[: len(kernel.inputs)], arrays[len(kernel.inputs) :]
        shape = writes[0].shape
        flat = all(
            each.flags.c_contiguous and each.shape == shape for each in arrays if id(each) not in constants and each.ndim
        )
        shape = (int(np.prod(shape)),) if flat and shape else shape
        depth = self._loops([self._size(length) for length in shape])

        def place(array: np.ndarray) -> str:
            if array.ndim == 0:
                return f"{self._pointer(array)}[0]"
            return f"{self._pointer(array)}[{_index(['1'] if flat else self._strides(array, shape))}]"

        given = {}
        for number, array in enumerate(reads):
            loaded = self._number(constants[id(array)]) if id(array) in constants else place(array)
            given[f"in{number}"] = f"{loaded} != 0" if array.dtype == bool and id(array) not in constants else loaded
        for dtype, name, expression in kernel.lines:
            self._line(
                depth,
                f"{name} = " + (given.get(expression) or (expression if dtype == "bool" else f"to_{dtype}({expression})")),
            )
        for result, array in zip(kernel.results, writes, strict=True):
            self._line(depth, f"{place(array)} = " + (f"int({result})" if array.dtype == bool else result))

    def _print_copy(self, source: np.ndarray, target: np.ndarray) -> None:
        depth = self._loops([self._size(length) for length in target.shape])
        places = [f"{self._pointer(each)}[{_index(self._strides(each, target.shape)) or 0}]" for each in (target, source)]
        self._line(depth, " = ".join(places))

    def _print_matmul(self, instruction: Instruction) -> None:
        (first, second), out = instruction.operands, instruction.out
        if first.ndim != 2 or second.ndim != 2 or not out.flags.c_contiguous:
            raise TypeError("a product of more than two axes is not compiled")
        rows, shared, columns = (self._size(each) for each in (*first.shape, second.shape[1]))
        factors = []
        for array in (first, second):
            turned = not _is_rows(array)
            if turned and not _is_rows(array.T):
                raise TypeError("a product of arrays that are not contiguous is not compiled")
            stored = array.T if turned else array
            leading = max(stored.strides[0] // array.itemsize if stored.shape[0] > 1 else 0, stored.shape[1])
            factors.append((self._pointer(array), self._size(leading), turned))
        (a, lda, a_turned), (b, ldb, b_turned) = factors
        scratch = self._scratch(second) if b_turned else b
        a_strides = f"1, {lda}" if a_turned else f"{lda}, 1"
        blas = self._size(blas_address(out.dtype.name), key=("blas", out.dtype.name))
        looped = self._size(rows_of_loops(first.shape, second.shape))
        self._line(0, f"if {looped}:")
        if b_turned:
            self._line(1, f"turn({b}, {ldb}, {shared}, {columns}, {scratch})")
        self._line(
            1,
            f"multiply_matrices({a}, {a_strides}, {scratch}, {columns if b_turned else ldb}, {self._pointer(out)}, {rows}, {shared}, {columns})",
        )
        self._line(0, "else:")
        kinds = ", ".join("112" if turned else "111" for turned in (a_turned, b_turned))
        self._line(1, f"call_gemm({blas}, {kinds}, {rows}, {columns}, {shared}, {a}, {lda}, {b}, {ldb}, {self._pointer(out)})")

    def _scratch(self, array: np.ndarray) -> str:
        """Return the pointer to an array of the same size that holds nothing between operations."""
        if array.size > LOOPED:
            return self._pointer(array)  # never used
        made = np.empty(array.size, array.dtype)
        return self._pointer(made)

    def _print_take(self, instruction: Instruction) -> None:
        (array, indices), out, axis = instruction.operands, instruction.out, instruction.node.attributes["axis"]
        if not (array.flags.c_contiguous and indices.flags.c_contiguous):
            raise TypeError("rows of an array that is not contiguous are not compiled")
        outer, length, inner = (
            np.prod(array.shape[:axis], dtype=int),
            array.shape[axis],
            np.prod(array.shape[axis + 1 :], dtype=int),
        )
        sizes = [self._size(each) for each in (outer, indices.size, inner)]
        total = self._size(length)
        depth = self._loops(sizes[:2])
        self._line(depth, f"start = (i0 * {total} + {self._pointer(indices)}[i1] % {total}) * {sizes[2]}")
        self._line(depth, f"end = (i0 * {sizes[1]} + i1) * {sizes[2]}")
        self._line(depth, f"for i2 in range({sizes[2]}):")
        self._line(depth + 1, f"{self._pointer(out)}[end + i2] = {self._pointer(array)}[start + i2]")

    def _print_sum(self, instruction: Instruction) -> None:
        self._print_reduction(instruction, "0", "{} + {}")

    def _print_max(self, instruction: Instruction) -> None:
        self._print_reduction(instruction, "-np.inf", "maximum({}, {})")

    def _print_min(self, instruction: Instruction) -> None:
        self._print_reduction(instruction, "np.inf", "minimum({}, {})")

    def _print_reduction(self, instruction: Instruction, start: str, step: str) -> None:
        node, (array,), out = instruction.node, instruction.operands, instruction.out
        axes, dtype = node.attributes["axis"], node.dtype
        lengths = [self._size(length) for length in array.shape]
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        strides = self._strides(array, array.shape)
        wide = out.reshape([1 if axis in axes else array.shape[axis] for axis in range(array.ndim)])
        target = [("0" if axis in axes else stride) for axis, stride in enumerate(self._strides(wide, wide.shape))]
        result = f"{self._pointer(out)}[{_index(target)}]"
        read = f"{self._pointer(array)}[{_index(strides)}]"
        if not kept or kept[-1] != array.ndim - 1:
            # The last axis is summed: a number is kept in a register.
            depth = 0
            for axis in kept:
                self._line(depth, f"for i{axis} in range({lengths[axis]}):")
                depth += 1
            if node.operation == "sum" and len(axes) == 1 and strides[-1] == "1":
                offset = _index([stride if axis in kept else "0" for axis, stride in enumerate(strides)])
                self._line(depth, f"{result} = add_up({self._pointer(array)}, {offset}, {lengths[-1]})")
                return
            self._line(depth, f"total = to_{dtype}({start})")
            inner = depth
            for axis in axes:
                self._line(inner, f"for i{axis} in range({lengths[axis]}):")
                inner += 1
            self._line(inner, f"total = to_{dtype}({step.format('total', read)})")
            self._line(depth, f"{result} = total")
            return
        # The last axis stays: rows are added to the result, one after the other.
        depth = 0
        for axis in kept:
            self._line(depth, f"for i{axis} in range({lengths[axis]}):")
            depth += 1
        self._line(depth, f"{result} = to_{dtype}({start})")
        for depth, axis in enumerate(range(array.ndim)):
            self._line(depth, f"for i{axis} in range({lengths[axis]}):")
        self._line(array.ndim, f"{result} = to_{dtype}({step.format(result, read)})")


def _inside(arrays: Sequence[np.ndarray], address: int, place: int) -> dict[int, tuple[int, int]]:
    """Return, for a place, the number of the array that holds an address, and the offset in it; nothing if none does."""
    return {
        place: (number, address - address_of(array))
        for number, array in enumerate(arrays)
        if 0 <= address - address_of(array) < max(1, array.nbytes)
    }


def _is_rows(array: np.ndarray) -> bool:
    """Return whether the numbers of each row lie side by side."""
    return array.shape[1] == 1 or array.strides[1] == array.itemsize


def _index(strides: Sequence[str]) -> str:
    """Return the index expression of loop variables i0, i1, ... times strides."""
    terms = [f"i{axis}" if stride == "1" else f"i{axis} * {stride}" for axis, stride in enumerate(strides) if stride != "0"]
    return " + ".join(terms) or "0"


def rows_of_loops(first: Sequence[int], second: Sequence[int]) -> int:
    """Return 1 if a product is to be loops, 0 if the BLAS should compute it."""
    return int(first[0] * first[1] * second[1] <= LOOPED or not blas_address("float32"))


@functools.cache
def blas_address(dtype: str) -> int:
    """Return the address of the matrix product of NumPy's own BLAS, or 0 if it is not found."""
    name = {"float32": "scipy_cblas_sgemm64_", "float64": "scipy_cblas_dgemm64_"}.get(dtype, "")
    folder = Path(np.__file__).parent
    for library in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        try:
            function = getattr(ctypes.CDLL(str(library)), name)
        except (OSError, AttributeError):
            continue
        return ctypes.cast(function, ctypes.c_void_p).value or 0
    return 0


PREAMBLE = """
to_float32, to_float64, to_int32, to_int64 = np.float32, np.float64, np.int32, np.int64
sqrt, floor, ceil, sin, cos, tan, sinh, cosh, atan = np.sqrt, np.floor, np.ceil, np.sin, np.cos, np.tan, np.sinh, np.cosh, np.arctan
isfinite, isnan, isinf = np.isfinite, np.isnan, np.isinf
absolute = abs

@inlined
def to_bool(a):
    return a != 0

@inlined
def maximum(a, b):
    return a if a > b or a != a else b

@inlined
def minimum(a, b):
    return a if a < b or a != a else b

@inlined
def sign(a):
    return a if a != a else (a > 0) - to_FLOAT(a < 0)

@inlined
def where(condition, a, b):
    return a if condition else b

@inlined
def pow(a, b):
    return a ** b

@summing
def add_up(p, start, count):
    total = to_FLOAT(0)
    for i in range(count):
        total += p[start + i]
    return total

@plain
def turn(p, stride, rows, columns, out):
    for i in range(rows):
        for j in range(columns):
            out[i * columns + j] = p[j * stride + i]

@plain
def multiply_matrices(a, row, column, b, stride, out, rows, shared, columns):
    for i in range(rows):
        start = i * columns
        for j in range(columns):
            out[start + j] = to_FLOAT(0)
        whole = shared - shared % 4
        for k in range(0, whole, 4):
            at = i * row + k * column
            s0, s1, s2, s3 = a[at], a[at + column], a[at + 2 * column], a[at + 3 * column]
            below = k * stride
            for j in range(columns):
                sums = s0 * b[below + j] + s1 * b[below + stride + j]
                sums += s2 * b[below + 2 * stride + j] + s3 * b[below + 3 * stride + j]
                out[start + j] += sums
        for k in range(whole, shared):
            s0 = a[i * row + k * column]
            for j in range(columns):
                out[start + j] += s0 * b[k * stride + j]

@plain
def call_gemm(address, kind_a, kind_b, rows, columns, shared, a, lda, b, ldb, out):
    gemm(address, np.int32(101), np.int32(kind_a), np.int32(kind_b), rows, columns, shared, to_FLOAT(1), a, lda, b, ldb,
         to_FLOAT(0), out, columns)
"""
