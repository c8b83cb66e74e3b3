"""Execute a program: allocate its buffers once, bind its calls to them once, then make the calls for every step.

This saves the time that Python spends between calls, and a new array for every result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from portable_bp.backends.recorded.program import Group, Program, Stage, buffer_shape
from portable_bp.backends.recorded.recording import Call, Instruction, Register, Value
from portable_bp.common.trees import leaves, map_leaves


class Executable:
    """A program with its buffers allocated and its calls bound to them and to the loop's constants."""

    def __init__(self, program: Program, constants: Any) -> None:
        self.program = program
        self.library = program.library
        recording = program.recording
        self._buffers: dict[Group, Any] = {}
        self._arrays: dict[Value, Any] = dict(zip(recording.constants, leaves(constants), strict=True))
        for value in recording.item:
            self._arrays[value] = self.library.empty(value.shape, value.example)
        for value in recording.carry:
            if value not in self._arrays:
                group = program.group_of(value)
                self._bind(group, self.library.empty(buffer_shape(group), group[0].example))
        self._allocate()
        self.carry = [self._arrays[value] for value in recording.carry]
        self.item = [self._arrays[value] for value in recording.item]
        self.calls = [call for stage in program.stages for call in self._emit(stage)]
        for old, result in zip(recording.carry, recording.results, strict=True):
            in_place = result in self._arrays and self._buffer_of(result) is self._buffer_of(old)
            if not in_place:
                self.calls.append((self.library.assign, (self._arrays[old], self._array(result))))

    def run(self, carry: Any, items: Any, indices: range) -> Any:
        """Return the carry after the steps for some of the items, which are nested as recorded, with one more leading axis."""
        assign = self.library.assign
        for array, given in zip(self.carry, leaves(carry), strict=True):
            assign(array, given)
        item = list(zip(self.item, leaves(items), strict=True))
        for index in indices:
            for array, given in item:
                assign(array, given[index])
            for function, operands in self.calls:
                function(*operands)
        values = iter(self.program.recording.carry)

        def copy(_: Any) -> Any:
            value = next(values)
            result = self.library.empty(value.shape, value.example)
            assign(result, self._arrays[value])
            return result

        return map_leaves(copy, carry)

    def _bind(self, group: Group, buffer: Any) -> None:
        """Store a group's values in a buffer, or a ``Register``."""
        self._buffers[group] = buffer
        if isinstance(buffer, Register):
            self._arrays.update(dict.fromkeys(group, buffer))
            return
        start = 0
        for value in group:
            stop = start + math.prod(value.shape)
            self._arrays[value] = buffer if len(group) == 1 else buffer[start:stop].reshape(value.shape)
            start = stop

    def _buffer_of(self, value: Value) -> Any:
        return self._buffers.get(self.program.group_of(value))

    def _allocate(self) -> None:
        """Give every result a buffer: that of the carry it replaces, one that is no longer needed, or a new one."""
        last = self.program.last_uses
        carry_of = dict(zip(self.program.recording.results, self.program.recording.carry, strict=True))
        in_use: dict[Group, Any] = {}
        free: dict[Any, list[Any]] = {}
        for number, stage in enumerate(self.program.stages):
            for position, computed in enumerate(stage.groups):
                group, now = self.program.group_of(computed[0]), (number, position)
                if group in self._buffers:
                    continue
                for old in [old for old in in_use if last[old] <= now]:
                    buffer = in_use.pop(old)
                    free.setdefault((tuple(buffer.shape), buffer.dtype), []).append(buffer)
                carry: Group = tuple(carry_of[value] for value in group if value in carry_of)
                replaces_carry = computed == group and len(carry) == len(group) and carry in self._buffers
                if replaces_carry and last.get(carry, now) <= now:
                    self._bind(group, self._buffers[carry])
                    continue
                stays_in_stage = stage.elementwise and last[group][0] == number
                if stays_in_stage and self.library.fuses and computed == group:
                    self._bind(group, Register(buffer_shape(group), group[0].example.dtype))
                    continue
                shape = buffer_shape(group)
                if stays_in_stage and not self.library.fuses:  # each block can overwrite the one before
                    shape = (self.program.block_rows(shape), *shape[1:])
                reusable = free.get((shape, group[0].example.dtype))
                in_use[group] = reusable.pop() if reusable else self.library.empty(shape, group[0].example)
                self._bind(group, in_use[group])

    def _emit(self, stage: Stage) -> Iterator[Call]:
        """Yield a stage's calls: one fused call, calls on block after block, or its only call."""
        instructions = [self._instruction(group) for group in stage.groups]
        if not stage.elementwise:
            yield self.library.emit(instructions[0])
        elif self.library.fuses:
            yield self.library.emit_fused(instructions)
        else:
            yield from self._emit_blocks(instructions)

    def _emit_blocks(self, instructions: list[Instruction]) -> Iterator[Call]:
        shape = instructions[0].value.shape
        height = self.program.block_rows(shape)
        for start in range(0, shape[0], height):
            rows = slice(start, min(start + height, shape[0]))
            for value, operands, out in instructions:
                blocks = tuple(_block(operand, shape, rows) for operand in operands)
                yield self.library.emit(Instruction(value, blocks, _block(out, shape, rows)))

    def _instruction(self, group: Group) -> Instruction:
        """Return the one call that computes a group, from the buffers of groups and from operands that all values share."""
        value = group[0]
        if len(group) == 1:
            operands, out = tuple(map(self._array, value.operands)), self._arrays[value]
        else:
            operands, out = tuple(self._group_operand(operand, value) for operand in value.operands), self._buffers[group]
        return Instruction(value, self.library.convert_constants(value, operands, out.shape), out)

    def _group_operand(self, operand: Any, value: Value) -> Any:
        if isinstance(operand, Value) and self.program.reads_same_index(operand, value):
            return self._buffers[self.program.group_of(operand)]
        return self._array(operand)

    def _array(self, given: Any) -> Any:
        """Return a value's array, making it first if it is a view; nested values give nested arrays."""
        if isinstance(given, tuple | list):
            return map_leaves(self._array, given)
        if isinstance(given, Value) and given not in self._arrays:
            self._arrays[given] = given.function(*map(self._array, given.operands), **given.options)
        return self._arrays[given] if isinstance(given, Value) else given


def _block(operand: Any, shape: tuple[int, ...], rows: slice) -> Any:
    """Return some rows of an array; an array of one block is cut to as many rows, and one with fewer axes is not cut."""
    if getattr(operand, "ndim", -1) < len(shape):
        return operand
    return operand[rows] if operand.shape[0] == shape[0] else operand[: rows.stop - rows.start]
