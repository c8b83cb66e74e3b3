"""LLVM code of a block of networks of the same sizes, one in each lane of a vector, for many steps of training.

The carry and all results of a block stay in a working set that fits a cache: a block takes all steps before the next one
starts. What all members share is computed once for a block, without lanes. Sizes, distances between numbers, constant numbers
and addresses are arguments, so the same code serves networks of all sizes made of the same pieces.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir

from portable_bp.backends.graph.buffers import Buffers, Instruction, Register
from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.members import dtype_of, lanes_of
from portable_bp.backends.graph.printers.calls import UnsuitedError
from portable_bp.backends.graph.printers.lane_code import LaneCode, bytes_of
from portable_bp.backends.graph.printers.lane_functions import INT, added, loop, members_of_block, product_function
from portable_bp.backends.graph.printers.vectors import (
    OPERATIONS,
    TYPES,
    Value,
    combined,
    elementary_functions,
    joined,
    maximum,
    minimum,
    split,
    type_of,
    where,
)
from portable_bp.backends.graph.schedule import Stage, buffer_shape

if TYPE_CHECKING:
    from portable_bp.backends.graph.printers.population import WorkingSet

COPIES = 2  # vectors for which an elementary function is computed at once, since the operations of one wait for each other


class LaneSource(LaneCode):
    """The code of a block's program."""

    def __init__(self, buffers: Buffers, memory: WorkingSet) -> None:
        super().__init__(buffers, memory)
        self._functions: dict[str, dict[str, Callable[..., Value]]] = {}  # elementary ones, by dtype
        start = self.builder.block
        with loop(self.builder, self.first_block, self.last_block) as block:
            self.first_member = self.builder.mul(block, INT(self.lanes))
            self._print_block()
        self.builder.ret_void()
        self.entry.branch(start)

    def _print_block(self) -> None:
        carry = [(number, node, self._buffer(self.buffers.array(node))) for number, node in enumerate(self.graph.carry)]
        for number, node, buffer in carry:
            self._load_members(node, self._place("carry", number), buffer)
        with loop(self.builder, INT(0), self.steps) as self.step:
            for stage in self.buffers.schedule.stages:
                self._print_stage(stage)
            for old, result in zip(self.graph.carry, self.graph.results, strict=True):
                if not self.buffers.in_place(old, result):
                    self._print_copy(result, old)
        for number, node, buffer in carry:
            self._store_members(node, buffer, self._place("result", number))

    def _print_stage(self, stage: Stage) -> None:
        instructions = [self.buffers.instruction(group) for group in stage.groups]
        if stage.elementwise:
            self._print_elementwise(instructions, buffer_shape(stage.groups[0]))
            return
        operation = instructions[0].node.operation
        printer: Any = getattr(self, f"_print_{operation}", None)
        if printer is None:
            raise UnsuitedError(f"{operation} is not compiled")
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
        slow = any(node.operation not in OPERATIONS and node.operation != "astype" for node, _, _ in instructions)
        copies = COPIES if slow and lengths and lengths[-1] > 1 else 1
        with self._loops_over_several(lengths, copies) as all_indices:
            places = {
                key: [self._moved(address, each, distances[key], accessed[key][1].itemsize) for each in all_indices]
                for key, address in addresses.items()
            }
            values: dict[int, list[Value]] = {}

            def operand(source: Node, array: Any) -> list[Value]:
                if source.operation == "constant" and source.shape == ():
                    return [self._number(source)] * copies
                if id(array) not in values:
                    values[id(array)] = [self._load(place, dtype_of(source), lanes_of(source)) for place in places[id(array)]]
                return values[id(array)]

            results = {}
            for node, operands, out in instructions:
                computed = self._apply(node, [operand(*pair) for pair in zip(node.inputs, operands, strict=True)])
                values[id(out)] = [each.in_lanes(lanes_of(node)) if lanes_of(node) else each for each in computed]
                if not isinstance(out, Register):
                    results[id(out)] = values[id(out)]
            for key, computed in results.items():
                for value, place in zip(computed, places[key], strict=True):
                    self._store(value, place)

    def _apply(self, node: Node, operands: list[list[Value]]) -> list[Value]:
        """Return the results of an elementwise operation at some places."""
        if node.operation == "astype":
            return [each.astype(dtype_of(node)) for each in operands[0]]
        if node.operation in OPERATIONS:
            return [OPERATIONS[node.operation](*each) for each in zip(*operands, strict=True)]
        dtype = operands[0][0].dtype
        if dtype not in self._functions:
            self._functions[dtype] = elementary_functions(self.builder, dtype)
        return split(self._functions[dtype][node.operation](joined(operands[0])), len(operands[0]))

    def _print_copy(self, source: Node, target: Node) -> None:
        copy = Node("copy", (source,), target.shape, target.dtype)
        self._print_elementwise([Instruction(copy, (self.buffers.array(source),), self.buffers.array(target))], target.shape)

    def _print_matmul(self, instruction: Instruction) -> None:
        node, (first, second), out = instruction
        if first.ndim != 2 or second.ndim != 2 or not out.flags.c_contiguous:
            raise UnsuitedError("a product of other than matrices is not compiled for a population")
        lanes = [lanes_of(each) for each in node.inputs]
        function = added(self.module, product_function(dtype_of(node), *lanes))
        addresses = [self._address(*pair) for pair in (*zip(node.inputs, (first, second), strict=True), (node, out))]
        sizes = first.shape[0], second.shape[1], first.shape[1], *first.strides, *second.strides
        self.builder.call(function, [*addresses, *map(self._size, sizes)])

    def _print_load_members(self, instruction: Instruction) -> None:
        (source,) = instruction.node.inputs
        address = self._address(source, instruction.operands[0])
        self._load_members(instruction.node, address, self._buffer(instruction.out))

    def _print_take(self, instruction: Instruction) -> None:
        """Print the copy of rows: shared ones, those of each member, or at indices of each member."""
        node, (array, indices), out = instruction
        lanes, axis, source = lanes_of(node), node.attributes["axis"], node.inputs[1]
        if not (source.root.is_given or source.operation == "load_members"):
            raise UnsuitedError("rows at computed indices, which may be out of bounds, are not compiled")
        of_members = lanes > 0 and axis == 1
        are_contiguous = array.flags.c_contiguous and indices.flags.c_contiguous
        if not are_contiguous or (not of_members and math.prod(array.shape[:axis]) > 1):
            raise UnsuitedError("rows of an array that is not contiguous are not compiled")
        height, width, length = array.shape[axis], bytes_of(node), math.prod(array.shape[axis + 1 :])
        first, rows, target = (self._address(*pair) for pair in ((node.inputs[0], array), (source, indices), (node, out)))
        starts = [first] * max(1, lanes)
        if of_members:
            size = self._size(height * length * width)
            members = members_of_block(self.builder, self.first_member, self.last_member, lanes)
            starts = [self.builder.add(first, self.builder.mul(member, size)) for member in members]
        with self._loops([indices.size]) as (number,):
            row = self._row(source, rows, number, height)
            row = row.in_lanes(lanes) if lanes else row
            begins = [self._moved(start, [row.lane(lane).value], [length * width], 0) for lane, start in enumerate(starts)]
            end = self._moved(target, [number], [length * out.itemsize], 0)
            with self._loops([length]) as (index,):
                offset = self.builder.mul(index, INT(width))
                numbers = [self._load(self.builder.add(begin, offset), dtype_of(node), 0) for begin in begins]
                value = combined(numbers) if lanes else numbers[0]
                self._store(value, self._moved(end, [index], [out.itemsize], out.itemsize))

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
            raise UnsuitedError("a reduction of no numbers is not compiled for a population")
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        reduced = [axis for axis in axes if array.shape[axis] > 1]
        begin, end = self._address(source, array), self._address(node, out)
        ends = out.reshape([1 if axis in axes else length for axis, length in enumerate(array.shape)]).strides
        dtype, lanes = dtype_of(node), lanes_of(node)
        slot = self.entry.alloca(type_of(TYPES[dtype], lanes))
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
