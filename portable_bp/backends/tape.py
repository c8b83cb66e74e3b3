"""What a function asks of NumPy, written down: its calls, in order, with the shape and dtype of what each gives.

The function is run once with stand-ins that follow NumPy's protocols (NEP 13 and NEP 18) and have shapes but no numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy
import numpy as np

from portable_bp.backends.loops import leaves, map_leaves


class Value:
    """An array that is there while the tape is played: an input, or what a call gives.

    Parameters
    ----------
    example : numpy.ndarray
        Of its shape and dtype; its numbers mean nothing.
    function : callable, optional
        What gives it; None for an input.
    operands : tuple
        What the function takes: values, and what does not change.
    options : dict, optional
        What it takes by name.
    """

    def __init__(
        self,
        example: np.ndarray,
        function: Any = None,
        operands: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> None:
        self.example = example
        self.function = function
        self.operands = operands
        self.options = options or {}
        self.needs = [leaf for leaf in leaves(operands) if isinstance(leaf, Value)]
        self.view_of = next((value for value in self.needs if np.may_share_memory(value.example, example)), None)

    @property
    def root(self) -> Value:
        """The value in whose memory this one lies: itself, unless it is a view."""
        return self if self.view_of is None else self.view_of.root


class Tape:
    """The calls that a function makes, in their order."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._known: dict[Any, StandIn] = {}

    def input(self, array: np.ndarray) -> StandIn:
        """Return what stands for an array that is another one each time.

        Parameters
        ----------
        array : numpy.ndarray
            One of its shape and dtype.
        """
        return StandIn(self, Value(_hollow(array.shape, array.dtype)))

    def add(self, function: Callable[..., Any], given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Note a call, and return what stands for its result; the same call gives the same result.

        Parameters
        ----------
        function : callable
            One of NumPy's.
        given : tuple
            What it takes: stand-ins among it.
        options : dict
            What it takes by name.
        """
        operands = map_leaves(lambda leaf: leaf.value if isinstance(leaf, StandIn) else leaf, given)
        options = {name: value for name, value in options.items() if name != "out"}
        if any(isinstance(leaf, StandIn) for leaf in leaves(list(options.values()))):
            raise TypeError("an array given by name is not recorded")
        call = function, _identity(operands), _identity(sorted(options.items()))
        if call not in self._known:
            example = _example(function, operands, options)
            if not isinstance(example, np.ndarray | np.generic):
                return example
            self.values.append(Value(np.asarray(example), function, operands, options))
            self._known[call] = StandIn(self, self.values[-1])
        return self._known[call]


class Recording:
    """What one step of a loop does, without its numbers.

    Parameters
    ----------
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
        All that is computed on the way, in order.

    Raises
    ------
    TypeError
        If the function does what cannot be recorded.
    """

    def __init__(self, function: Callable[..., Any], carry: Any, constants: Any, item: Any) -> None:
        tape = Tape()
        inputs = [map_leaves(tape.input, tree) for tree in (carry, constants, item)]
        trees = [*inputs, function(*inputs)]
        self.carried, self.staying, self.arriving, self.results = ([leaf.value for leaf in leaves(tree)] for tree in trees)
        self.values = tape.values
        if any(result.root.function is None for result in self.results):
            raise TypeError("an input is handed on as it is")


class StandIn(np.lib.mixins.NDArrayOperatorsMixin):
    """Takes an array's place while a function is recorded.

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

    device = "cpu"
    shape = property(lambda self: self.value.example.shape)
    dtype = property(lambda self: self.value.example.dtype)
    ndim = property(lambda self: self.value.example.ndim)
    size = property(lambda self: self.value.example.size)
    mT = property(lambda self: np.swapaxes(self, -1, -2))  # noqa: N815  the standard's name
    T = property(lambda self: np.transpose(self))

    def __array_namespace__(self, **_: Any) -> Any:
        """Return NumPy's array API namespace, whose functions come back here by NumPy's protocols."""
        return array_api_compat.numpy

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **options: Any) -> Any:
        """Note a call of one of NumPy's elementwise functions."""
        return self.tape.add(ufunc if method == "__call__" else getattr(ufunc, method), given, options)

    def __array_function__(self, function: Callable[..., Any], types: Any, given: tuple, options: dict[str, Any]) -> Any:
        """Note a call of another of NumPy's functions."""
        return self.tape.add(function, given, options)

    def __getitem__(self, key: Any) -> Any:
        """Note that a part is taken."""
        return self.tape.add(take_part, (self, key), {})

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Note a change of dtype."""
        return self.tape.add(as_dtype, (self, np.dtype(dtype)), {})

    def __pow__(self, exponent: Any) -> Any:
        """Note a power; a square is a product, as for NumPy's own arrays."""
        return self * self if isinstance(exponent, int | float) and exponent == 2 else np.power(self, exponent)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError("an array's numbers are not known while a function is recorded")

    __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __array__ = _refuse


def take_part(array: np.ndarray, key: Any) -> np.ndarray:
    """Return ``array[key]``.

    Parameters
    ----------
    array : numpy.ndarray
        What to take from.
    key : object
        What to take.
    """
    return array[key]


def as_dtype(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Return an array in another dtype, always as a copy.

    Parameters
    ----------
    array : numpy.ndarray
        What to change.
    dtype : dtype
        Into what.
    """
    return array.astype(dtype)


def is_elementwise(value: Value) -> bool:
    """Return whether each number that a call gives depends on the numbers at its place alone.

    Parameters
    ----------
    value : Value
        What the call gives.
    """
    if isinstance(value.function, np.ufunc):
        return value.function.signature is None and value.function.nout == 1 and not value.options
    return value.function in (np.where, as_dtype)


def _identity(given: Any) -> Any:
    """Return what two calls' operands have alike only where they are the same."""
    if isinstance(given, tuple | list):
        return type(given), *map(_identity, given)
    return id(given) if isinstance(given, Value | np.ndarray) else (type(given), repr(given))


def _hollow(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array that takes no memory, whatever its shape."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _example(function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return an array of the shape and dtype that a call gives, without the work where it could be much."""
    examples = map_leaves(lambda leaf: leaf.example if isinstance(leaf, Value) else leaf, operands)
    if is_elementwise(Value(np.zeros(()), function, operands, options)):
        shapes = [leaf.shape for leaf in leaves(examples) if isinstance(leaf, np.ndarray)]
        first = map_leaves(lambda leaf: leaf[(slice(1),) * leaf.ndim] if isinstance(leaf, np.ndarray) else leaf, examples)
        return _hollow(np.broadcast_shapes(*shapes), function(*first, **options).dtype)
    if function is np.matmul and all(example.ndim > 1 for example in examples):
        first, second = examples
        np.matmul(first[..., :1, :], second[..., :, :1])  # which raises where the shapes do not fit
        leading = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
        return _hollow((*leading, first.shape[-2], second.shape[-1]), np.result_type(first, second))
    return function(*examples, **options)
