"""Python source of a whole program, which Numba compiles: the steps of a training as loops over pointers.

Sizes, strides, numbers and addresses are arguments, so that one compiled function serves networks of all sizes made of the
same pieces. Small matrix products are loops; larger ones call the BLAS that NumPy itself uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from portable_bp.backends.graph.buffers import Buffers, Instruction
from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.printers.blas import product_address
from portable_bp.backends.graph.printers.calls import UnsuitedError
from portable_bp.backends.graph.printers.functions import FUNCTIONS
from portable_bp.backends.graph.printers.program import ElementwiseLoop, ProgramPrinter, address_of, as_float, refuse_rows
from portable_bp.backends.graph.printers.vector_math import source as vector_math

LOOPED = 4096  # multiplications up to which a product is faster as loops than by a BLAS


class Source(ProgramPrinter):
    """The source of a program, and what it takes: arrays, sizes and numbers."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers
        self.arrays: list[Any] = []
        # Places of arrays in the items, which move from step to step, and in the data: which of them, and the offset in bytes.
        self.items: dict[int, tuple[int, int]] = {}
        self.of_data: dict[int, tuple[int, int]] = {}
        self.sizes: list[int] = []
        self.numbers: list[float] = []
        self._names: dict[Any, str] = {}  # of what is loaded already
        self._known_strides: dict[Any, list[str]] = {}
        self._loads: list[str] = []  # lines before the steps
        self._moves: list[str] = []  # lines at the start of a step
        self._lines: list[str] = []  # of a step
        self._dtypes: set[str] = set()
        graph = buffers.graph
        # By the arrays that are, or are views of, an item or the data: which dictionary of places, and which of them.
        self._origins: dict[int, tuple[Any, int, np.ndarray]] = {}
        for places, roots in ((self.items, graph.item), (self.of_data, graph.data)):
            for node in (*roots, *graph.nodes):
                if node.root in roots:
                    root = node.root
                    self._origins[id(buffers.array(node))] = places, roots.index(root), buffers.array(root)
        self._print_program()

    def __str__(self) -> str:
        floats = sorted(dtype for dtype in self._dtypes if dtype.startswith("float"))
        if len(floats) != 1:
            raise TypeError("a program of no or several floating-point dtypes is not compiled")
        return "\n".join(
            [
                vector_math(floats[0]),
                FUNCTIONS.replace("FLOAT", floats[0]),
                "def run(steps, addresses, sizes, numbers):",
                "    t, n, f = pointer_int64(addresses), pointer_int64(sizes), pointer_float64(numbers)",
                *(f"    {line}" for line in self._loads),
                "    for step in range(steps):",
                *(f"        {line}" for line in [*self._moves, *self._lines]),
            ]
        )

    # What the source takes.

    def _size(self, number: int) -> str:
        """Return the name of a size."""
        self.sizes.append(int(number))
        name = f"n{len(self.sizes) - 1}"
        self._loads.append(f"{name} = n[{len(self.sizes) - 1}]")
        return name

    def _table(self, numbers: Sequence[int]) -> str:
        """Return the expression of a pointer to some sizes."""
        self.sizes += map(int, numbers)
        return f"pointer_int64(sizes + {8 * (len(self.sizes) - len(numbers))})"

    def _number(self, node: Node) -> str:
        """Return the name of a constant number."""
        if node not in self._names:
            self.numbers.append(as_float(node))
            self._names[node] = name = f"f{len(self.numbers) - 1}"
            self._loads.append(f"{name} = to_{node.dtype}(f[{len(self.numbers) - 1}])")
            self._dtypes.add(node.dtype)
        return self._names[node]

    def _pointer(self, array: np.ndarray) -> str:
        """Return the name of the pointer to an array's first number."""
        address, dtype, place = address_of(array), array.dtype.name, len(self.arrays)
        places, number, root = self._origins.get(id(array), ({}, -1, array))
        key = id(places) if number >= 0 else 0, number, address, dtype  # arrays of the data may overlap now, and not later
        if key in self._names:
            return self._names[key]
        self._names[key] = name = f"p{place}"
        self.arrays.append(array)
        self._dtypes.add(dtype)
        places[place] = number, address - address_of(root)
        if places is self.items:
            self._moves.append(f"{name} = pointer_{dtype}(t[{place}] + step * {self._size(root.nbytes)})")
        else:
            self._loads.append(f"{name} = pointer_{dtype}(t[{place}])")
        return name

    def _strides(self, array: np.ndarray, shape: Sequence[int]) -> list[str]:
        """Return an array's strides along the axes of a shape that it is broadcast to: 0, 1, or the name of a size.

        The names are the same each time: only then is a loop vectorized that overwrites what it reads.
        """
        key = self._pointer(array), array.strides, array.shape, tuple(shape)
        if key in self._known_strides:
            return self._known_strides[key]
        missing = len(shape) - array.ndim
        strides = ["0"] * missing
        for axis, length in enumerate(shape[missing:]):
            stride = array.strides[axis] // array.itemsize
            if length != 1 and (array.shape[axis] == 1 or stride == 0):
                strides.append("0")
            elif axis == array.ndim - 1 and (stride == 1 or length == 1):
                strides.append("1")
            else:
                strides.append(self._size(stride))
        self._known_strides[key] = strides
        return strides

    def _at(self, array: np.ndarray, strides: Sequence[str]) -> str:
        """Return the expression of the number at the loop variables i0, i1, ... times strides."""
        return f"{self._pointer(array)}[{_index(strides)}]"

    # Operations.

    def _line(self, depth: int, text: str) -> None:
        self._lines.append("    " * depth + text)

    def _loops(self, lengths: Sequence[str], axes: Sequence[int], depth: int = 0) -> int:
        """Open loops over axes, and return the depth inside."""
        for axis in axes:
            self._line(depth, f"for i{axis} in range({lengths[axis]}):")
            depth += 1
        return depth

    def _print_elementwise(self, loop: ElementwiseLoop) -> None:
        arrays, writes = (*loop.reads, *loop.writes), loop.writes
        shape = writes[0].shape
        is_flat = all(each.flags.c_contiguous and each.shape == shape for each in arrays if each.ndim)
        if is_flat and shape:
            shape = (writes[0].size,)
        depth = self._loops([self._size(length) for length in shape], range(len(shape)))

        def place(array: np.ndarray) -> str:
            return self._at(array, ["1"] if is_flat and array.ndim else self._strides(array, shape))

        given = {}
        for number, array in enumerate(loop.reads):
            loaded = self._number(loop.scalars[id(array)]) if id(array) in loop.scalars else place(array)
            given[f"in{number}"] = f"{loaded} != 0" if array.dtype == bool else loaded
        for dtype, name, expression in loop.lines:
            computed = f"to_{dtype}({expression})" if dtype.startswith("int") else expression  # Numba widens whole numbers
            self._line(depth, f"{name} = {given.get(expression, computed)}")
        for result, array in zip(loop.results, writes, strict=True):
            self._line(depth, f"{place(array)} = " + (f"int({result})" if array.dtype == bool else result))

    def _print_copy(self, source: np.ndarray, target: np.ndarray) -> None:
        shape = target.shape
        depth = self._loops([self._size(length) for length in shape], range(len(shape)))
        places = [self._at(each, self._strides(each, shape)) for each in (target, source)]
        self._line(depth, " = ".join(places))

    def _print_add_product(self, instruction: Instruction) -> None:
        (before, *factors), out = instruction.operands, instruction.out
        if address_of(before) != address_of(out):
            self._print_copy(before, out)
        self._print_matmul(Instruction(instruction.node, tuple(factors), out), instruction.node.attributes["alpha"], 1.0)

    def _print_matmul(self, instruction: Instruction, alpha: float = 1.0, beta: float = 0.0) -> None:
        (first, second), out = instruction.operands, instruction.out
        if first.ndim == second.ndim == 1 and first.flags.c_contiguous and second.flags.c_contiguous:
            factors = f"{self._pointer(first)}, {self._pointer(second)}, {self._size(first.size)}"
            self._line(0, f"{self._pointer(out)}[0] = add_products({factors})")
            return
        if first.ndim != 2 or second.ndim != 2 or not out.flags.c_contiguous:
            raise UnsuitedError("a product of more than two axes is not compiled")
        (lda, a_turned), (ldb, b_turned) = _layout(first), _layout(second)
        address, is_looped = product_address(out.dtype.name), first.size * second.shape[1] <= LOOPED
        if not (is_looped or address):
            raise TypeError("large products are compiled only with the BLAS that NumPy's own packages bring")
        # A product as loops needs the second factor with the numbers of each row side by side: room for it.
        room = np.empty(second.size if is_looped and b_turned else 1, second.dtype)
        sizes = *first.shape, second.shape[1], lda, a_turned, ldb, b_turned, 0 if is_looped else address
        pointers = ", ".join(map(self._pointer, (first, second, room, out)))
        self._line(0, f"multiply({self._table(sizes)}, {pointers}, {alpha}, {beta})")

    def _print_take(self, instruction: Instruction) -> None:
        (array, indices), out, axis = instruction.operands, instruction.out, instruction.node.attributes["axis"]
        refuse_rows(instruction)
        parts = math.prod(array.shape[:axis]), indices.size, math.prod(array.shape[axis + 1 :])
        lengths, total = [self._size(each) for each in parts], self._size(array.shape[axis])
        places = self._pointer(indices), self._pointer(array), self._pointer(out)
        depth = self._loops(lengths, (0, 1))
        self._line(depth, f"start = (i0 * {total} + {places[0]}[i1] % {total}) * {lengths[2]}")
        self._line(depth, f"end = (i0 * {lengths[1]} + i1) * {lengths[2]}")
        self._line(self._loops(lengths, (2,), depth), f"{places[2]}[end + i2] = {places[1]}[start + i2]")

    def _print_reduction(self, instruction: Instruction) -> None:
        node, (array,), out = instruction.node, instruction.operands, instruction.out
        start, step = {
            "sum": ("0", "{} + {}"),
            "max": (_extreme(node.dtype, -1), "maximum({}, {})"),
            "min": (_extreme(node.dtype, 1), "minimum({}, {})"),
        }[node.operation]
        axes, start = node.attributes["axis"], f"to_{node.dtype}({start})"
        lengths = [self._size(length) for length in array.shape]
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        strides = self._strides(array, array.shape)
        if node.operation == "sum" and axes == (0,) and array.ndim == 2 and strides[1] == "1" and out.flags.c_contiguous:
            self._line(0, f"add_rows({self._pointer(array)}, {strides[0]}, {', '.join(lengths)}, {self._pointer(out)})")
            return
        wide = out.reshape([1 if axis in axes else length for axis, length in enumerate(array.shape)])
        ends = ["0" if axis in axes else stride for axis, stride in enumerate(self._strides(wide, wide.shape))]
        result, read = self._at(out, ends), self._at(array, strides)
        depth = self._loops(lengths, kept)
        last = array.ndim - 1
        if axes == (last,) and strides[-1] == "1" and node.operation == "sum":
            begin = _index([stride if axis in kept else "0" for axis, stride in enumerate(strides)])
            self._line(depth, f"{result} = add_up({self._pointer(array)}, {begin}, {lengths[last]})")
        elif last not in kept:  # a number is kept in a register
            self._line(depth, f"total = {start}")
            inside = self._loops(lengths, axes, depth)
            self._line(inside, f"total = to_{node.dtype}({step.format('total', read)})")
            self._line(depth, f"{result} = total")
        else:  # row after row is added to the result
            self._line(depth, f"{result} = {start}")
            inside = self._loops(lengths, range(array.ndim))
            self._line(inside, f"{result} = to_{node.dtype}({step.format(result, read)})")


def _extreme(dtype: str, sign: int) -> str:
    """Return the expression of the smallest or the largest number of a dtype."""
    if dtype.startswith("float"):
        return f"{sign} * np.inf"
    return str(np.iinfo(dtype).max if sign > 0 else np.iinfo(dtype).min)


def _index(strides: Sequence[str]) -> str:
    terms = [f"i{axis}" if stride == "1" else f"i{axis} * {stride}" for axis, stride in enumerate(strides) if stride != "0"]
    return " + ".join(terms) or "0"


def _layout(matrix: np.ndarray) -> tuple[int, bool]:
    """Return the distance between a matrix's rows, and whether its columns are stored as rows."""
    turned = not _has_rows(matrix)
    stored = matrix.T if turned else matrix
    if not _has_rows(stored):
        raise TypeError("a product of arrays that are not contiguous is not compiled")
    return max(stored.strides[0] // stored.itemsize if stored.shape[0] > 1 else 0, stored.shape[1]), turned


def _has_rows(matrix: np.ndarray) -> bool:
    """Return whether the numbers of each row lie side by side."""
    return matrix.shape[1] == 1 or matrix.strides[1] == matrix.itemsize
