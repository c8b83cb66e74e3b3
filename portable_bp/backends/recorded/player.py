"""A step of training makes the same calls every time: they are recorded once, then played in arrays that are made once.

Playing them saves what Python spends between one and the next, and the memory that every result would take anew.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from portable_bp.backends.loops import Loop
from portable_bp.backends.recorded.plan import Plan, Row, Stage, extent
from portable_bp.backends.recorded.tape import Library, Recording, Register, Value
from portable_bp.common.trees import item, leaves, map_leaves

FEW = 2  # fewer steps of a kind are not worth the preparation that playing takes
LOOKED_AT = 2**16  # so many numbers of an array are compared
MOST = 64  # so many plans are kept, which matters to a process that never meets the same number of samples twice

_log = logging.getLogger(__name__)  # tells why steps are called and not played, which shows in nothing but the time

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]


def recorded_loop(
    library: Library,
    to_numpy: Callable[[Any], np.ndarray],
    function: Callable[[Any, Any, Any], Any],
    quiet: Any = contextlib.nullcontext,
) -> Loop:
    """Return a loop like `plain_loop`, which records the function where enough steps are to come, and plays it from the first.

    A step that was called is played too, and the others are played only if that gives the same. When the loop is begun anew,
    the function is recorded anew, and what was rehearsed serves again if it still makes the same calls. A function that cannot
    be recorded, since it looks at an array's numbers, or that changes from one step to the next by what it keeps to itself, is
    called as it stands. What changes later is not seen until the loop is begun anew. Whether steps are called or played is a
    matter of the function and of how many they are, and not of what came before, so that the same training gives the same bits.

    Parameters
    ----------
    library : Library
        Whose arrays it takes.
    to_numpy : callable
        The backend's.
    function : callable
        ``function(carry, constants, item)`` returns the next carry.
    quiet : callable
        Gives the context in which it is run.
    """
    plans: dict[Any, Plan] = {}

    def loop(constants: Any) -> Callable[..., Any]:
        players: dict[Any, Player | None] = {}

        def known(kind: Any, carry: Any, given: Any) -> Player | None:
            """Return a player of what was rehearsed before, if the function still does that."""
            plan, recording = plans[kind], _recorded(library, function, carry, constants, given)
            if recording is not None and recording.calls == plan.recording.calls:
                player = Player(plan, constants)
                player.calls = library.captured(player.calls)
                return player
            del plans[kind]
            return None

        def rehearsed(kind: Any, before: Any, given: Any) -> Player | None:
            """Return a player that changes what a called step changes, or None."""
            try:
                called = copy.deepcopy(function)  # what it keeps in its pieces is not to be changed by a rehearsal
                after = called(before, constants, given)
                recording = _recorded(library, called, before, constants, given)
                if recording is None or _kind(before) != _kind(after):
                    return None
                # Products that round more than everything else would hide what is wrong: exact ones are compared.
                exact = Player(Plan(recording, library.exact), constants)
                if not _changes_alike(before, played_once(exact, before, given), after, to_numpy):
                    _log.debug("a played step does something else than a called one")
                    return None
                player = exact if library.exact is library else Player(Plan(recording, library), constants)
            except Exception:  # such as a shape that depends on numbers: calling the function as it stands serves
                _log.debug("a step cannot be played", exc_info=True)
                return None
            if library.captures:
                capture(player, before, given)
            if len(plans) == MOST:
                plans.clear()
            plans[kind] = player.plan
            return player

        def capture(player: Player, before: Any, given: Any) -> None:
            """Let a player's calls be made at once, if that changes what they change one by one."""
            after = played_once(player, before, given)
            calls, player.calls = player.calls, library.captured(player.calls)
            try:
                alike = player.calls is calls or _changes_alike(before, played_once(player, before, given), after, to_numpy)
            except Exception:
                _log.debug("calls cannot be made at once", exc_info=True)
                alike = False
            if not alike:
                _log.debug("calls that are made at once do something else than one by one")
                player.calls = calls

        def played_once(player: Player, before: Any, given: Any) -> Any:
            return player.run(before, map_leaves(lambda array: array[None, ...], given), range(1))

        def run(carry: Any, items: Any, steps: int, expected: float = 1) -> Any:
            given = item(items, 0)
            kind, done = _kind((carry, constants, given)), 0
            with quiet():
                if kind not in players and max(steps, expected) >= FEW:
                    players[kind] = known(kind, carry, given) if kind in plans else None
                    if players[kind] is None:
                        # The second step is rehearsed: in the first an optimizer's averages are zeros, which show little.
                        first = function(carry, constants, given)
                        players[kind] = rehearsed(kind, first, given)
                        if players[kind] is None:
                            carry, done = first, 1
                if player := players.get(kind):
                    return player.run(carry, items, range(steps))
                for number in range(done, steps):
                    carry = function(carry, constants, item(items, number))
            return carry

        return run

    return loop


