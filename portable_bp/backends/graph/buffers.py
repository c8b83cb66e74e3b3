"""The arrays of a scheduled graph: which results share a buffer, and what is computed in place.

A buffer is reused once its nodes are no longer needed; the next carry is computed into the carry's own buffers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.schedule import Group, Schedule, buffer_shape


class Register:
    """Stands for a fused operation's intermediate result, which is never written to memory."""


class Instruction(NamedTuple):
    """An operation with the arrays that it reads and the array, or ``Register``, for its result."""

    node: Node
    operands: tuple[Any, ...]
    out: Any


class Buffers:
    """The arrays of all nodes; ``library`` makes them. Those of the data are given by ``bind``, and released by ``release``."""

    def __init__(self, schedule: Schedule, library: Any) -> None:
        self.schedule = schedule
        self.library = library
        self.graph = schedule.graph
        self._buffers: dict[Group, Any] = {}
        self._arrays: dict[Node, Any] = {}
        for node in dict.fromkeys((*self.graph.item, *self.graph.carry)):
            group = schedule.group_of(node)
            if node not in self._arrays:
                self._store(group, library.empty(buffer_shape(group), node.dtype))
        self._allocate()
        self.of_data = {node for node in self.graph.nodes if node.root in self.graph.data}.union(self.graph.data)

    @functools.cached_property
    def size(self) -> int:
        """The numbers in all buffers."""
        arrays = {id(array): math.prod(array.shape) for array in self._buffers.values() if not isinstance(array, Register)}
        return sum(arrays.values())

    @functools.cached_property
    def stages_of_data(self) -> list[int]:
        """The numbers of the stages that read the loop's data, so that their calls change with them."""
        stages = enumerate(self.schedule.stages)
        return [number for number, stage in stages if any(map(self._reads_data, stage.groups))]

    def bind(self, data: Iterable[Any]) -> None:
        """Take the loop's data."""
        self.release()
        self._arrays.update(zip(self.graph.data, data, strict=True))

    def release(self) -> None:
        """Keep no reference to the data."""
        for node in self.of_data:
            self._arrays.pop(node, None)

    def array(self, node: Node) -> Any:
        """Return the array of a node; those of views and constants are made when they are first needed."""
        if node not in self._arrays:
            is_constant = node.operation == "constant"
            self._arrays[node] = (
                self.library.as_array(node) if is_constant else self.library.view(node, self.array(node.inputs[0]))
            )
        return self._arrays[node]

    def instruction(self, group: Group) -> Instruction:
        """Return the one operation that computes a group, from the buffers of groups and from operands that all nodes share."""
        node = group[0]

        def operand(source: Node) -> Any:
            whole = len(group) > 1 and self.schedule.reads_same_index(source, node)
            return self._buffers[self.schedule.group_of(source)] if whole else self.array(source)

        return Instruction(
            node, tuple(map(operand, node.inputs)), self._buffers[group] if len(group) > 1 else self._arrays[node]
        )

    def in_place(self, old: Node, result: Node) -> bool:
        """Return whether a result is computed into the carry that it replaces."""
        of_old, of_result = (self._buffers.get(self.schedule.group_of(node)) for node in (old, result))
        return old is result or (not result.is_view and of_old is not None and of_old is of_result)

    def _reads_data(self, group: Group) -> bool:
        return any(source in self.of_data for node in group for source in node.inputs)

    def _store(self, group: Group, buffer: Any) -> None:
        """Store a group's nodes in a buffer, or a ``Register``."""
        self._buffers[group] = buffer
        start = 0
        for node in group:
            if len(group) == 1 or isinstance(buffer, Register):
                self._arrays[node] = buffer
            else:
                self._arrays[node] = buffer[start : start + node.size].reshape(node.shape)
            start += node.size

    def _allocate(self) -> None:
        """Give every result a buffer: that of the carry it replaces, one that is no longer needed, or a new one."""
        schedule, last = self.schedule, self.schedule.last_uses
        carry_of = dict(zip(self.graph.results, self.graph.carry, strict=True))
        in_use: dict[Group, Any] = {}
        free: dict[Any, list[Any]] = {}
        for number, stage in enumerate(schedule.stages):
            for position, computed in enumerate(stage.groups):
                group, now = schedule.group_of(computed[0]), (number, position)
                if group in self._buffers:
                    continue
                for old in [old for old in in_use if last[old] <= now]:
                    free.setdefault((buffer_shape(old), old[0].dtype), []).append(in_use.pop(old))
                carry: Group = tuple(carry_of[node] for node in group if node in carry_of)
                replaces_carry = computed == group and len(carry) == len(group) and carry in self._buffers
                if replaces_carry and last.get(carry, now) <= now:
                    self._store(group, self._buffers[carry])
                    continue
                if stage.elementwise and last[group][0] == number and computed == group:
                    self._store(group, Register())
                    continue
                kind = buffer_shape(group), group[0].dtype
                in_use[group] = free[kind].pop() if free.get(kind) else self.library.empty(*kind)
                self._store(group, in_use[group])
