"""Record what a function computes: run it once on tracers, which have shapes and dtypes but no numbers.

A tracer's array API namespace (``namespace.py``) records operations. Functions and methods of NumPy, CuPy and PyTorch reach it
through the dispatch protocols of these libraries.
"""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from portable_bp.backends.graph.ir import Graph, Node, dtype_name, key_of, pruned
from portable_bp.common.trees import leaves, map_leaves

if TYPE_CHECKING:
    from portable_bp.backends.graph.namespace import Namespace
    from portable_bp.backends.graph.printers.calls import Library

UNKNOWN = "an array's numbers are unknown while a function is recorded"
# Python's operators, by the operations that they stand for.
OPERATORS = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow", "matmul": "matmul"},
    **{"and": "logical_and", "or": "logical_or", "invert": "logical_not", "neg": "negative", "abs": "abs"},
    **{"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"},
}
KEEPS_ARRAYS = "custom functions must not store arrays between steps: keep them in the optimizer's state"


class Recorder:
    """The operations on tracers, in order, and the same node for the same operation."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.nodes: dict[Any, Node] = {}
        self._tracers: list[weakref.ref[Tracer]] = []

    def add(self, node: Node) -> Tracer:
        """Return the tracer of a node, or of an earlier one for the same operation."""
        key = node.operation, tuple(map(id, node.inputs)), node.dtype, node.shape, key_of(node.attributes)
        return self.trace(self.nodes.setdefault(key, node))

    def trace(self, node: Node) -> Tracer:
        """Return a tracer of a node, which is watched: it must not be stored."""
        tracer = Tracer(node)
        self._tracers.append(weakref.ref(tracer))
        return tracer

    def check_none_is_stored(self, expected: list[Tracer]) -> None:
        """Raise a TypeError if the function stored a tracer, and so would store arrays between steps."""
        known = set(map(id, expected))
        if any((traced := reference()) is not None and id(traced) not in known for reference in self._tracers):
            raise TypeError(KEEPS_ARRAYS)


_recorder: contextvars.ContextVar[Recorder] = contextvars.ContextVar("recorder")


def recorder() -> Recorder:
    """Return the recorder of the function that is being recorded."""
    try:
        return _recorder.get()
    except LookupError:
        raise TypeError(f"a custom function used an array of another step; {KEEPS_ARRAYS}") from None


def record(library: Library, function: Callable[..., Any], carry: Any, data: Any, item: Any) -> Graph:
    """Return what ``function(carry, data, item)`` computes; raise a TypeError if it cannot be recorded."""
    recording = Recorder(library)

    def trace_input(array: Any) -> Tracer:
        return recording.trace(Node("input", (), tuple(array.shape), dtype_name(array.dtype)))

    trees = [map_leaves(trace_input, tree) for tree in (carry, data, item)]
    token = _recorder.set(recording)
    try:
        trees.append(function(*trees))
    finally:
        _recorder.reset(token)
    inputs_and_results = leaves(trees)
    if not all(isinstance(leaf, Tracer) for leaf in inputs_and_results):
        raise TypeError("a step returns something else than arrays")
    recording.check_none_is_stored(inputs_and_results)
    carried, kept, new, returned = (tuple(leaf.node for leaf in leaves(tree)) for tree in trees)
    results = tuple(_own_result(old, result) for old, result in zip(carried, returned, strict=True))
    nodes = [node for node in (*recording.nodes.values(), *results) if not node.is_given]
    return pruned(Graph(carried, kept, new, results, tuple(dict.fromkeys(nodes))))


def _own_result(old: Node, result: Node) -> Node:
    """Return a result that may replace what is carried: a copy, if it shares the memory of a constant."""
    if result is old or not result.root.is_given:
        return result
    if result.root.operation == "input":
        raise TypeError("an input is returned in the place of another one")
    return Node("copy", (result,), result.shape, result.dtype)


class Tracer:
    """Takes the place of an array while a function is recorded."""

    namespace: ClassVar[Namespace]
    __array_priority__ = 1000

    def __init__(self, node: Node) -> None:
        self.node = node

    shape = property(lambda self: self.node.shape)
    dtype = property(lambda self: recorder().library.dtype(self.node.dtype))
    ndim = property(lambda self: len(self.node.shape))
    size = property(lambda self: self.node.size)
    device = property(lambda self: recorder().library.device)
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
        method = getattr(recorder().library.array_type, name, None)
        if name.startswith("__") or not callable(method):
            raise AttributeError(f"an array's {name} cannot be recorded")
        return lambda *operands, **options: self.namespace.record_call(method, (self, *operands), options)

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
