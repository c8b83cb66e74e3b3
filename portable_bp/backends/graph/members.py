"""Recognize a population in a recorded step, and move its member axis into the dtypes.

K networks of the same sizes have arrays with a leading axis of K members, and a step treats each member by itself. The pass
``members_in_lanes`` proves this from the operations alone, and returns the step of a block of members: an array that differs
between members loses its leading axis, and has a dtype of several lanes, such as "float32x8", one for each member of the block.
``first_member`` returns the step of one member instead, in plain dtypes, whose arrays are views of those of all members.
What all members share stays as it is. Shapes alone decide nothing: the number of members may equal that of samples or neurons.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portable_bp.backends.graph.ir import Graph, Node, ordered, rewritten
from portable_bp.backends.graph.passes import Pass
from portable_bp.backends.graph.printers.calls import UnsuitedError


def members_in_lanes(lanes: int) -> Pass:
    """Return the pass from the step of a population to that of a block of members, one in each lane."""
    return lambda graph: _Block(rewritten(graph, _rows_of_members), lanes).graph


def first_member(graph: Graph) -> Graph:
    """Return the step of the first member of a population; those of the others differ only in where their arrays start."""
    return _Block(rewritten(graph, _rows_of_members), lanes=0).graph


def _rows_of_members(node: Node, uses: dict[Node, int]) -> Node:
    """Take rows at indices of two axes at once: they are recorded as one axis, whose result is reshaped."""
    if node.operation == "reshape" and node.inputs[0].operation == "take":
        rows = node.inputs[0]
        array, indices = rows.inputs
        if indices.operation == "reshape" and rows.attributes["axis"] == 0:
            (given,) = indices.inputs
            if node.shape == (*given.shape, *array.shape[1:]):
                return replace(rows, inputs=(array, given), shape=node.shape)
    return node


def find_members(graph: Graph) -> set[Node]:
    """Return the nodes whose first axis is that of the members; raise an UnsuitedError if this is not a population's step.

    The step carries arrays of members, or single numbers that all members share. From these, the rules of each operation give
    the other nodes: a result has the axis if an operand has it, and the operation must not combine numbers along it. Another
    operand of the same length along the axis must be, or be computed from, an array that is given for all members.
    """
    members = {node for node in graph.carry if node.shape}
    counts = {node.shape[0] for node in members}
    if len(counts) != 1 or not any(len(node.shape) == 3 for node in members):
        raise UnsuitedError("it is no population: the arrays that a step carries share no leading axis")
    rules = _Rules(counts.pop(), members, {*graph.data, *graph.item})
    while True:
        known = set(rules.members)
        for node in graph.nodes:
            rules.visit(node)
        for old, result in zip(graph.carry, graph.results, strict=True):
            if old in members and result not in rules.members:
                rules.claim(result)
            if old not in members and result in rules.members:
                raise UnsuitedError("a number that all members share would differ between them")
        if rules.members == known:
            return known


class _Rules:
    """How the axis of members goes through each operation."""

    def __init__(self, count: int, members: set[Node], kept: set[Node]) -> None:
        self.count = count
        self.members = set(members)
        self.kept = kept  # inputs that a step does not change

    def visit(self, node: Node) -> None:
        """Add a node to the members if it has their axis, and claim operands that are aligned with it."""
        if not (node in self.members or any(each in self.members for each in node.inputs)):
            return
        if node.operation in ("matmul", "broadcast_to") or node.is_elementwise:
            is_right = self._visit_aligned(node)
        elif node.operation == "take":
            is_right = self._visit_take(node)
        else:
            is_right = node.inputs[0] in self.members and self._keeps_axis(node)
        if not is_right:
            raise UnsuitedError(f"{node.operation} may combine members of a population")
        self.members.add(node)

    def claim(self, node: Node) -> None:
        """Mark an array, or what it is computed from, as one of all members."""
        if node.is_given or node.operation == "broadcast_to":
            if node.shape[:1] != (self.count,):
                raise UnsuitedError("an array of all members is expected")
            self.members.add(node)
            return
        aligned = [each for each in node.inputs if self._is_aligned(each, node)]
        if node.operation == "take":
            array, indices = node.inputs
            aligned = [indices] if len(indices.shape) == 2 else [array] if node.attributes["axis"] > 0 else []
        if not aligned:
            raise UnsuitedError(f"{node.operation} gives something else than an array of all members")
        for each in aligned:
            if each not in self.members:
                self.claim(each)

    def _is_aligned(self, operand: Node, node: Node) -> bool:
        """Return whether an operand's first axis is the first one of the result, and not broadcast."""
        is_reduced = node.operation in ("sum", "max", "min", "getitem", "reshape", "permute_dims")
        return operand.shape[:1] == (self.count,) and (is_reduced or len(operand.shape) == len(node.shape))

    def _visit_aligned(self, node: Node) -> bool:
        if node.shape[:1] != (self.count,) or (node.operation == "matmul" and len(node.shape) != 3):
            return False
        for each in node.inputs:
            if each in self.members:
                if len(each.shape) != len(node.shape):
                    return False
            elif self._is_aligned(each, node) and self.count > 1:
                self.claim(each)
        return True

    def _visit_take(self, node: Node) -> bool:
        array, indices = node.inputs
        if indices in self.members:  # rows of an array that all members share, others for each member
            return array not in self.members and len(indices.shape) == 2 and node.attributes["axis"] == 0
        return array in self.members and array in self.kept and len(indices.shape) == node.attributes["axis"] == 1

    def _keeps_axis(self, node: Node) -> bool:
        if node.operation in ("sum", "max", "min"):
            return 0 not in node.attributes["axis"]
        if node.operation == "permute_dims":
            return node.attributes["axes"][0] == 0
        if node.operation == "getitem":
            return _full_key(node)[0] == slice(None)
        return node.operation == "reshape" and node.shape[:1] == (self.count,)


