"""In which order a recording's calls are played, and where each result lies.

Three things are looked for. Elementwise calls on arrays of one shape are played together: block by block where arrays are
large, all calls on one block before the next, so that they find their numbers in the processor's cache; or as one call, where
the library can fuse them. Elementwise work that is alike for several arrays, as an optimizer's is for every weight and bias, is
done by one call: the arrays lie side by side in one vector. And a result goes where an array is not needed any more: what
becomes of the carry, into the carry.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, TypeAlias

from portable_bp.backends.recorded.tape import Library, Recording, Value

# Values that lie side by side in one vector, in their order; a value by itself is a row of one.
Row: TypeAlias = tuple[Value, ...]


class Stage(NamedTuple):
    """Calls that are played together.

    Attributes
    ----------
    rows : list of Row
        What they give: one row, or several of one shape whose calls are all elementwise.
    together : bool
        Whether their calls are: they are played in blocks, or fused.
    """

    rows: list[Row]
    together: bool


class Plan:
    """How a recording is played.

    Parameters
    ----------
    recording : Recording
        What is played.
    library : Library
        Whose calls they are.

    Attributes
    ----------
    stages : list of Stage
        The calls, in order.
    """

    def __init__(self, recording: Recording, library: Library) -> None:
        self.recording = recording
        self.library = library
        self._rows: dict[Value, Row] = {}
        try:
            self._lay_side_by_side()
            self.stages = self._staged()
        except _Entangled:
            self._rows.clear()
            self.stages = self._staged()

    def row(self, value: Value) -> Row:
        """Return the row in which a value lies.

        Parameters
        ----------
        value : Value
            One that is no view.
        """
        return self._rows.get(value, (value,))

    def in_step(self, need: Value, value: Value) -> bool:
        """Return whether a call takes each number of what it needs for the number at its own place alone.

        Parameters
        ----------
        need : Value
            What it takes.
        value : Value
            What it gives.
        """
        # A single number is not written over: NumPy takes longer to see that it may be than to write it elsewhere.
        many = value.shape != () or self.library.fuses
        return value.function in self.library.elementwise and need.view_of is None and need.shape == value.shape and many

    def block_rows(self, shape: tuple[int, ...]) -> int:
        """Return how many of an array's leading rows a block has.

        Parameters
        ----------
        shape : tuple of int
            The array's.
        """
        return max(1, int(self.library.block // math.prod(shape[1:])))

    @functools.cached_property
    def last_uses(self) -> dict[Row, tuple[float, float]]:
        """Return after which place in which stage each row is not needed any more."""
        last: dict[Row, tuple[float, float]] = {}
        for number, stage in enumerate(self.stages):
            for place, row in enumerate(stage.rows):
                for value in row:
                    for need in value.needs:
                        # What a call takes in step, it may write over; anything else is read until its stage is over.
                        until = (number, place if self.in_step(need, value) else math.inf)
                        used = self.row(need.root)
                        last[used] = max(last.get(used, until), until)
        return last | {self.row(result.root): (math.inf, math.inf) for result in self.recording.results}

    def _is_together(self, value: Value) -> bool:
        return value.function in self.library.elementwise and (self.library.fuses or self._is_large(value))

    def _is_large(self, value: Value) -> bool:
        return math.prod(value.shape) > self.library.block and value.shape[0] > 1

    def _staged(self) -> list[Stage]:
        stages: list[Stage] = []
        stage_of: dict[Value, int] = {}
        waiting: dict[Row, int] = {}
        for value in self.recording.values:
            if value.view_of is not None:
                continue
            row = self.row(value) if self._computed_at_once(self.row(value)) else (value,)
            waiting[row] = waiting.get(row, len(row)) - 1
            if waiting[row]:
                continue
            ready, place, together = self._first_ready(row, stages, stage_of), len(stages), self._is_together(value)
            if together:
                first = max(ready, self._first_of_last_run(stages))
                place = next((at for at in range(first, place) if self._takes(stages[at], row)), place)
            if place == len(stages):
                stages.append(Stage([], together))
            stages[place].rows.append(row)
            stage_of.update((member, place) for member in row)
        return stages

    def _first_ready(self, row: Row, stages: list[Stage], stage_of: dict[Value, int]) -> int:
        """Return the first stage that finds all that a row needs: that of what it takes in step may be its own."""
        ready = 0
        for value in row:
            for need in value.needs:
                if need.root.function is not None and need.root not in stage_of:
                    raise _Entangled
                made = stage_of.get(need.root, -1)
                joining = made >= 0 and self._is_together(value) and self.in_step(need, value)
                ready = max(ready, made if joining and self._takes(stages[made], row) else made + 1)
        return ready

    def _first_of_last_run(self, stages: list[Stage]) -> int:
        """Return after which stage calls are fused: what is needed only after it would be written, and read again."""
        if not self.library.fuses:
            return 0
        return next((at + 1 for at in reversed(range(len(stages))) if not stages[at].together), 0)

    def _takes(self, stage: Stage, row: Row) -> bool:
        """Return whether a row's call may be played together with those of a stage."""
        return stage.together and extent(stage.rows[0]) == extent(row) and len(stage.rows) < self.library.most_together

    def _computed_at_once(self, row: Row) -> bool:
        return len(row) > 1 and all(self._joinable(value) for value in row)

    def _joinable(self, value: Value) -> bool:
        """Return whether a call may be one with others: all that it takes is in step, or is one number."""
        apart = self._is_together(value) and not self.library.fuses  # such as a block of it
        if value.function not in self.library.elementwise or value.view_of is not None or apart:
            return False
        return all(in_step or getattr(operand, "shape", ()) == () for in_step, operand, _ in self._parts(value))

    def _lay_side_by_side(self) -> None:
        for results in self._alike_results():
            self._lay(results)
        homes = dict(zip(self.recording.results, self.recording.carried, strict=True))
        for row in [self._rows[result] for result in self.recording.results if result in self._rows]:
            carried = tuple(homes[value] for value in row if value in homes)
            if any(self._rows.get(value, carried) != carried for value in carried):
                raise _Entangled
            self._rows.update((value, carried) for value in carried if len(carried) > 1)

    def _alike_results(self) -> list[Row]:
        """Return the results that are computed alike from what was carried."""
        known: dict[Any, int] = {}
        patterns: dict[Value, int] = {}

        def pattern(value: Value) -> int:
            """Return a number that stands for how a value is computed, the same for all that are computed alike."""
            if value not in patterns:
                how: Any = "given"
                if self._joinable(value):
                    taken = (pattern(needed) if in_step else same for in_step, needed, same in self._parts(value))
                    how = value.function, repr(value.options), *taken
                patterns[value] = known.setdefault((how, value.example.dtype), len(known))
            return patterns[value]

        alike: dict[int, list[Value]] = {}
        for result in self.recording.results:
            if self._joinable(result) and result.shape:
                alike.setdefault(pattern(result), []).append(result)
        return [tuple(results) for results in alike.values() if len(results) > 1]

    def _lay(self, row: Row) -> None:
        """Let values lie side by side, and so, part for part, all that they are computed from in step."""
        if all(self._rows.get(value) == row for value in row):
            return
        given = {*self.recording.staying, *self.recording.arriving}
        taken = any(value in self._rows or value in given or value.view_of is not None for value in row)
        if taken or len(set(row)) < len(row):
            raise _Entangled
        self._rows.update((value, row) for value in row)
        if self._computed_at_once(row):
            for parts in zip(*map(self._parts, row), strict=True):
                if parts[0][0]:
                    self._lay(tuple(needed for _, needed, _ in parts))

    def _parts(self, value: Value) -> list[tuple[bool, Any, Any]]:
        """Return for each operand whether it is taken in step, the operand, and what identifies it."""
        return [
            (
                isinstance(operand, Value) and self.in_step(operand, value),
                operand,
                (type(operand), repr(operand)) if isinstance(operand, int | float) else id(operand),
            )
            for operand in value.operands
        ]


def extent(row: Row) -> tuple[int, ...]:
    """Return the shape of the array in which a row lies: a value's own, or that of the vector in which several do.

    Parameters
    ----------
    row : Row
        A row.
    """
    return row[0].shape if len(row) == 1 else (sum(math.prod(value.shape) for value in row),)


class _Entangled(Exception):
    """Arrays cannot lie side by side: one would have to be in two places, or be there before it is made."""
