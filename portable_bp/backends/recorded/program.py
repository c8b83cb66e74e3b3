"""Make a recorded step ready for replay: in which order calls are made, and which values share a buffer.

- Elementwise calls on arrays of one shape form a stage. A library that fuses makes it one kernel. On NumPy a stage of large
  arrays runs block by block, all calls on one block before the next, so that intermediate results stay in the cache.
- The same elementwise calls for several arrays, as an optimizer makes for every weight and bias, become one call: such arrays
  form a group, stored contiguously in one flat buffer.
- A buffer is reused once its values are no longer needed; the next carry is computed into the carry's own buffers.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, TypeAlias

from portable_bp.backends.recorded.recording import Library, Recording, Value

# Values stored contiguously in one flat buffer, in order; most values are a group of their own, in a buffer of their shape.
Group: TypeAlias = tuple[Value, ...]


class Stage(NamedTuple):
    """Calls that run together, by the groups that they compute: one group, or several elementwise ones of one shape."""

    groups: list[Group]
    elementwise: bool  # such a stage runs in blocks, or as one kernel


class Operand(NamedTuple):
    """An operand of an elementwise call."""

    value: Any
    same_index: bool  # whether the call reads it only at the index that it writes
    key: Any  # equal only for the same operand


class Program:
    """A recording with its calls arranged in stages and its values in groups."""

    def __init__(self, recording: Recording, library: Library) -> None:
        self.recording = recording
        self.library = library
        self._groups: dict[Value, Group] = {}
        try:
            self._group_results()
            self.stages = self._schedule()
        except _GroupingError:
            self._groups.clear()
            self.stages = self._schedule()

    def group_of(self, value: Value) -> Group:
        """Return the group of a value that is not a view."""
        return self._groups.get(value, (value,))

    def reads_same_index(self, operand: Value, value: Value) -> bool:
        """Return whether each number of a call's result needs only the operand's number at the same index."""
        # A result of one number is not computed in place: checking for overlap takes NumPy longer than writing elsewhere.
        overwrites = value.shape != () or self.library.fuses
        same_shape = operand.view_of is None and operand.shape == value.shape
        return value.function in self.library.elementwise and same_shape and overwrites

    def block_rows(self, shape: tuple[int, ...]) -> int:
        """Return the number of leading rows of an array that form a block."""
        return max(1, int(self.library.block_size // math.prod(shape[1:])))

    @functools.cached_property
    def last_uses(self) -> dict[Group, tuple[float, float]]:
        """The stage, and the position in it, after which each group is no longer needed."""
        last: dict[Group, tuple[float, float]] = {}
        for number, stage in enumerate(self.stages):
            for position, group in enumerate(stage.groups):
                for value in group:
                    for source in value.inputs:
                        # A call may overwrite what it reads at the same index; anything else is read until the stage ends.
                        use = (number, position if self.reads_same_index(source, value) else math.inf)
                        used = self.group_of(source.root)
                        last[used] = max(last.get(used, use), use)
        return last | {self.group_of(result.root): (math.inf, math.inf) for result in self.recording.results}

    def _schedule(self) -> list[Stage]:
        """Return the stages: each group is appended to the first elementwise stage that can take it, or to a new one."""
        stages: list[Stage] = []
        stage_of: dict[Value, int] = {}
        remaining: dict[Group, int] = {}  # values of a group that come later in the recording
        for value in self.recording.values:
            if value.view_of is not None:
                continue
            group = self.group_of(value) if self._is_one_call(self.group_of(value)) else (value,)
            remaining[group] = remaining.get(group, len(group)) - 1
            if remaining[group]:
                continue
            ready, index, elementwise = self._first_ready(group, stages, stage_of), len(stages), self._joins_stage(value)
            if elementwise:
                first = max(ready, self._start_of_last_run(stages))
                index = next((number for number in range(first, index) if self._accepts(stages[number], group)), index)
            if index == len(stages):
                stages.append(Stage([], elementwise))
            stages[index].groups.append(group)
            stage_of.update((member, index) for member in group)
        return stages

    def _first_ready(self, group: Group, stages: list[Stage], stage_of: dict[Value, int]) -> int:
        """Return the first stage where all inputs are available; one read at the same index may be computed in that stage."""
        ready = 0
        for value in group:
            for source in value.inputs:
                if source.root.function is not None and source.root not in stage_of:
                    raise _GroupingError
                computed = stage_of.get(source.root, -1)
                joins = computed >= 0 and self._joins_stage(value) and self.reads_same_index(source, value)
                ready = max(ready, computed if joins and self._accepts(stages[computed], group) else computed + 1)
        return ready

    def _start_of_last_run(self, stages: list[Stage]) -> int:
        """Return the start of the elementwise stages at the end.

        A fused call joins only these: in an earlier stage, a result that is used later would go through memory.
        """
        if not self.library.fuses:
            return 0
        return next((index + 1 for index in reversed(range(len(stages))) if not stages[index].elementwise), 0)

    def _joins_stage(self, value: Value) -> bool:
        """Return whether a call runs in an elementwise stage."""
        return value.function in self.library.elementwise and (self.library.fuses or self._is_large(value))

    def _is_large(self, value: Value) -> bool:
        return math.prod(value.shape) > self.library.block_size and value.shape[0] > 1

    def _accepts(self, stage: Stage, group: Group) -> bool:
        """Return whether a stage can take the call that computes a group."""
        same_shape = stage.elementwise and buffer_shape(stage.groups[0]) == buffer_shape(group)
        return same_shape and len(stage.groups) < self.library.max_fused

    def _is_one_call(self, group: Group) -> bool:
        return len(group) > 1 and all(self._can_group(value) for value in group)

    def _can_group(self, value: Value) -> bool:
        """Return whether a call can be one with others: each operand is read at the same index, or is one number."""
        runs_in_blocks = self._joins_stage(value) and not self.library.fuses
        if value.function not in self.library.elementwise or value.view_of is not None or runs_in_blocks:
            return False
        operands = self._operands(value)
        return all(operand.same_index or getattr(operand.value, "shape", ()) == () for operand in operands)

    def _group_results(self) -> None:
        """Group the results that are computed alike, what they are computed from, and the carry that they replace."""
        for results in self._similar_results():
            self._group(results)
        carry_of = dict(zip(self.recording.results, self.recording.carry, strict=True))
        for group in [self._groups[result] for result in self.recording.results if result in self._groups]:
            carry = tuple(carry_of[value] for value in group if value in carry_of)
            if any(self._groups.get(value, carry) != carry for value in carry):
                raise _GroupingError
            self._groups.update((value, carry) for value in carry if len(carry) > 1)

    def _similar_results(self) -> list[Group]:
        """Return groups of results that the same elementwise calls compute."""
        numbers: dict[Any, int] = {}
        patterns: dict[Value, int] = {}

        def pattern(value: Value) -> int:
            """Return a number that is the same for values that are computed alike."""
            if value not in patterns:
                how: Any = "given"
                if self._can_group(value):
                    operands = self._operands(value)
                    keys = (pattern(operand.value) if operand.same_index else operand.key for operand in operands)
                    how = value.function, repr(value.options), *keys
                patterns[value] = numbers.setdefault((how, value.example.dtype), len(numbers))
            return patterns[value]

        similar: dict[int, list[Value]] = {}
        for result in self.recording.results:
            if self._can_group(result) and result.shape:
                similar.setdefault(pattern(result), []).append(result)
        return [tuple(results) for results in similar.values() if len(results) > 1]

    def _group(self, group: Group) -> None:
        """Group values and, operand by operand, what they read at the same index."""
        if all(self._groups.get(value) == group for value in group):
            return
        inputs = {*self.recording.constants, *self.recording.item}
        taken = any(value in self._groups or value in inputs or value.view_of is not None for value in group)
        if taken or len(set(group)) < len(group):
            raise _GroupingError
        self._groups.update((value, group) for value in group)
        if self._is_one_call(group):
            for operands in zip(*map(self._operands, group), strict=True):
                if operands[0].same_index:
                    self._group(tuple(operand.value for operand in operands))

    def _operands(self, value: Value) -> list[Operand]:
        return [
            Operand(
                operand,
                isinstance(operand, Value) and self.reads_same_index(operand, value),
                (type(operand), repr(operand)) if isinstance(operand, int | float) else id(operand),
            )
            for operand in value.operands
        ]


def buffer_shape(group: Group) -> tuple[int, ...]:
    """Return the shape of a group's buffer: of a single value its own, of several a vector."""
    return group[0].shape if len(group) == 1 else (sum(math.prod(value.shape) for value in group),)


class _GroupingError(Exception):
    """Values cannot be grouped: one would be in two groups, or be needed before its group is computed."""
