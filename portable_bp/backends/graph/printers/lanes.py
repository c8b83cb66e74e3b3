"""LLVM code of a block of networks of the same sizes, one in each lane of a vector, for many steps of training.

The carry and all results of a block stay in a working set that fits a cache: a block takes all steps before the next one
starts. What all members share is computed once for a block, without lanes. Sizes, distances between numbers, constant numbers
and addresses are arguments, so the same code serves networks of all sizes made of the same pieces.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir

from portable_bp.backends.graph.buffers import Buffers, Instruction, Register
from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.members import dtype_of, lanes_of
from portable_bp.backends.graph.printers.lane_functions import (
    INT,
    copy_function,
    loop,
    members_of_block,
    pointer,
    product_function,
)
from portable_bp.backends.graph.printers.program import address_of, as_float
from portable_bp.backends.graph.printers.vectors import (
    BITS,
    OPERATIONS,
    TYPES,
    Value,
    combined,
    elementary_functions,
    maximum,
    minimum,
    where,
)
from portable_bp.backends.graph.schedule import Stage, buffer_shape

if TYPE_CHECKING:
    from portable_bp.backends.graph.printers.population import WorkingSet

HEAD = 4  # places in the table of addresses: the first block, the last one, the last member, and the memory of a block


class LaneSource:
    """The code of a block's program, and what it takes: tables of places, sizes and numbers.

    ``places`` says what the addresses after the first four are: of the carry that is read ("carry") and written ("result"), of
    "data", of the first step's "item", or of a "constant", each with its number in the graph or in ``constants``.
    """

    def __init__(self, buffers: Buffers, memory: WorkingSet) -> None:
        self.buffers, self.graph = buffers, buffers.graph
        self.memory = memory
        self.lanes = max(map(lanes_of, buffers.graph.carry))
        self.places: list[tuple[str, int]] = []
        self.constants: list[Node] = []
        self.sizes: list[int] = []
        self.numbers: list[float] = []
        self._known: dict[Any, Any] = {}
        self.module = ir.Module("population")
        self._print()

    def __str__(self) -> str:
        return str(self.module)

    def _print(self) -> None:
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [INT] * 4), "run")
        steps, addresses, sizes, numbers = function.args
        self.entry: Any = ir.IRBuilder(function.append_basic_block("entry"))
        self._tables = {"addresses": (addresses, INT), "sizes": (sizes, INT), "numbers": (numbers, TYPES["float64"])}
        start = function.append_basic_block()
        self.builder: Any = ir.IRBuilder(start)
        self._functions: dict[str, Any] = {}
        first, last, self.last_member, self.working_set = (self._entry_of("addresses", number) for number in range(HEAD))
        with loop(self.builder, first, last) as block:
            self.first_member = self.builder.mul(block, INT(self.lanes))
            for number, node in enumerate(self.graph.carry):
                self._load_members(node, self._place("carry", number), self._buffer(self.buffers.array(node)))
            with loop(self.builder, INT(0), steps) as self.step:
                for stage in self.buffers.schedule.stages:
                    self._print_stage(stage)
                for old, result in zip(self.graph.carry, self.graph.results, strict=True):
                    if not self.buffers.in_place(old, result):
                        self._print_copy(result, old)
            for number, node in enumerate(self.graph.carry):
                self._store_members(node, self._buffer(self.buffers.array(node)), self._place("result", number))
        self.builder.ret_void()
        self.entry.branch(start)

    # What the code takes.

    def _entry_of(self, table: str, number: int) -> Any:
        """Return an entry of a table, which is loaded once."""
        start, kind = self._tables[table]
        return self.entry.load(pointer(self.entry, self.entry.add(start, INT(8 * number)), kind))

    def _size(self, number: int) -> Any:
        """Return a size, as an argument."""
        self.sizes.append(int(number))
        return self._entry_of("sizes", len(self.sizes) - 1)

    def _number(self, node: Node) -> Value:
        """Return a constant number."""
        if node not in self._known:
            self.numbers.append(as_float(node))
            number = Value(self.entry, self._entry_of("numbers", len(self.numbers) - 1), "float64").astype(node.dtype)
            self._known[node] = number.value
        return Value(self.builder, self._known[node], node.dtype)

    def _place(self, kind: str, number: int) -> Any:
        """Return the address of an array outside of the working set."""
        key = kind, number
        if key not in self._known:
            self.places.append(key)
            self._known[key] = self._entry_of("addresses", HEAD - 1 + len(self.places))
        return self._known[key]

    def _buffer(self, array: np.ndarray) -> Any:
        """Return the address of an array in the working set."""
        return self.builder.add(self.working_set, self._size(self.memory.offset_of(array)))

    def _address(self, node: Node, array: np.ndarray) -> Any:
        """Return the address of a node's array; it is called outside of the loops over its numbers."""
        root = node.root
        offset = 0 if root is node else address_of(array) - address_of(self.buffers.array(root))
        if root in self.graph.data:
            base = self._place("data", self.graph.data.index(root))
        elif root in self.graph.item:
            item = self.buffers.array(root)
            base = self._place("item", self.graph.item.index(root))
            base = self.builder.add(base, self.builder.mul(self.step, self._size(item.nbytes)))
        elif root.operation == "constant":
            if root not in self.constants:
                self.constants.append(root)
            base = self._place("constant", self.constants.index(root))
        else:
            return self._buffer(array)
        return self.builder.add(base, self._size(offset))

    # Numbers in memory.

    def _load(self, address: Any, dtype: str, lanes: int) -> Value:
        """Return the number, or the numbers of all lanes, at an address."""
        stored = ir.IntType(8) if dtype == "bool" else TYPES[dtype]
        kind = ir.VectorType(stored, lanes) if lanes else stored
        loaded = self.builder.load(pointer(self.builder, address, kind), align=max(1, BITS[dtype] // 8))
        if dtype == "bool":
            loaded = self.builder.trunc(loaded, ir.VectorType(TYPES[dtype], lanes) if lanes else TYPES[dtype])
        return Value(self.builder, loaded, dtype)

    def _store(self, value: Value, address: Any) -> None:
        stored = value.value
        if value.dtype == "bool":
            byte = ir.IntType(8)
            stored = self.builder.zext(stored, ir.VectorType(byte, value.lanes) if value.lanes else byte)
        self.builder.store(stored, pointer(self.builder, address, stored.type), align=max(1, BITS[value.dtype] // 8))

    def _load_lanes(self, addresses: Sequence[Any], offset: Any, dtype: str) -> Value:
        """Return the numbers at an offset from the address of each lane."""
        return combined([self._load(self.builder.add(each, offset), dtype, 0) for each in addresses])

    def _moved(self, address: Any, indices: Sequence[Any], distances: Sequence[int], width: int) -> Any:
        """Return an address moved by indices times distances in bytes; numbers of a width are contiguous."""
        for index, distance in zip(indices, distances, strict=True):
            if distance:
                step = INT(width) if distance == width else self._size(distance)
                address = self.builder.add(address, self.builder.mul(index, step))
        return address

    @contextlib.contextmanager
    def _loops(self, lengths: Sequence[int]) -> Iterator[list[Any]]:
        """Append loops over axes, and yield their indices."""
        sizes = [self._size(length) for length in lengths]
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(loop(self.builder, INT(0), size)) for size in sizes]

    def _load_members(self, node: Node, source: Any, target: Any) -> None:
        """Copy an array, of each member of the block if it has lanes, into the working set."""
        if lanes := lanes_of(node):
            function = copy_function(self.module, dtype_of(node), lanes, into_lanes=True)
            self.builder.call(function, [source, target, self._size(node.size), self.first_member, self.last_member])
        else:
            self._copy_shared(node, source, target)

    def _store_members(self, node: Node, source: Any, target: Any) -> None:
        """Copy an array out of the working set."""
        if lanes := lanes_of(node):
            function = copy_function(self.module, dtype_of(node), lanes, into_lanes=False)
            self.builder.call(function, [target, source, self._size(node.size), self.first_member, self.last_member])
        else:
            self._copy_shared(node, source, target)

    def _copy_shared(self, node: Node, source: Any, target: Any) -> None:
        width = bytes_of(node)
        with self._loops([node.size]) as index:
            value = self._load(self._moved(source, index, [width], width), node.dtype, 0)
            self._store(value, self._moved(target, index, [width], width))

    # Stages.

    def _print_stage(self, stage: Stage) -> None:
        instructions = [self.buffers.instruction(group) for group in stage.groups]
        if stage.elementwise:
            self._print_elementwise(instructions, buffer_shape(stage.groups[0]))
            return
        operation = instructions[0].node.operation
        printer: Any = getattr(self, f"_print_{operation}", None)
        if printer is None:
            raise TypeError(f"{operation} is not compiled")
        printer(instructions[0])

    def _print_elementwise(self, instructions: list[Instruction], shape: Sequence[int]) -> None:
        """Print one loop for elementwise operations; all numbers of an index are read before any is written."""
        accessed: dict[int, tuple[Node, np.ndarray]] = {}
        for node, operands, out in instructions:
            for source, array in (*zip(node.inputs, operands, strict=True), (node, out)):
                if not (isinstance(array, Register) or (source.operation == "constant" and source.shape == ())):
                    accessed.setdefault(id(array), (source, array))
        lengths, distances = _merged(shape, {key: array for key, (_, array) in accessed.items()})
        addresses = {key: self._address(*pair) for key, pair in accessed.items()}
        with self._loops(lengths) as indices:
            places = {
                key: self._moved(address, indices, distances[key], accessed[key][1].itemsize)
                for key, address in addresses.items()
            }
            values: dict[int, Value] = {}

            def operand(source: Node, array: Any) -> Value:
                if source.operation == "constant" and source.shape == ():
                    return self._number(source)
                if id(array) not in values:
                    values[id(array)] = self._load(places[id(array)], dtype_of(source), lanes_of(source))
                return values[id(array)]

            results = {}
            for node, operands, out in instructions:
                value = self._apply(node, [operand(*pair) for pair in zip(node.inputs, operands, strict=True)])
                values[id(out)] = value.in_lanes(lanes_of(node)) if lanes_of(node) else value
                if not isinstance(out, Register):
                    results[id(out)] = values[id(out)]
            for key, value in results.items():
                self._store(value, places[key])

    def _apply(self, node: Node, operands: list[Value]) -> Value:
        """Return the result of an elementwise operation."""
        if node.operation == "astype":
            return operands[0].astype(dtype_of(node))
        if node.operation in OPERATIONS:
            return OPERATIONS[node.operation](*operands)
        dtype = operands[0].dtype
        if dtype not in self._functions:
            self._functions[dtype] = elementary_functions(self.builder, dtype)
        return self._functions[dtype][node.operation](*operands)

    def _print_copy(self, source: Node, target: Node) -> None:
        copy = Node("copy", (source,), target.shape, target.dtype)
        self._print_elementwise([Instruction(copy, (self.buffers.array(source),), self.buffers.array(target))], target.shape)

    def _print_matmul(self, instruction: Instruction) -> None:
        node, (first, second), out = instruction
        if first.ndim != 2 or second.ndim != 2 or not out.flags.c_contiguous:
            raise TypeError("a product of other than matrices is not compiled for a population")
        lanes = [lanes_of(each) for each in node.inputs]
        function = product_function(self.module, dtype_of(node), *lanes)
        addresses = [self._address(*pair) for pair in (*zip(node.inputs, (first, second), strict=True), (node, out))]
        sizes = first.shape[0], second.shape[1], first.shape[1], *first.strides, *second.strides
        self.builder.call(function, [*addresses, *map(self._size, sizes)])

    def _print_load_members(self, instruction: Instruction) -> None:
        (source,) = instruction.node.inputs
        address = self._address(source, instruction.operands[0])
        self._load_members(instruction.node, address, self._buffer(instruction.out))

    def _print_take(self, instruction: Instruction) -> None:
        """Print the copy of rows that all members share."""
        node, (array, indices), out = instruction
        axis = node.attributes["axis"]
        if lanes_of(node) or not node.inputs[1].root.is_given or not (array.flags.c_contiguous and indices.flags.c_contiguous):
            raise TypeError("rows of an array that is not contiguous, or at computed indices, are not compiled")
        width, length = array.itemsize, math.prod(array.shape[axis + 1 :])
        source, rows, target = (
            self._address(*pair) for pair in ((node.inputs[0], array), (node.inputs[1], indices), (node, out))
        )
        outer, count, height = math.prod(array.shape[:axis]), indices.size, array.shape[axis]
        with self._loops([outer, count]) as (before, number):
            start = self._moved(
                source,
                [before, self._row(node.inputs[1], rows, number, height).value],
                [height * length * width, length * width],
                0,
            )
            end = self._moved(target, [before, number], [count * length * width, length * width], 0)
            with self._loops([length]) as (index,):
                value = self._load(self._moved(start, [index], [width], width), node.dtype, 0)
                self._store(value, self._moved(end, [index], [width], width))

    def _print_take_members(self, instruction: Instruction) -> None:
        """Print the copy of rows of each member, or at indices of each member, into lanes."""
        node, (array, indices), out = instruction
        if not (array.flags.c_contiguous and indices.flags.c_contiguous and node.inputs[1].root.operation != "matmul"):
            raise TypeError("rows of an array that is not contiguous are not compiled")
        of_all = node.attributes["all_members"]
        axis = 1 if of_all else 0
        width, length, height = bytes_of(node), math.prod(array.shape[axis + 1 :]), array.shape[axis]
        source, rows, target = (
            self._address(*pair) for pair in ((node.inputs[0], array), (node.inputs[1], indices), (node, out))
        )
        bases = [source] * self.lanes
        if of_all:
            size = self._size(height * length * width)
            members = members_of_block(self.builder, self.first_member, self.last_member, self.lanes)
            bases = [self.builder.add(source, self.builder.mul(member, size)) for member in members]
        with self._loops([indices.size]) as (number,):
            row = self._row(node.inputs[1], rows, number, height).in_lanes(self.lanes)
            starts = [self._moved(base, [row.lane(lane).value], [length * width], 0) for lane, base in enumerate(bases)]
            end = self._moved(target, [number], [length * width * self.lanes], 0)
            with self._loops([length]) as (index,):
                value = self._load_lanes(starts, self.builder.mul(index, INT(width)), dtype_of(node))
                self._store(value, self._moved(end, [index], [width * self.lanes], width * self.lanes))

    def _row(self, node: Node, address: Any, number: Any, height: int) -> Value:
        """Return an index, of each member if it has lanes, as an int64 within bounds."""
        width = bytes_of(node) * max(1, lanes_of(node))
        index = self._load(self._moved(address, [number], [width], width), dtype_of(node), lanes_of(node)).astype("int64")
        total = Value(self.builder, self._size(height), "int64")
        first, second = index.matched(total)
        remainder = Value(self.builder, self.builder.srem(first.value, second.value), "int64")
        return where(remainder < 0, remainder + total, remainder)

    def _print_reduction(self, instruction: Instruction) -> None:
        """Print loops over the axes that are kept, and inside of them over the others, with the result in a register."""
        node, (array,), out = instruction
        (source,) = node.inputs
        axes, combine = node.attributes["axis"], {"sum": operator.add, "max": maximum, "min": minimum}[node.operation]
        if not array.size:
            raise TypeError("a reduction of no numbers is not compiled for a population")
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        reduced = [axis for axis in axes if array.shape[axis] > 1]
        begin, end = self._address(source, array), self._address(node, out)
        ends = out.reshape([1 if axis in axes else length for axis, length in enumerate(array.shape)]).strides
        dtype, lanes = dtype_of(node), lanes_of(node)
        slot = self.entry.alloca(ir.VectorType(TYPES[dtype], lanes) if lanes else TYPES[dtype])
        first = {"sum": 0, "max": -np.inf, "min": np.inf}[node.operation]
        if not dtype.startswith("float") and node.operation != "sum":
            first = np.iinfo(dtype).min if node.operation == "max" else np.iinfo(dtype).max
        with self._loops([array.shape[axis] for axis in kept]) as indices:
            start = self._moved(begin, indices, [array.strides[axis] for axis in kept], array.itemsize)
            initial = Value(self.builder, ir.Constant(TYPES[dtype], 0), dtype).constant(first)
            self.builder.store((initial.in_lanes(lanes) if lanes else initial).value, slot)
            with self._loops([array.shape[axis] for axis in reduced]) as inner:
                place = self._moved(start, inner, [array.strides[axis] for axis in reduced], array.itemsize)
                total = Value(self.builder, self.builder.load(slot), dtype)
                self.builder.store(combine(total, self._load(place, dtype, lanes)).value, slot)
            total = Value(self.builder, self.builder.load(slot), dtype)
            self._store(total, self._moved(end, indices, [ends[axis] for axis in kept], out.itemsize))

    _print_sum = _print_max = _print_min = _print_reduction


def bytes_of(node: Node) -> int:
    """Return the bytes of a number in one lane."""
    return max(1, BITS[dtype_of(node)] // 8)


def _merged(shape: Sequence[int], arrays: dict[int, np.ndarray]) -> tuple[list[int], dict[int, list[int]]]:
    """Return the lengths of the fewest loops over all arrays, broadcast to a shape, and each one's distances in bytes."""
    strides = {key: np.broadcast_to(array, shape).strides for key, array in arrays.items()}
    lengths: list[int] = []
    distances: dict[int, list[int]] = {key: [] for key in arrays}
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        if lengths and all(distances[key][-1] == strides[key][axis] * length for key in arrays):
            lengths[-1] *= length
            for key in arrays:
                distances[key][-1] = strides[key][axis]
            continue
        lengths.append(length)
        for key in arrays:
            distances[key].append(strides[key][axis])
    return lengths, distances
