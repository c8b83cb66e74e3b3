"""Record what a function computes: run it once on tracers, which have shapes and dtypes but no numbers.

A tracer's array API namespace (``namespace.py``) records operations. Functions and methods of NumPy, CuPy and PyTorch reach it
through the dispatch protocols of these libraries.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from portable_bp.backends.graph.ir import Graph, Node, key_of, pruned
from portable_bp.common.trees import leaves, map_leaves

if TYPE_CHECKING:
    from portable_bp.backends.graph.namespace import Namespace

UNKNOWN = "an array's numbers are unknown while a function is recorded"
KEEPS_ARRAYS = "custom functions must not store arrays between steps: keep them in the optimizer's state"
# Python's operators, by the operations that they stand for.
OPERATORS = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow", "matmul": "matmul"},
    **{"and": "bitwise_and", "or": "bitwise_or", "invert": "bitwise_invert", "neg": "negative", "abs": "abs"},
    **{"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"},
}


class Library(Protocol):
    """What recording needs to know of an array library."""

    name: str
    xp: Any  # its array API namespace
    array_type: Any
    device: Any
    tracer: type[Tracer]
    giving_pairs: Sequence[str]  # functions that, along an axis, give indices too

    def dtype(self, name: str) -> Any:
        """Return a dtype of the library, given its name in the standard."""
        ...

    def promote(self, *kinds: Any) -> str:
        """Return the dtype of arrays, given by their dtypes and numbers of axes, and Python numbers, given by their types."""
        ...

    def infer(self, nodes: list[Node], function: Any, operands: Any, options: dict[str, Any]) -> tuple[Sequence[int], str]:
        """Return the shape and dtype of the result of an opaque function, whose operands hold places of nodes."""
        ...

    def on_host(self, array: Any) -> np.ndarray | None:
        """Return a constant in main memory if it is there, and small; None otherwise."""
        ...


class Recorder:
    """The operations on tracers, in order, and the same node for the same operation."""

    def __init__(self) -> None:
        self.nodes: dict[Any, Node] = {}
        self.closed = False
        self._tracers: list[Any] = []

    def add(self, tracer: type[Tracer], node: Node) -> Tracer:
        """Return the tracer of a node, or of an earlier one for the same operation."""
        if self.closed:
            raise TypeError(f"a custom function used an array of another step; {KEEPS_ARRAYS}")
        if node.operation != "input":
            node = node.with_inputs(tuple(self._known(each) if each.operation == "constant" else each for each in node.inputs))
            node = self._known(node)
        return self.trace(tracer, node)

    def _known(self, node: Node) -> Node:
        key = node.operation, tuple(map(id, node.inputs)), node.dtype, node.shape, key_of(node.attributes)
        return self.nodes.setdefault(key, node)

    def trace(self, tracer: type[Tracer], node: Node) -> Tracer:
        """Return a tracer of a node, which is watched until the recording is closed."""
        traced = tracer(node, self)
        self._tracers.append(weakref.ref(traced))
        return traced

    def close(self, expected: list[Tracer]) -> None:
        """Record no more; raise a TypeError if the function stored a tracer, and so would store arrays between steps."""
        self.closed = True
        known = set(map(id, expected))
        if any((traced := reference()) is not None and id(traced) not in known for reference in self._tracers):
            raise TypeError(KEEPS_ARRAYS)


def record(library: Library, function: Callable[..., Any], carry: Any, data: Any, item: Any) -> Graph:
    """Return what ``function(carry, data, item)`` computes; raise a TypeError if it cannot be recorded."""
    recorder = Recorder()

    def trace_input(array: Any) -> Tracer:
        return recorder.add(library.tracer, Node("input", (), tuple(array.shape), dtype_name(array.dtype)))

    trees = [map_leaves(trace_input, tree) for tree in (carry, data, item)]
    trees.append(function(*trees))
    inputs_and_results = leaves(trees)
    if not all(isinstance(leaf, Tracer) for leaf in inputs_and_results):
        raise TypeError("a step returns something else than arrays")
    carried, kept, new, results = (tuple(leaf.node for leaf in leaves(tree)) for tree in trees)
    nodes = [node for node in recorder.nodes.values() if not node.is_given]
    for number, (old, result) in enumerate(zip(carried, results, strict=True)):
        if result is not old and result.root.is_given:
            if result.root.operation == "input":
                raise TypeError("an input is returned in the place of another one")
            copied = Node("copy", (result,), result.shape, result.dtype)
            nodes.append(copied)
            results = (*results[:number], copied, *results[number + 1 :])
    recorder.close(inputs_and_results)
    return pruned(Graph(carried, kept, new, results, tuple(nodes)))


class Tracer:
    """Takes the place of an array while a function is recorded; each library has a subclass."""

    library: ClassVar[Any]
    namespace: ClassVar[Namespace]
    __array_priority__ = 1000

    def __init__(self, node: Node, recorder: Recorder | None) -> None:
        self.node = node
        self.recorder = recorder  # None for a constant

    shape = property(lambda self: self.node.shape)
    dtype = property(lambda self: self.library.dtype(self.node.dtype))
    ndim = property(lambda self: len(self.node.shape))
    size = property(lambda self: self.node.size)
    device = property(lambda self: self.library.device)
    mT = property(lambda self: self.namespace.matrix_transpose(self))  # the standard's name
    T = property(lambda self: self.namespace.permute_dims(self, tuple(range(self.ndim))[::-1]))

    def __array_namespace__(self, **_: Any) -> Namespace:
        return self.namespace

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Record a call of a ufunc of NumPy or CuPy."""
        return self.namespace.record_call(ufunc if method == "__call__" else getattr(ufunc, method), operands, options)

    def __array_function__(self, function: Callable[..., Any], types: Any, operands: tuple, options: dict[str, Any]) -> Any:
        """Record a call of another function of NumPy."""
        return self.namespace.record_call(function, operands, options)

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], types: Any, operands: tuple, options: Any = None) -> Any:
        """Record a call of a function of PyTorch."""
        return cls.namespace.record_call(function, operands, options or {})

    def __getitem__(self, key: Any) -> Any:
        return self.namespace.getitem(self, key)

    def __getattr__(self, name: str) -> Any:
        """Return an array method: an operation of that name, or else one that only the library can run."""
        method = getattr(self.library.array_type, name, None)
        if name.startswith("__") or not callable(method):
            raise AttributeError(f"an array's {name} cannot be recorded")
        return lambda *operands, **options: self.namespace.record_call(method, (self, *operands), options)

    def astype(self, dtype: Any, copy: bool = True) -> Tracer:
        """Record a change of dtype, by NumPy's name of the method."""
        return self.namespace.astype(self, dtype)

    def to(self, dtype: Any, copy: bool = False) -> Tracer:
        """Record a change of dtype, by PyTorch's name of the method."""
        return self.namespace.astype(self, dtype)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(UNKNOWN)

    __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __array__ = _refuse
    __hash__ = object.__hash__


def _operator(operation: str, reflected: bool = False) -> Callable[..., Any]:
    def apply(self: Tracer, *other: Any) -> Any:
        return getattr(self.namespace, operation)(*((*other, self) if reflected else (self, *other)))

    return apply


for _name, _operation in OPERATORS.items():
    setattr(Tracer, f"__{_name}__", _operator(_operation))
    setattr(Tracer, f"__r{_name}__", _operator(_operation, reflected=True))


def dtype_name(dtype: Any) -> str:
    """Return a dtype's name in the standard."""
    return np.dtype(dtype).name if isinstance(dtype, type | str) else str(dtype).rpartition(".")[2]
