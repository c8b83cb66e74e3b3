"""Record a function's calls: run it once on tracers, which have shapes and dtypes but no numbers.

Tracer operations are intercepted by each library's dispatch protocol (NumPy's NEP 13 and NEP 18, PyTorch's
``__torch_function__``), so the function needs no changes.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from portable_bp.common.trees import leaves, map_leaves

# What is executed at replay: ``function(*operands)``.
Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]

KEEPS_ARRAYS = "custom functions must not store arrays between steps: keep them in the optimizer's state"


class Value:
    """An array of a recorded step: an input, or the result of a call.

    ``example`` has its shape and dtype, and meaningless numbers; ``function`` is None for an input; ``operands`` holds values
    and constants; ``view_of`` is the operand whose memory the array shares.
    """

    def __init__(
        self,
        example: Any,
        function: Any = None,
        operands: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
        view_of: Value | None = None,
    ) -> None:
        self.example = example
        self.function = function
        self.operands = operands
        self.options = options or {}
        self.view_of = view_of

    @property
    def inputs(self) -> list[Value]:
        """The values among the operands."""
        return [leaf for leaf in leaves(self.operands) if isinstance(leaf, Value)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.example.shape)

    @property
    def root(self) -> Value:
        """The value that owns the memory: itself, unless it is a view."""
        return self if self.view_of is None else self.view_of.root


class Register:
    """Stands for a fused call's intermediate result, which is never written to memory."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype


class Instruction(NamedTuple):
    """A recorded call with the arrays that it reads and the array, or ``Register``, for its result."""

    value: Value
    operands: tuple[Any, ...]
    out: Any


class Recorder:
    """The calls that a function makes on tracers, in order."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.values: list[Value] = []
        self.closed = False
        self._tracers: dict[Any, Tracer] = {}  # by the key of the call that returned them

    def trace_input(self, array: Any) -> Tracer:
        """Return a tracer for an array whose numbers change from step to step."""
        return self.library.tracer(self, Value(self.library.shape_only(array)))

    def add(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Record a call and return the tracer of its result, the same one for the same call.

        Raises a TypeError for a call that cannot be recorded; the function is then called every time instead.
        """
        if self.closed:
            raise TypeError(f"a custom function used an array of another step; {KEEPS_ARRAYS}")
        options = dict(options)
        if any(target is not operands[0] for target in leaves(options.pop("out", None))):
            raise TypeError("out= cannot be recorded, except in augmented assignment")
        if any(isinstance(leaf, Tracer) for leaf in leaves(list(options.values()))):
            raise TypeError("an array that is passed by keyword cannot be recorded")
        operands = map_leaves(lambda leaf: leaf.value if isinstance(leaf, Tracer) else leaf, operands)
        key = function, _call_key(self.library, [operands, sorted(options.items())], id)
        if key not in self._tracers:
            example = self.library.infer_example(function, operands, options)
            if not self.library.is_array(example):
                raise TypeError("a result that is not an array may depend on numbers, which are unknown while recording")
            inputs = (leaf for leaf in leaves(operands) if isinstance(leaf, Value))
            view_of = next((value for value in inputs if self.library.is_view(example, value.example)), None)
            self.values.append(Value(example, function, operands, options, view_of))
            self._tracers[key] = self.library.tracer(self, self.values[-1])
        return self._tracers[key]

    def close(self, inputs_and_results: list[Tracer]) -> None:
        """Record no more calls; raise a TypeError if the function stored a tracer, and so would store arrays between steps."""
        self.closed = True
        references = [weakref.ref(tracer) for tracer in self._tracers.values()]
        self._tracers.clear()
        expected = set(map(id, inputs_and_results))
        if any(reference() is not None and id(reference()) not in expected for reference in references):
            raise TypeError(KEEPS_ARRAYS)


def _call_key(library: Library, given: Any, name: Callable[[Value], Any]) -> Any:
    """Return a key that is equal only for the same operands and options; ``name(value)`` stands for a value."""
    if isinstance(given, tuple | list):
        return type(given), *(_call_key(library, branch, name) for branch in given)
    if isinstance(given, Value):
        return name(given)
    return library.constant_key(given) if library.is_array(given) else (type(given), repr(given))


