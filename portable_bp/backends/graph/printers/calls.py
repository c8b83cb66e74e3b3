"""Run a scheduled graph as a list of a library's calls, bound to its buffers once and made for every step.

This saves the time that Python spends between calls, and a new array for every result.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from portable_bp.backends.graph.buffers import Buffers, Instruction
from portable_bp.backends.graph.ir import Node, dtype_name
from portable_bp.backends.graph.namespace import placed
from portable_bp.backends.graph.passes import Pass
from portable_bp.backends.graph.schedule import Schedule, Stage
from portable_bp.common.trees import leaves, zip_leaves

# What is executed in a step: ``function(*operands)``.
Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]


def compile_mode() -> str:
    """Return whether steps are to be compiled, as PORTABLE_BP_COMPILE says: "never", "always", or "auto"."""
    return {"0": "never", "1": "always"}.get(os.environ.get("PORTABLE_BP_COMPILE", ""), "auto")


class UnsuitedError(Exception):
    """A schedule exceeds a library's limits, so that another library should run it."""


class Library:
    """An array library: what recording needs to know of it, and its calls that replay a graph."""

    xp: Any  # its array API namespace
    array_type: Any
    device: Any
    dtype: Any  # ``dtype(name)`` returns a dtype of the library, given its name in the standard
    # ``promote(*kinds)`` returns the dtype of arrays, each given by dtype and number of axes, and numbers, by their types.
    promote: Any
    giving_pairs: Sequence[str] = ()  # functions that, along an axis, give indices too
    others: Sequence[str] = ()  # functions that have the name of an operation, and are another
    max_fused: float = 0  # how many elementwise operations become one call; 0 for none
    passes: Sequence[Pass] = ()
    captures = False  # whether ``capture`` may combine calls, which cannot be bound to other data then

    @property
    def exact(self) -> Library:
        """The library with matrix products in full precision; by default itself."""
        return self

    def is_array(self, given: Any) -> bool:
        """Return whether this is an array that the library computes with."""
        return isinstance(given, self.array_type)

    def without_numbers(self, node: Node) -> Any:
        """Return an array of a node's shape and dtype that takes no memory."""
        raise NotImplementedError

    @np.errstate(all="ignore")
    def infer(
        self, nodes: Sequence[Node], function: Callable[..., Any], operands: Any, options: dict[str, Any]
    ) -> tuple[Sequence[int], str]:
        """Return the shape and dtype of the result of an opaque function, whose operands hold places of nodes."""
        result = function(*placed(operands, list(map(self.without_numbers, nodes))), **options)
        if not self.is_array(result):
            raise TypeError("a result that is not an array may depend on numbers, which are unknown while recording")
        return tuple(result.shape), dtype_name(result.dtype)

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a new array."""
        raise NotImplementedError

    def comparable(self, array: Any) -> Any:
        """Return a constant, as an array of NumPy where that costs nothing: those are compared by their numbers."""
        return array

    def as_array(self, node: Node) -> Any:
        """Return the array of a constant."""
        return node.attributes["value"]

    def emit(self, instruction: Instruction) -> Call:
        """Return the fastest call that does an operation and writes its result into an array."""
        raise NotImplementedError

    def emit_fused(self, instructions: list[Instruction]) -> Call:
        """Return one call that does several elementwise operations."""
        raise NotImplementedError

    def assign(self, target: Any, source: Any) -> None:
        """Copy an array's numbers into another array."""
        target[...] = source

    def copied(self, array: Any) -> Any:
        """Return a copy of an array."""
        return array.copy()

    def executable(self, schedule: Schedule, data: Any) -> Executable:
        """Return what runs a schedule."""
        return Executable(schedule, self, data)

    def capture(self, executable: Executable) -> list[Call]:
        """Return fewer calls that do the same as an executable's, or its own list."""
        return executable.calls

    def report(self, error: Exception) -> None:
        """Warn of an error because of which steps are called and not replayed, if the user should know."""

    def view(self, node: Node, array: Any) -> Any:
        """Return the view of an array that a node is."""
        if node.operation == "getitem":
            return array[node.attributes["key"]]
        if node.operation == "permute_dims":
            return self.xp.permute_dims(array, node.attributes["axes"])
        return array.reshape(node.shape) if node.operation == "reshape" else self.xp.broadcast_to(array, node.shape)

    def emit_opaque(self, instruction: Instruction) -> Call:
        """Return a call of a function that is no operation, and copies the result into its array."""
        operands, out, attributes = instruction.operands, instruction.out, instruction.node.attributes
        function, options = attributes["function"], attributes["options"]
        given = placed(attributes["operands"], operands)

        def assign() -> None:
            self.assign(out, function(*given, **options))

        return assign, ()


class Executable:
    """A schedule with its buffers allocated and its calls bound to them."""

    def __init__(self, schedule: Schedule, library: Library, data: Any) -> None:
        self.schedule, self.library = schedule, library
        self.buffers = Buffers(schedule, library)
        self._carry = [self.buffers.array(node) for node in schedule.graph.carry]
        self.items = [self.buffers.array(node) for node in schedule.graph.item]
        self.calls: list[Call] = []
        self._calls: list[list[Call]] = [[] for _ in schedule.stages]  # by stage; empty where there is none yet
        self.bind(data)

    def bind(self, data: Any) -> None:
        """Bind the calls that read the loop's data to them."""
        self.buffers.bind(leaves(data))
        self._calls = [calls or self._emit(stage) for stage, calls in zip(self.schedule.stages, self._calls, strict=True)]
        self.calls = [call for calls in self._calls for call in calls] + self._copies

    def warm_up(self) -> None:
        """Make the calls that read the loop's data once, so that nothing is compiled during capture; the carry is lost."""
        for number in self.buffers.stages_of_data:
            for function, operands in self._calls[number]:
                function(*operands)

    def release(self) -> None:
        """Keep no reference to the data."""
        self.buffers.release()
        self.calls = []
        for number in self.buffers.stages_of_data:
            self._calls[number] = []

    def run(self, carry: Any, items: Any, indices: range) -> Any:
        """Return the carry after the steps for some of the items, which are nested as recorded, with one more leading axis."""
        for array, given in zip(self._carry, leaves(carry), strict=True):
            self.library.assign(array, given)
        self.run_steps(list(zip(self.items, leaves(items), strict=True)), indices)
        return zip_leaves(lambda _, array: self.library.copied(array), carry, self._carry)

    def run_steps(self, items: list[tuple[Any, Any]], indices: range) -> None:
        """Make the calls of some steps, for each of which the items are copied into their arrays."""
        assign, calls = self.library.assign, self.calls
        for index in indices:
            for array, given in items:
                assign(array, given[index])
            for function, operands in calls:
                function(*operands)

    @functools.cached_property
    def _copies(self) -> list[Call]:
        """Return the calls that copy results which are not computed in place."""
        pairs = zip(self.schedule.graph.carry, self.schedule.graph.results, strict=True)
        return [
            (self.library.assign, (self.buffers.array(old), self.buffers.array(result)))
            for old, result in pairs
            if not self.buffers.in_place(old, result)
        ]

    def _emit(self, stage: Stage) -> list[Call]:
        """Return a stage's calls: one fused call, or its only one."""
        instructions = [self.buffers.instruction(group) for group in stage.groups]
        if stage.elementwise:
            return [self.library.emit_fused(instructions)]
        (only,) = instructions
        return [self.library.emit_opaque(only) if only.node.operation == "opaque" else self.library.emit(only)]
