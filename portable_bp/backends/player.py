"""NumPy's compiler: a function's calls, recorded once, are played again and again in arrays that are made once.

A step of training makes the same calls every time. Playing them saves what Python spends between one and the next, and the
memory that each result would take anew: a result goes where an array is not needed any more. Large elementwise work is done
block by block, all its calls on one block before the next, so that they find their numbers in the processor's cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from portable_bp.backends.loops import Loop, item, leaves, map_leaves
from portable_bp.backends.tape import Recording, Value, as_dtype, is_elementwise

BLOCK = 16384  # numbers; a few such blocks fit a core's own cache
FEW = 4  # so many steps of a kind are called as they stand before playing them is worth the preparation
REDUCTIONS = {np.sum: np.add.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce}

Played: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]


def recorded_loop(function: Callable[[Any, Any, Any], Any]) -> Loop:
    """Return a loop like `plain_loop`, which records the function once it has seen enough of it.

    A function that cannot be recorded, since it looks at an array's numbers, or that gives other numbers when it is played,
    since it keeps something to itself, is called as it stands.

    Parameters
    ----------
    function : callable
        ``function(carry, constants, item)`` returns the next carry.
    """
    recordings: dict[Any, Recording | None] = {}

    def loop(constants: Any) -> Callable[[Any, Any, int], Any]:
        met: dict[Any, int] = {}
        players: dict[Any, Player] = {}

        @np.errstate(all="ignore")
        def run(carry: Any, items: Any, steps: int) -> Any:
            if not steps:
                return carry
            kind = _kind((carry, constants, item(items, 0)))
            for number in range(steps):
                if kind in players:
                    return players[kind].run(carry, items, range(number, steps))
                given = item(items, number)
                before, carry = carry, function(carry, constants, given)
                met[kind] = met.get(kind, 0) + 1
                if met[kind] == FEW:
                    if kind not in recordings:
                        recordings[kind] = _rehearsed(function, before, constants, given, carry)
                    recording = recordings[kind]
                    if recording is not None:
                        players[kind] = Player(recording, constants)
            return carry

        return run

    return loop


def _kind(tree: Any) -> Any:
    """Return what must be alike for a recording to serve again."""
    if isinstance(tree, tuple | list):
        return type(tree), *map(_kind, tree)
    return (tree.shape, tree.dtype) if isinstance(tree, np.ndarray | np.generic) else type(tree)


def _rehearsed(function: Callable[..., Any], carry: Any, constants: Any, given: Any, expected: Any) -> Recording | None:
    """Return a recording that was played and gave what the function gave, or None where there is none."""
    if _kind(carry) != _kind(expected) or not all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves(carry)):
        return None
    try:
        recording = Recording(function, carry, constants, given)
    except Exception:  # if something is wrong with the function, calling it as it stands will say so
        return None
    played = Player(recording, constants).run(carry, map_leaves(lambda array: array[None, ...], given), range(1))
    alike = all(_alike(mine, theirs) for mine, theirs in zip(leaves(played), leaves(expected), strict=True))
    return recording if alike else None


def _alike(played: np.ndarray, expected: np.ndarray) -> bool:
    if played.dtype.kind != "f":
        return np.array_equal(played, expected)
    tolerance = float(np.sqrt(np.finfo(played.dtype).eps))
    scale = float(np.max(np.abs(expected), where=np.isfinite(expected), initial=0.0))
    return np.allclose(played, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


class Player:
    """A recording with the arrays that it is played in.

    Parameters
    ----------
    recording : Recording
        What is played.
    constants
        The arrays that stay, nested as they were recorded.
    """

    def __init__(self, recording: Recording, constants: Any) -> None:
        inputs = [*recording.carried, *recording.arriving]
        memory = {value: np.empty(value.example.shape, value.example.dtype) for value in inputs}
        memory |= zip(recording.staying, leaves(constants), strict=True)
        stages = _stages(recording)
        _place(stages, recording, memory)
        self.carried = [memory[value] for value in recording.carried]
        self.arriving = [memory[value] for value in recording.arriving]
        self.calls = [call for stage in stages for call in _unrolled(stage, memory)]
        for mine, result in zip(self.carried, recording.results, strict=True):
            if mine is not memory.get(result):
                self.calls.append((np.copyto, (mine, _array(result, memory))))

    def run(self, carry: Any, items: Any, numbers: range) -> Any:
        """Return the carry after some of the items.

        Parameters
        ----------
        carry, items
            Nested as they were recorded, the items with one more leading axis.
        numbers : range
            Which items are taken.
        """
        for mine, theirs in zip(self.carried, leaves(carry), strict=True):
            mine[...] = theirs
        arriving = list(zip(self.arriving, leaves(items), strict=True))
        for number in numbers:
            for mine, theirs in arriving:
                mine[...] = theirs[number]
            for function, operands in self.calls:
                function(*operands)
        copies = iter(self.carried)
        return map_leaves(lambda _: next(copies).copy(), carry)


def _in_blocks(value: Value) -> bool:
    return is_elementwise(value) and value.example.size > BLOCK and value.example.shape[0] > 1


def _in_step(need: Value, value: Value) -> bool:
    """Return whether a call takes each number of what it needs for the number at its own place alone."""
    return is_elementwise(value) and need.view_of is None and need.example.shape == value.example.shape


def _stages(recording: Recording) -> list[list[Value]]:
    """Return the calls that are needed, in an order: each by itself, or those together that can share their blocks."""
    needed = set(recording.results)
    for value in reversed(recording.values):
        if value in needed:
            needed.update(value.needs)
    stages: list[list[Value]] = []
    stage_of: dict[Value, int] = {}
    for value in recording.values:
        if value not in needed or value.view_of is not None:
            continue
        blocks = _in_blocks(value)
        first = 0  # where all is there that this call needs
        for need in value.needs:
            made = stage_of.get(need.root, -1)
            first = max(first, made if blocks and made >= 0 and _in_step(need, value) and _in_blocks(need) else made + 1)
        place = len(stages)
        if blocks:
            place = next((number for number in range(first, place) if _fits(value, stages[number])), place)
        if place == len(stages):
            stages.append([])
        stages[place].append(value)
        stage_of[value] = place
    return stages


def _fits(value: Value, stage: Sequence[Value]) -> bool:
    return _in_blocks(stage[0]) and stage[0].example.shape == value.example.shape


def _place(stages: Sequence[Sequence[Value]], recording: Recording, memory: dict[Value, np.ndarray]) -> None:
    """Give every result an array: a carried input's own, one that nothing needs any more, or a new one."""
    last = _last_uses(stages, recording.results)
    home = dict(zip(recording.results, recording.carried, strict=True))
    living: dict[Value, np.ndarray] = {}
    free: dict[Any, list[np.ndarray]] = {}
    for number, stage in enumerate(stages):
        for place, value in enumerate(stage):
            now = (number, place)
            for old in [old for old in living if last[old] <= now]:
                array = living.pop(old)
                free.setdefault((array.shape, array.dtype), []).append(array)
            shape, dtype = value.example.shape, value.example.dtype
            if value in home and last.get(home[value], now) <= now:
                memory[value] = memory[home[value]]
                continue
            if _in_blocks(value) and last[value][0] == number:
                shape = (_rows(shape), *shape[1:])  # no other stage sees it, and so it need not hold more than a block
            spare = free.get((shape, dtype))
            memory[value] = living[value] = spare.pop() if spare else np.empty(shape, dtype)


