"""Which operations of a graph run together, and in which order.

- Elementwise operations on arrays of one shape form a stage, which a printer that fuses makes one kernel or loop.
- The same elementwise operations for several arrays, as an optimizer makes for every weight and bias, become one: such arrays
  form a group, stored contiguously in one flat buffer.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import NamedTuple, TypeAlias

from portable_bp.backends.graph.ir import Graph, Node

# Nodes stored contiguously in one flat buffer, in order; most nodes are a group of their own, in a buffer of their shape.
Group: TypeAlias = tuple[Node, ...]


class Stage(NamedTuple):
    """Operations that run together, by the groups that they compute: one group, or several elementwise ones of one shape."""

    groups: list[Group]
    elementwise: bool  # such a stage runs as one kernel


class Schedule:
    """A graph with its operations arranged in stages, and its nodes in groups.

    Up to ``max_fused`` elementwise operations become one kernel or loop, with what is between in registers.
    """

    def __init__(self, graph: Graph, max_fused: float = 0) -> None:
        self.graph = graph
        self.max_fused = max_fused
        self._groups: dict[Node, Group] = {}
        # Weights and biases are grouped apart where an optimizer treats them differently, as AdamW does.
        for apart in (False, True):
            self._groups.clear()
            with contextlib.suppress(_GroupingError):
                self._group_results(apart)
                self.stages = self._arrange()
                return
        self._groups.clear()
        self.stages = self._arrange()

    def __str__(self) -> str:
        """Return the graph's lines, stage by stage."""
        lines = dict(zip(self.graph.nodes, str(self.graph).splitlines()[-len(self.graph.nodes) - 1 :], strict=False))
        texts = []
        for stage in self.stages:
            kind = "one loop or kernel" if stage.elementwise else "one call"
            texts += [f"{kind}:", *(f"    {' | '.join(lines[node] for node in group)}" for group in stage.groups)]
        return "\n".join(texts)

    def group_of(self, node: Node) -> Group:
        """Return the group of a node that is not a view."""
        return self._groups.get(node, (node,))

    def reads_same_index(self, operand: Node, node: Node) -> bool:
        """Return whether each number of a result needs only the operand's number at the same index."""
        # A result of one number is not computed in place: checking for overlap takes NumPy longer than writing elsewhere.
        overwrites = node.shape != () or self.max_fused > 0
        is_own = not operand.is_view and operand.operation != "constant"
        adds = node.operation == "add_product" and operand is node.inputs[0] and node.inputs.count(operand) == 1
        return (node.is_elementwise or adds) and is_own and operand.shape == node.shape and overwrites

    @functools.cached_property
    def last_uses(self) -> dict[Group, tuple[float, float]]:
        """The stage, and the position in it, after which each group is no longer needed."""
        last: dict[Group, tuple[float, float]] = {}
        for number, stage in enumerate(self.stages):
            for position, group in enumerate(stage.groups):
                for node in group:
                    for source in node.inputs:
                        # What is read at the same index may be overwritten; anything else is read until the stage ends.
                        use = (number, position if self.reads_same_index(source, node) else math.inf)
                        used = self.group_of(source.root)
                        last[used] = max(last.get(used, use), use)
        return last | {self.group_of(result.root): (math.inf, math.inf) for result in self.graph.results}

    def _arrange(self) -> list[Stage]:
        """Return the stages: each group is appended to the first elementwise stage that can take it, or to a new one."""
        stages: list[Stage] = []
        stage_of: dict[Node, int] = {}
        first = 0  # a fused operation joins no stage before: an array that is used later would go through memory
        remaining: dict[Group, int] = {}  # nodes of a group that come later in the graph
        for node in self.graph.nodes:
            if node.is_view:
                continue
            group = self.group_of(node) if self._is_one(self.group_of(node)) else (node,)
            remaining[group] = remaining.get(group, len(group)) - 1
            if remaining[group]:
                continue
            reads = [(source, member) for member in group for source in member.inputs if not source.root.is_given]
            if any(source.root not in stage_of for source, _ in reads):
                raise _GroupingError
            # What is read at the same index may be computed in the same stage.
            needed = [stage_of[source.root] + (not self.reads_same_index(source, member)) for source, member in reads]
            elementwise = self.max_fused > 0 and node.is_elementwise
            # A number may join any earlier stage: storing one costs next to nothing.
            joinable = range(max([first if node.shape else 0, *needed]), len(stages)) if elementwise else ()
            index = next((number for number in joinable if self._accepts(stages[number], group)), len(stages))
            if index == len(stages):
                stages.append(Stage([], elementwise))
                first = first if elementwise else len(stages)
            stages[index].groups.append(group)
            stage_of.update((member, index) for member in group)
        return stages

    def _accepts(self, stage: Stage, group: Group) -> bool:
        """Return whether a stage can take the operation that computes a group."""
        same_shape = stage.elementwise and buffer_shape(stage.groups[0]) == buffer_shape(group)
        return same_shape and len(stage.groups) < self.max_fused

    def _is_one(self, group: Group) -> bool:
        return len(group) > 1 and all(self._can_group(node) for node in group)

    def _can_group(self, node: Node) -> bool:
        """Return whether an operation can be one with others: each operand is read at the same index, or is one number."""
        operands = node.inputs if node.is_elementwise else ()
        return bool(operands) and all(each.shape == () or self.reads_same_index(each, node) for each in operands)

    def _group_results(self, apart: bool) -> None:
        """Group the results that are computed alike, what they are computed from, and the carry that they replace."""
        for results in self._similar_results(apart):
            self._group(results)
        carry_of = dict(zip(self.graph.results, self.graph.carry, strict=True))
        for group in [self._groups[result] for result in self.graph.results if result in self._groups]:
            carry = tuple(carry_of[node] for node in group if node in carry_of)
            if any(self._groups.get(node, carry) != carry for node in carry):
                raise _GroupingError
            self._groups.update((node, carry) for node in carry if len(carry) > 1)

    def _similar_results(self, apart: bool) -> list[Group]:
        """Return groups of results that the same elementwise operations compute; matrices and vectors apart if wanted."""
        numbers: dict[object, int] = {}
        patterns: dict[Node, int] = {}

        def pattern(node: Node) -> int:
            """Return a number that is the same for nodes that are computed alike."""
            if node not in patterns:
                how: object = "given"
                if self._can_group(node):
                    keys = (pattern(each) if self.reads_same_index(each, node) else id(each) for each in node.inputs)
                    how = node.operation, repr(node.attributes), *keys
                patterns[node] = numbers.setdefault((how, node.dtype), len(numbers))
            return patterns[node]

        similar: dict[object, list[Node]] = {}
        for result in self.graph.results:
            if self._can_group(result) and result.shape:
                similar.setdefault((pattern(result), apart and len(result.shape)), []).append(result)
        return [tuple(results) for results in similar.values() if len(results) > 1]

    def _group(self, group: Group) -> None:
        """Group nodes and, operand by operand, what they read at the same index."""
        if all(self._groups.get(node) == group for node in group):
            return
        inputs = {*self.graph.data, *self.graph.item}
        taken = any(node in self._groups or node in inputs or node.is_view for node in group)
        if taken or len(set(group)) < len(group):
            raise _GroupingError
        self._groups.update((node, group) for node in group)
        if self._is_one(group):
            for operands in zip(*(node.inputs for node in group), strict=True):
                if self.reads_same_index(operands[0], group[0]):
                    self._group(operands)


def buffer_shape(group: Group) -> tuple[int, ...]:
    """Return the shape of a group's buffer: of a single node its own, of several a vector."""
    return group[0].shape if len(group) == 1 else (sum(node.size for node in group),)


class _GroupingError(Exception):
    """Nodes cannot be grouped: one would be in two groups, or be needed before its group is computed."""
