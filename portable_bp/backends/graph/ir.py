"""The intermediate representation of a recorded step: a graph of operations of the array API standard.

Shapes and dtypes are known, numbers are not. All operands of an elementwise operation have the dtype that it computes in:
where the standard promotes, the graph has an ``astype``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

# Elementwise operations by what they take and give. Those in FLOATING turn whole numbers into floating-point ones.
ARITHMETIC = {"add", "subtract", "multiply", "maximum", "minimum", "negative", "abs", "sign"}
FLOATING = {
    *("divide", "pow", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan"),
    *("floor", "ceil"),
}
COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
PREDICATES = {"isfinite", "isnan", "isinf"}
LOGICAL = {"logical_and", "logical_or", "logical_not"}
BOOLEAN = COMPARISONS | PREDICATES | LOGICAL  # give booleans
ELEMENTWISE = ARITHMETIC | FLOATING | BOOLEAN | {"where", "astype", "copy"}

VIEWS = {"permute_dims", "reshape", "getitem", "broadcast_to"}  # share the memory of their input
MAX_COMPARED = 2**14  # constants up to this size, such as class numbers, are compared by content, larger ones by identity


@dataclass(eq=False, slots=True)
class Node:
    """An array of a recorded step: an input, a constant, or the result of an operation.

    ``attributes`` holds what is not an array, such as an axis. Nodes are compared by identity, and never changed.
    """

    operation: str
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    dtype: str  # its name in the standard
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of numbers."""
        return math.prod(self.shape)

    @property
    def is_view(self) -> bool:
        """Whether it shares the memory of its input."""
        return self.operation in VIEWS

    @property
    def is_elementwise(self) -> bool:
        """Whether a number depends only on the operands' numbers at the same index."""
        return self.operation in ELEMENTWISE or self.operation == "add_scaled"

    @property
    def is_given(self) -> bool:
        """Whether nothing computes it."""
        return self.operation in ("input", "constant")

    @property
    def root(self) -> Node:
        """The node that owns the memory: itself, unless it is a view."""
        return self.inputs[0].root if self.is_view else self

    def with_inputs(self, inputs: tuple[Node, ...]) -> Node:
        """Return the same operation on other nodes of the same shapes and dtypes."""
        return self if inputs == self.inputs else replace(self, inputs=inputs)


def dtype_name(dtype: Any) -> str:
    """Return a dtype's name in the standard."""
    return np.dtype(dtype).name if isinstance(dtype, type | str) else str(dtype).rpartition(".")[2]


def constant(value: Any, dtype: str | None = None) -> Node:
    """Return the node of a number, in a dtype if one is given, or of an array; a small one is copied, since it may change."""
    if isinstance(value, bool | int | float | np.generic):
        value = np.asarray(value, dtype)
    elif isinstance(value, np.ndarray) and value.size <= MAX_COMPARED:
        value = value.copy()
    return Node("constant", (), tuple(value.shape), dtype_name(value.dtype), {"value": value})


class Graph(NamedTuple):
    """What one step of a loop computes."""

    carry: tuple[Node, ...]  # inputs: what the step before returned
    data: tuple[Node, ...]  # inputs: what stays the same
    item: tuple[Node, ...]  # inputs: what is new in each step
    results: tuple[Node, ...]  # the next carry
    nodes: tuple[Node, ...]  # all that the results need and that is not given, in an order in which it can be computed

    @property
    def uses(self) -> Counter[Node]:
        """How often each node is an operand or a result."""
        return Counter([*self.results, *(each for node in self.nodes for each in node.inputs)])

    @property
    def constants(self) -> list[Node]:
        """The constants, in the order in which they are used."""
        used = [*(each for node in self.nodes for each in node.inputs), *self.results]
        return [node for node in dict.fromkeys(used) if node.operation == "constant"]

    @property
    def structure(self) -> Any:
        """A key that is equal only for graphs that differ in nothing but the values of their constants."""
        inputs = self.carry, self.data, self.item
        index_of = {node: index for index, node in enumerate(dict.fromkeys((*sum(inputs, ()), *self.constants, *self.nodes)))}
        nodes = [
            (
                *(node.operation, node.shape, node.dtype, *(index_of[each] for each in node.inputs)),
                None if node.operation == "constant" else key_of(node.attributes),
            )
            for node in index_of
        ]
        return tuple(nodes), tuple(tuple(index_of[node] for node in each) for each in (*inputs, self.results))

    @property
    def signature(self) -> Any:
        """A key that is equal only for graphs that compute the same."""
        return self.structure, [key_of(node.attributes) for node in self.constants]

    def __str__(self) -> str:
        """Return one line for the inputs of each kind, one for each node, and one for the results."""
        names: dict[Node, str] = {}
        lines = []
        for kind in ("carry", "data", "item"):
            for number, node in enumerate(getattr(self, kind)):
                names.setdefault(node, f"{kind}{number}")
            described = [f"{names[node]}: {_type_of(node)}" for node in getattr(self, kind)]
            if described:
                lines.append(", ".join(described))
        for number, node in enumerate(self.nodes):
            names[node] = f"v{number}"
            operands = [names.get(each) or _constant_text(each) for each in node.inputs]
            options = [f"{name}={_text(value)}" for name, value in node.attributes.items()]
            lines.append(f"v{number} = {node.operation}({', '.join([*operands, *options])})  {_type_of(node)}")
        results = (names.get(node) or _constant_text(node) for node in self.results)
        return "\n".join([*lines, f"return {', '.join(results)}"])


def ordered(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Return nodes and all that they need, except for what is given, each after its inputs."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found and not node.is_given:
            for each in node.inputs:
                visit(each)
            found[node] = None

    for node in nodes:
        visit(node)
    return tuple(found)


def pruned(graph: Graph) -> Graph:
    """Return the graph without nodes that no result needs."""
    needed = set(graph.results)
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.inputs)
    return graph._replace(nodes=tuple(node for node in graph.nodes if node in needed))


def rewritten(graph: Graph, rule: Callable[[Node, dict[Node, int]], Node]) -> Graph:
    """Return the graph with each node replaced by what a rule gives for it: ``rule(node, uses)``, where its inputs are new."""
    new: dict[Node, Node] = {}
    uses = graph.uses
    counts = Counter(uses)  # of old nodes and of their replacements
    for node in graph.nodes:
        moved = node.with_inputs(tuple(new.get(each, each) for each in node.inputs))
        new[node] = rule(moved, counts)
        counts[new[node]] = counts[moved] = uses[node]
    results = tuple(new.get(node, node) for node in graph.results)
    return pruned(graph._replace(results=results, nodes=ordered(new.values())))


def key_of(given: Any) -> Any:
    """Return a key that is equal only for equal attributes or operands; arrays that are large are compared by identity."""
    if isinstance(given, tuple | list):
        return type(given), *map(key_of, given)
    if isinstance(given, dict):
        return tuple((name, key_of(value)) for name, value in given.items())
    if isinstance(given, np.ndarray) and given.size <= MAX_COMPARED and not given.dtype.hasobject:
        return given.shape, given.dtype, given.tobytes()
    if isinstance(given, int | float | str | bool | slice | type(None)):
        return type(given), repr(given)
    return id(given)


def _type_of(node: Node) -> str:
    return f"{node.dtype}[{', '.join(map(str, node.shape))}]"


def _constant_text(node: Node) -> str:
    value = node.attributes.get("value")
    return repr(value.item()) if isinstance(value, np.ndarray) and node.shape == () else f"<{_type_of(node)}>"


def _text(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value) if callable(value) else str(value)