def _full_key(node: Node) -> list[object]:
    """Return the key of a ``getitem`` with a part for each axis in place of an ellipsis."""
    key = list(node.attributes["key"])
    place = next(number for number, part in enumerate(key) if part is ...)
    missing = len(node.inputs[0].shape) - sum(part is not None and part is not ... for part in key)
    return [*key[:place], *[slice(None)] * missing, *key[place + 1 :]]


class _Block:
    """The step of a block of members, or with no lanes that of the first member."""

    def __init__(self, graph: Graph, lanes: int) -> None:
        self.lanes = lanes
        self.members = find_members(graph)
        self._nodes: dict[Node, Node] = {}
        for node in graph.carry:
            if node in self.members:
                self._nodes[node] = self._part("input", (), node, {"members": node.shape[0]})
        for node in graph.nodes:
            self._nodes[node] = self._moved(node) if node in self.members else node
        carry, results = (tuple(map(self._node, nodes)) for nodes in (graph.carry, graph.results))
        self.graph = Graph(carry, graph.data, graph.item, results, ordered(results))

    def _part(self, operation: str, inputs: tuple[Node, ...], node: Node, attributes: dict[str, Any]) -> Node:
        """Return a node of a block, given one of all members."""
        return Node(operation, inputs, node.shape[1:], f"{node.dtype}x{self.lanes}" if self.lanes else node.dtype, attributes)

    def _node(self, node: Node) -> Node:
        """Return the node of a block; of an array that is given for all members, what is loaded into lanes, or a view."""
        if node in self.members and node not in self._nodes:
            view = "getitem", (node,), node, {"key": (0, ...), "members": node.shape[0]}
            self._nodes[node] = self._part("load_members", (node,), node, {}) if self.lanes else self._part(*view)
        return self._nodes.get(node, node)

    def _moved(self, node: Node) -> Node:
        if node.operation == "take":
            return self._moved_take(node)
        attributes = node.attributes
        if node.operation in ("sum", "max", "min"):
            attributes = attributes | {"axis": tuple(axis - 1 for axis in attributes["axis"])}
        elif node.operation == "permute_dims":
            attributes = attributes | {"axes": tuple(axis - 1 for axis in attributes["axes"][1:])}
        elif node.operation == "getitem":
            attributes = attributes | {"key": (*_full_key(node)[1:], ...)}
        inputs = tuple(self._without_axis(each, node) for each in node.inputs)
        if node.operation == "broadcast_to" and node.inputs[0] not in self.members:
            return Node(node.operation, inputs, node.shape[1:], node.dtype, attributes)
        return self._part(node.operation, inputs, node, attributes)

    def _without_axis(self, operand: Node, node: Node) -> Node:
        """Return an operand; one that all members share loses a leading axis of length 1."""
        if operand in self.members or len(operand.shape) < len(node.shape):
            return self._node(operand)
        if operand.shape[0] != 1:
            raise UnsuitedError(f"{node.operation} has an operand whose first axis is not that of the members")
        return Node("getitem", (self._node(operand),), operand.shape[1:], operand.dtype, {"key": (0, ...)})

    def _moved_take(self, node: Node) -> Node:
        array, indices = node.inputs
        if array in self.members and not self.lanes:
            return self._part("take", (self._node(array), indices), node, {"axis": 0})
        return self._part("take", (array, self._node(indices)), node, node.attributes)


def lanes_of(node: Node) -> int:
    """Return the number of lanes of a node of a block's step; 0 of what all members share."""
    return int(node.dtype.partition("x")[2] or 0)


def dtype_of(node: Node) -> str:
    """Return the dtype of a node of a block's step in one lane."""
    return node.dtype.partition("x")[0]


def members_of(node: Node) -> int:
    """Return the number of members that an array of a block's step was given for; 0 of what is computed or shared."""
    return node.attributes.get("members", 0)