class Tracer:
    """Takes an array's place while a function is recorded; each library's subclass implements its dispatch protocol."""

    def __init__(self, recorder: Recorder, value: Value) -> None:
        self.recorder = recorder
        self.value = value

    shape = property(lambda self: self.value.example.shape)
    dtype = property(lambda self: self.value.example.dtype)
    ndim = property(lambda self: self.value.example.ndim)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError("an array's numbers are unknown while a function is recorded")

    __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __array__ = _refuse


class Library(Protocol):
    """What recording and replay require of an array library.

    ``elementwise`` holds the functions whose result at an index depends only on the operands at that index.
    """

    tracer: Any  # the library's subclass of Tracer
    block_size: float  # numbers that elementwise calls process at a time; inf for whole arrays
    elementwise: Any
    fuses: bool = False  # whether several elementwise calls become one kernel
    max_fused: float = math.inf  # elementwise calls in one stage
    captures: bool = False  # whether ``capture`` may combine calls

    @property
    def exact(self) -> Library:
        """The library with matrix products in full precision; by default itself."""
        return self

    def is_array(self, given: Any) -> bool:
        """Return whether this is one of the library's arrays."""
        ...

    def shape_only(self, array: Any) -> Any:
        """Return an array of the same shape and dtype that takes no memory."""
        ...

    def infer_example(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return an array of the shape and dtype of a call's result, avoiding expensive computation."""
        ...

    def is_view(self, example: Any, other: Any) -> bool:
        """Return whether two examples share memory."""
        ...

    def constant_key(self, array: Any) -> Any:
        """Return a key that is equal only for arrays with the same contents."""
        ...

    def simplify(self, value: Value, uses: Mapping[Value, int]) -> list[Value]:
        """Rewrite the two calls behind a value as one cheaper call, in place, if possible; return the values that this adds.

        ``uses`` counts the uses of each value: the first call may be dropped only if its result is used once.
        """
        ...

    def empty(self, shape: tuple[int, ...], example: Any) -> Any:
        """Return a new array with the shape, and the dtype of the example."""
        ...

    def convert_constants(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return an elementwise call's operands, with constants in the form that is fastest at replay."""
        ...

    def emit(self, instruction: Instruction) -> Call:
        """Return the fastest call that does a recorded one and writes its result into an array."""
        ...

    def assign(self, target: Any, source: Any) -> Any:
        """Copy an array's numbers into another array."""
        ...

    def emit_fused(self, instructions: list[Instruction]) -> Call:
        """Return one call that does several elementwise ones; a library that does not fuse gets only one."""
        (instruction,) = instructions
        return self.emit(instruction)

    def capture(self, calls: list[Call]) -> list[Call]:
        """Return fewer calls that do the same, or the given list itself."""
        return calls


class Recording:
    """What one step of a loop computes: ``carry``, ``constants`` and ``item`` are its inputs, ``results`` the next carry.

    ``values`` holds the calls' results that these need, in order. Raises a TypeError if the function cannot be recorded.
    """

    def __init__(self, library: Library, function: Callable[..., Any], carry: Any, constants: Any, item: Any) -> None:
        self.library = library
        recorder = Recorder(library)
        inputs = [map_leaves(recorder.trace_input, tree) for tree in (carry, constants, item)]
        trees = [*inputs, function(*inputs)]
        self.carry, self.constants, self.item, self.results = ([leaf.value for leaf in leaves(tree)] for tree in trees)
        for old, result in zip(self.carry, self.results, strict=True):
            if result.root.function is None and result is not old:
                raise TypeError("an input is returned in the place of another one")
        recorder.close(leaves(trees))
        uses = Counter([*self.results, *(source for value in recorder.values for source in value.inputs)])
        values = [each for value in recorder.values for each in (*library.simplify(value, uses), value)]
        needed = set(self.results)
        for value in reversed(values):
            if value in needed:
                needed.update(value.inputs)
        self.values = [value for value in values if value in needed]

    @property
    def signature(self) -> Any:
        """The calls and their operands, in order: equal for functions that do the same."""
        inputs = [*self.carry, *self.constants, *self.item]
        number = {value: index for index, value in enumerate([*inputs, *self.values])}

        def key(value: Value) -> Any:
            return value.function, _call_key(self.library, [value.operands, sorted(value.options.items())], number.__getitem__)

        return [key(value) for value in self.values], [number[result] for result in self.results]
