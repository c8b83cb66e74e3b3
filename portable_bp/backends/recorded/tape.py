"""A function's calls, written down: run once with stand-ins for its arrays, which have shapes and dtypes but no numbers.

What is asked of a stand-in reaches the tape by the protocols that the libraries have for it (NumPy's NEP 13 and NEP 18,
PyTorch's ``__torch_function__``), so that nothing in the function needs to know.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from portable_bp.common.trees import leaves, map_leaves


class Value:
    """An array that is there while a recording is played: an input, or what a call gives.

    Parameters
    ----------
    example : array
        Of its shape and dtype; its numbers mean nothing.
    function : callable or None
        What gives it; None for an input.
    operands : tuple
        What the function takes: values, and what does not change.
    options : dict
        What it takes by name.
    view_of : Value or None
        The operand in whose memory it lies.
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
    def needs(self) -> list[Value]:
        """The values among the operands."""
        return [leaf for leaf in leaves(self.operands) if isinstance(leaf, Value)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.example.shape)

    @property
    def root(self) -> Value:
        """The value in whose memory this one lies: itself, unless it is a view."""
        return self if self.view_of is None else self.view_of.root


class Register:
    """Takes the place of an array within a fused call, for a result that nothing else needs.

    Parameters
    ----------
    shape : tuple of int
        The array's.
    dtype : dtype
        The array's.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype


class Tape:
    """The calls that a function makes, in their order.

    Parameters
    ----------
    library : Library
        Whose arrays the function is meant for.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.values: list[Value] = []
        self.closed = False
        self._known: dict[Any, StandIn] = {}

    def input(self, array: Any) -> StandIn:
        """Return what stands for an array that is another one each time.

        Parameters
        ----------
        array : array
            One of its shape and dtype.
        """
        return self.library.stand_in(self, Value(self.library.hollow(array)))

    def add(self, function: Callable[..., Any], given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Note a call, and return what stands for its result; the same call gives the same result.

        Whatever would be recorded wrongly raises a TypeError: the function is then called as it stands.

        Parameters
        ----------
        function : callable
            One of the library's.
        given : tuple
            What it takes: stand-ins among it.
        options : dict
            What it takes by name.
        """
        if self.closed:
            raise TypeError("a piece kept an array from another step: what it remembers belongs into the optimizer's state")
        options = dict(options)
        if any(target is not given[0] for target in leaves(options.pop("out", None))):
            raise TypeError("what is written into an array is not recorded, but for augmented assignment")
        if any(isinstance(leaf, StandIn) for leaf in leaves(list(options.values()))):
            raise TypeError("an array given by name is not recorded")
        operands = map_leaves(lambda leaf: leaf.value if isinstance(leaf, StandIn) else leaf, given)
        call = function, _told(self.library, [operands, sorted(options.items())], id)
        if call not in self._known:
            example = self.library.example(function, operands, options)
            if not self.library.is_array(example):
                raise TypeError("what is no array may have been computed from numbers, and there are none")
            inside = (leaf for leaf in leaves(operands) if isinstance(leaf, Value))
            view_of = next((value for value in inside if self.library.is_view(example, value.example)), None)
            self.values.append(Value(example, function, operands, options, view_of))
            self._known[call] = self.library.stand_in(self, self.values[-1])
        return self._known[call]

    def close(self, handed_back: list[StandIn]) -> None:
        """Note no more calls.

        Parameters
        ----------
        handed_back : list of StandIn
            What the function was given and what it returned.

        Raises
        ------
        TypeError
            If something else is still there: a piece keeps arrays to itself, and would go on with them at the next step.
        """
        self.closed = True
        made = [weakref.ref(result) for result in self._known.values()]
        self._known.clear()
        handed = set(map(id, handed_back))
        if any(result() is not None and id(result()) not in handed for result in made):
            raise TypeError("a piece keeps arrays to itself: what it remembers belongs into the optimizer's state")


def _told(library: Library, given: Any, name: Callable[[Value], Any]) -> Any:
    """Return what two calls' operands have alike only where they are the same, once values have names."""
    if isinstance(given, tuple | list):
        return type(given), *(_told(library, branch, name) for branch in given)
    if isinstance(given, Value):
        return name(given)
    return library.identity(given) if library.is_array(given) else (type(given), repr(given))


class StandIn:
    """Takes an array's place while a function is recorded; a library's own has the protocols of its arrays.

    Parameters
    ----------
    tape : Tape
        Notes what is done with it.
    value : Value
        What it stands for.
    """

    def __init__(self, tape: Tape, value: Value) -> None:
        self.tape = tape
        self.value = value

    shape = property(lambda self: self.value.example.shape)
    dtype = property(lambda self: self.value.example.dtype)
    ndim = property(lambda self: self.value.example.ndim)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError("an array's numbers are not known while a function is recorded")

    __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __array__ = _refuse


class Library(Protocol):
    """What recording and playing ask of an array library.

    Attributes
    ----------
    stand_in : type
        Its `StandIn`.
    block : float
        How many numbers elementwise work takes at once, where it is to be done block by block.
    elementwise : set
        The functions of which each number of the result depends on the numbers at its place alone.
    fuses : bool
        Whether it makes one call of elementwise calls on arrays of one shape.
    most_together : float
        How many elementwise calls are played together, at most.
    captures : bool
        Whether it may have a way to make many calls at once.
    exact : Library
        The same, but with products that round no more than all else does.
    """

    stand_in: Any
    block: float
    elementwise: Any
    fuses: bool = False
    most_together: float = math.inf
    captures: bool = False

    @property
    def exact(self) -> Library:
        """Itself, where it has no other products."""
        return self

    def is_array(self, given: Any) -> bool:
        """Return whether something is one of the library's arrays."""
        ...

    def hollow(self, array: Any) -> Any:
        """Return an array of the same shape and dtype that takes no memory."""
        ...

    def example(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return an array of the shape and dtype that a call gives, without the work where it could be much."""
        ...

    def is_view(self, example: Any, other: Any) -> bool:
        """Return whether an example lies in the memory of another."""
        ...

    def identity(self, array: Any) -> Any:
        """Return what two arrays have alike only where they hold the same."""
        ...

    def contract(self, value: Value, uses: Mapping[Value, int]) -> list[Value]:
        """Let a value be had with less work than the two calls take that give it, where the library has a way.

        Parameters
        ----------
        value : Value
            What the second of the two gives; it is changed.
        uses : mapping of Value to int
            How often each value is needed: the first of the two may be dropped if it is needed once.

        Returns
        -------
        list of Value
            What it takes now and was not there before.
        """
        ...

    def empty(self, shape: tuple[int, ...], example: Any) -> Any:
        """Return a new array of a shape, and of an example's dtype."""
        ...

    def numbers(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return what an elementwise call takes, with its Python numbers as arrays where that is quicker."""
        ...

    def call(self, value: Value, operands: tuple[Any, ...], out: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the quickest call that does what a recorded one did, and leaves the result in an array."""
        ...

    def assign(self, target: Any, source: Any) -> Any:
        """Copy an array's numbers into another."""
        ...

    def fused(self, calls: list[tuple[Value, tuple[Any, ...], Any]]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call that does what several elementwise ones do, each given by its value, operands and out.

        An out that is a `Register` need not be kept. A library that does not fuse is given one.
        """
        (call,) = calls
        return self.call(*call)

    def captured(self, calls: list[Any]) -> list[Any]:
        """Return fewer calls that do the same as a list of calls, where the library has a way, else the list itself."""
        return calls


class Recording:
    """What one step of a loop does, without its numbers.

    Parameters
    ----------
    library : Library
        Whose arrays it is meant for.
    function : callable
        ``function(carry, constants, item)`` returns the next carry.
    carry, constants, item : nested tuples and lists of arrays
        What it takes, for their shapes.

    Attributes
    ----------
    carried, staying, arriving : list of Value
        The inputs: the carry, the constants, the item.
    results : list of Value
        The next carry.
    values : list of Value
        All that is computed for it, in order.

    Raises
    ------
    TypeError
        If the function does what cannot be recorded.
    """

    def __init__(self, library: Library, function: Callable[..., Any], carry: Any, constants: Any, item: Any) -> None:
        self.library = library
        tape = Tape(library)
        inputs = [map_leaves(tape.input, tree) for tree in (carry, constants, item)]
        trees = [*inputs, function(*inputs)]
        self.carried, self.staying, self.arriving, self.results = ([leaf.value for leaf in leaves(tree)] for tree in trees)
        for home, result in zip(self.carried, self.results, strict=True):
            if result.root.function is None and result is not home:
                raise TypeError("an input is handed on in another's place")
        tape.close(leaves(trees))
        uses = Counter([*self.results, *(need for value in tape.values for need in value.needs)])
        values = [taken for value in tape.values for taken in (*library.contract(value, uses), value)]
        needed = set(self.results)
        for value in reversed(values):
            if value in needed:
                needed.update(value.needs)
        self.values = [value for value in values if value in needed]

    @property
    def calls(self) -> Any:
        """What is called with what, in order: the same for functions that do the same."""
        inputs = [*self.carried, *self.staying, *self.arriving]
        number = {value: place for place, value in enumerate([*inputs, *self.values])}

        def told(value: Value) -> Any:
            return value.function, _told(self.library, [value.operands, sorted(value.options.items())], number.__getitem__)

        return [told(value) for value in self.values], [number[result] for result in self.results]