def _last_uses(stages: Sequence[Sequence[Value]], results: Sequence[Value]) -> dict[Value, tuple[float, float]]:
    """Return after which place in which stage each array is not needed any more."""
    last: dict[Value, tuple[float, float]] = {}
    for number, stage in enumerate(stages):
        for place, value in enumerate(stage):
            for need in value.needs:
                # What a call takes in step, it may write over; anything else is read until its stage is over.
                until = (number, place if _in_step(need, value) else math.inf)
                last[need.root] = max(last.get(need.root, until), until)
    return last | {result.root: (math.inf, math.inf) for result in results}


def _rows(shape: tuple[int, ...]) -> int:
    """Return how many rows a block has."""
    return max(1, BLOCK // math.prod(shape[1:]))


def _unrolled(stage: Sequence[Value], memory: dict[Value, np.ndarray]) -> Iterator[Played]:
    """Return the calls of a stage as they are played: block by block where they can be."""
    calls = [(value, _operands(value, memory), memory[value]) for value in stage]
    if not _in_blocks(stage[0]):
        yield from (_played(*call) for call in calls)
        return
    shape = stage[0].example.shape
    for start in range(0, shape[0], _rows(shape)):
        rows = slice(start, min(start + _rows(shape), shape[0]))
        for value, operands, out in calls:
            yield _played(value, tuple(_block(operand, shape, rows) for operand in operands), _block(out, shape, rows))


def _operands(value: Value, memory: dict[Value, np.ndarray]) -> tuple[Any, ...]:
    """Return what a call takes, numbers as the arrays that NumPy would make of them each time."""
    operands = tuple(_array(operand, memory) for operand in value.operands)
    if not isinstance(value.function, np.ufunc):
        return operands
    kinds = [operand.dtype for operand in operands if isinstance(operand, np.ndarray)]
    # NumPy finds the smaller of two arrays several times as fast as that of an array and a number.
    shape = memory[value].shape if value.function in (np.minimum, np.maximum) else ()
    return tuple(
        operand if isinstance(operand, np.ndarray) else np.full(shape, operand, np.result_type(*kinds, operand))
        for operand in operands
    )


def _block(operand: Any, shape: tuple[int, ...], rows: slice) -> Any:
    """Return the rows of an array that has them all, or that has a block's, or the whole of one that is the same for each."""
    if not isinstance(operand, np.ndarray) or operand.ndim < len(shape):
        return operand
    return operand[rows] if operand.shape[0] == shape[0] else operand[: rows.stop - rows.start]


def _played(value: Value, operands: tuple[Any, ...], out: np.ndarray) -> Played:
    """Return the quickest call that does what a recorded one did, and leaves the result in an array."""
    function, options = value.function, value.options
    if isinstance(function, np.ufunc) and not options:
        if function in (np.minimum, np.maximum):  # which take no third array by place
            return functools.partial(function, out=out), operands
        matrices = function is np.matmul and all(operand.ndim == 2 for operand in operands)
        return np.dot if matrices else function, (*operands, out)
    if function in REDUCTIONS and len(operands) == 1 and options.keys() <= {"axis", "dtype", "keepdims"}:
        named = (options.get("axis"), options.get("dtype"), out, options.get("keepdims", False))
        return REDUCTIONS[function], (*operands, *named)
    if function is as_dtype:
        return np.copyto, (out, operands[0], "unsafe")
    if function is np.take and options.keys() == {"axis"}:
        # The standard leaves open what an index outside gives; without wrapping NumPy would copy the result once more.
        return np.ndarray.take, (*operands, options.get("axis"), out, "wrap")

    def assign(*operands: Any) -> None:
        out[...] = function(*operands, **options)

    return assign, operands


def _array(given: Any, memory: dict[Value, np.ndarray]) -> Any:
    """Return the array that holds a value, made once if it is a view; or arrays, where nested values are given."""
    if isinstance(given, tuple | list):
        return map_leaves(lambda leaf: _array(leaf, memory), given)
    if isinstance(given, Value) and given not in memory:
        memory[given] = given.function(*(_array(operand, memory) for operand in given.operands), **given.options)
    return memory[given] if isinstance(given, Value) else given