def _kind(tree: Any) -> Any:
    """Return what must be alike for a recording to serve again."""
    if isinstance(tree, tuple | list):
        return type(tree), *map(_kind, tree)
    return (tuple(tree.shape), tree.dtype) if hasattr(tree, "shape") else type(tree)


def _recorded(library: Library, function: Callable[..., Any], carry: Any, constants: Any, given: Any) -> Recording | None:
    """Return what a function does in a step, or None where that cannot be recorded."""
    if not all(map(library.is_array, leaves(carry))):
        return None
    try:
        # What the function keeps in its pieces, it keeps in their copies, which see no numbers.
        return Recording(library, copy.deepcopy(function), carry, constants, given)
    except Exception:  # if something is wrong with the function, calling it as it stands will say so
        _log.debug("a step cannot be recorded", exc_info=True)
        return None


def _some(array: Any) -> Any:
    """Return so many of an array's numbers as are looked at."""
    stride = math.prod(array.shape) // LOOKED_AT | 1  # an odd one does not fall on the same few columns again and again
    return array.reshape(-1)[::stride]


def _changes_alike(before: Any, played: Any, called: Any, to_numpy: Callable[[Any], np.ndarray]) -> bool:
    """Return whether a played step did to every array what the called one did, but for rounding."""
    states = zip(*map(leaves, (before, played, called)), strict=True)
    return all(_alike(*(to_numpy(_some(array)) for array in state)) for state in states)


def _alike(before: np.ndarray, played: np.ndarray, called: np.ndarray) -> bool:
    if played.dtype.kind != "f":
        return np.array_equal(played, called)
    rounding = float(np.finfo(played.dtype).eps)
    size, change = (float(np.max(np.abs(each), where=np.isfinite(each), initial=0.0)) for each in (called, called - before))
    tolerance = 16.0 * rounding * size + math.sqrt(rounding) * change
    return np.allclose(played, called, rtol=16.0 * rounding, atol=tolerance, equal_nan=True)


class Player:
    """A recording with the arrays that it is played in.

    Parameters
    ----------
    plan : Plan
        What is played, and how.
    constants
        The arrays that stay, nested as they were recorded.
    """

    def __init__(self, plan: Plan, constants: Any) -> None:
        self.plan = plan
        self.library = plan.library
        self.vectors: dict[Row, Any] = {}
        self.memory: dict[Value, Any] = dict(zip(plan.recording.staying, leaves(constants), strict=True))
        recording = plan.recording
        for value in recording.arriving:
            self.memory[value] = self.library.empty(value.shape, value.example)
        for value in recording.carried:
            if value not in self.memory:
                self._settle(plan.row(value), self._vector(plan.row(value)))
        self._place()
        self.carried = [self.memory[value] for value in recording.carried]
        self.arriving = [self.memory[value] for value in recording.arriving]
        self.calls = [call for stage in plan.stages for call in self._unrolled(stage)]
        for home, result in zip(recording.carried, recording.results, strict=True):
            if not (result in self.memory and self._place_of(result) is self._place_of(home)):
                self.calls.append((self.library.assign, (self.memory[home], self._array(result))))

    def run(self, carry: Any, items: Any, numbers: range) -> Any:
        """Return the carry after some of the items.

        Parameters
        ----------
        carry, items
            Nested as they were recorded, the items with one more leading axis.
        numbers : range
            Which items are taken.
        """
        assign = self.library.assign
        for mine, theirs in zip(self.carried, leaves(carry), strict=True):
            assign(mine, theirs)
        arriving = list(zip(self.arriving, leaves(items), strict=True))
        for number in numbers:
            for mine, theirs in arriving:
                assign(mine, theirs[number])
            for function, operands in self.calls:
                function(*operands)
        copies = iter(self.plan.recording.carried)

        def copied(_: Any) -> Any:
            value = next(copies)
            copy = self.library.empty(value.shape, value.example)
            assign(copy, self.memory[value])
            return copy

        return map_leaves(copied, carry)

    def _vector(self, row: Row) -> Any:
        return self.library.empty(extent(row), row[0].example)

    def _settle(self, row: Row, vector: Any) -> None:
        """Let the values of a row lie in an array."""
        self.vectors[row] = vector
        if isinstance(vector, Register):
            self.memory.update(dict.fromkeys(row, vector))
            return
        start = 0
        for value in row:
            stop = start + math.prod(value.shape)
            self.memory[value] = vector if len(row) == 1 else vector[start:stop].reshape(value.shape)
            start = stop

    def _place_of(self, value: Value) -> Any:
        """Return the array in which a value's row lies, and so what it shares with another value or not."""
        return self.vectors.get(self.plan.row(value))

    def _place(self) -> None:
        """Give every result an array: a carried input's own, one that nothing needs any more, or a new one."""
        plan, recording = self.plan, self.plan.recording
        last = plan.last_uses
        homes = dict(zip(recording.results, recording.carried, strict=True))
        living: dict[Row, Any] = {}
        free: dict[Any, list[Any]] = {}
        for number, stage in enumerate(plan.stages):
            for place, made in enumerate(stage.rows):
                row, now = plan.row(made[0]), (number, place)
                if row in self.vectors:
                    continue
                for old in [old for old in living if last[old] <= now]:
                    array = living.pop(old)
                    free.setdefault((tuple(array.shape), array.dtype), []).append(array)
                home: Row = tuple(homes[value] for value in row if value in homes)
                if made == row and len(home) == len(row) and home in self.vectors and last.get(home, now) <= now:
                    self._settle(row, self.vectors[home])
                    continue
                shape = extent(row)
                if stage.together and last[row][0] == number:  # no other stage sees it
                    if not self.library.fuses:
                        shape = (plan.block_rows(shape), *shape[1:])  # a block of it is enough
                    elif made == row:
                        self._settle(row, Register(shape, row[0].example.dtype))
                        continue
                spare = free.get((shape, row[0].example.dtype))
                living[row] = spare.pop() if spare else self.library.empty(shape, row[0].example)
                self._settle(row, living[row])

    def _unrolled(self, stage: Stage) -> Iterator[Call]:
        """Return the calls of a stage as they are played: fused, or block by block, where they can be."""
        calls = [self._alone(row[0]) if len(row) == 1 else self._at_once(row) for row in stage.rows]
        if self.library.fuses or not stage.together:
            yield self.library.fused(calls) if stage.together else self.library.call(*calls[0])
            return
        shape = calls[0][0].shape
        height = self.plan.block_rows(shape)
        for start in range(0, shape[0], height):
            rows = slice(start, min(start + height, shape[0]))
            for value, operands, out in calls:
                blocks = tuple(_block(operand, shape, rows) for operand in operands)
                yield self.library.call(value, blocks, _block(out, shape, rows))

    def _alone(self, value: Value) -> tuple[Value, tuple[Any, ...], Any]:
        operands, out = tuple(map(self._array, value.operands)), self.memory[value]
        return value, self.library.numbers(value, operands, out.shape), out

    def _at_once(self, row: Row) -> tuple[Value, tuple[Any, ...], Any]:
        """Return the one call for all of a row: what it takes in step is a row too, anything else is the same for each."""
        value, out = row[0], self.vectors[row]
        operands = tuple(
            self.vectors[self.plan.row(operand)]
            if isinstance(operand, Value) and self.plan.in_step(operand, value)
            else self._array(operand)
            for operand in value.operands
        )
        return value, self.library.numbers(value, operands, out.shape), out

    def _array(self, given: Any) -> Any:
        """Return the array that holds a value, made once if it is a view; or arrays, where nested values are given."""
        if isinstance(given, tuple | list):
            return map_leaves(self._array, given)
        if isinstance(given, Value) and given not in self.memory:
            self.memory[given] = given.function(*map(self._array, given.operands), **given.options)
        return self.memory[given] if isinstance(given, Value) else given


def _block(operand: Any, shape: tuple[int, ...], rows: slice) -> Any:
    """Return the rows of an array that has them all, or that has a block's, or the whole of one that is the same for each."""
    if getattr(operand, "ndim", -1) < len(shape):
        return operand
    return operand[rows] if operand.shape[0] == shape[0] else operand[: rows.stop - rows.start]
