"""A loop that records a step and replays it, if that pays off and a replayed step matches a called one."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.recorded.executable import Executable
from portable_bp.backends.recorded.program import Program
from portable_bp.backends.recorded.recording import Library, Recording
from portable_bp.backends.recorded.trial import Trial
from portable_bp.common import trees

MIN_STEPS = 2  # preparation does not pay off for fewer steps of one shape
MAX_PROGRAMS = 64  # kept by a loop; limits memory in a process that sees a new number of samples every time

_log = logging.getLogger(__name__)  # why a step is called instead of replayed, which otherwise shows only in the time it takes


class RecordedLoop:
    """A loop like ``plain_loop`` that records the function if enough steps are expected, and replays it from the first one.

    Replay is used only if one replayed step matches a called one. A function that cannot be recorded, because it reads an
    array's numbers, or that changes from step to step with state of its own, is called every time.

    Each call of the loop records the function again, and reuses an earlier program only if the recorded calls are the same; a
    setting that changes later takes effect in the next call. Whether steps are called or replayed depends on the function and
    the number of steps, not on what ran before, so the same training gives the same bits.
    """

    def __init__(
        self,
        library: Library,
        to_numpy: Callable[[Any], np.ndarray],
        function: Callable[[Any, Any, Any], Any],
        context: Callable[[], Any] = contextlib.nullcontext,
    ) -> None:
        self.library = library
        self.to_numpy = to_numpy
        self.function = function
        self.context = context  # entered for every run
        self.programs: dict[Any, Program] = {}  # verified, by the shapes and dtypes of what a step takes

    def __call__(self, constants: Any) -> Callable[..., Any]:
        """Return ``run(carry, items, steps, expected=1)``."""
        return _Runner(self, constants).run


class _Runner:
    """A recorded loop with its constants, and an executable for each shape of its carry and items."""

    def __init__(self, loop: RecordedLoop, constants: Any) -> None:
        self.loop = loop
        self.library = loop.library
        self.constants = constants
        self.executables: dict[Any, Executable | None] = {}  # None: the step is called

    def run(self, carry: Any, items: Any, steps: int, expected: float = 1) -> Any:
        """Return the carry after all items; ``expected`` is how many are to come in all runs."""
        item, start = trees.item(items, 0), 0
        key = _shape_key((carry, self.constants, item))
        with self.loop.context():
            if key not in self.executables and max(steps, expected) >= MIN_STEPS:
                self.executables[key] = self._reuse(key, carry, item) if key in self.loop.programs else None
                if self.executables[key] is None:
                    # The second step is the trial: in the first, an optimizer's averages are zeros, which hide errors.
                    first = self.loop.function(carry, self.constants, item)
                    self.executables[key] = self._prepare(key, first, item)
                    if self.executables[key] is None:
                        carry, start = first, 1
            if executable := self.executables.get(key):
                return executable.run(carry, items, range(steps))
            for number in range(start, steps):
                carry = self.loop.function(carry, self.constants, trees.item(items, number))
        return carry

    def _reuse(self, key: Any, carry: Any, item: Any) -> Executable | None:
        """Return an executable of the program that was verified before, if the function still makes the same calls."""
        program, recording = self.loop.programs[key], self._record(self.loop.function, carry, item)
        if recording is not None and recording.signature == program.recording.signature:
            executable = Executable(program, self.constants)
            executable.calls = self.library.capture(executable.calls)
            return executable
        del self.loop.programs[key]
        return None

    def _prepare(self, key: Any, carry: Any, item: Any) -> Executable | None:
        """Record the step, and return an executable if it changes the carry as a called step does."""
        trial = Trial(carry, item, self.loop.to_numpy)
        try:
            function = copy.deepcopy(self.loop.function)  # the trial must not change the function's own state
            called = function(carry, self.constants, item)
            recording = self._record(function, carry, item)
            if recording is None or _shape_key(carry) != _shape_key(called):
                return None
            # Reduced precision would hide errors: products in full precision are compared.
            exact = Executable(Program(recording, self.library.exact), self.constants)
            if not trial.matches(trial.replay(exact), called):
                _log.debug("a replayed step does not match a called one")
                return None
            same = self.library.exact is self.library
            executable = exact if same else Executable(Program(recording, self.library), self.constants)
        except Exception:  # such as a shape that depends on numbers; the function is called instead
            _log.debug("a step cannot be replayed", exc_info=True)
            return None
        if self.library.captures:
            self._capture(executable, trial)
        if len(self.loop.programs) == MAX_PROGRAMS:
            self.loop.programs.clear()
        self.loop.programs[key] = executable.program
        return executable

    def _capture(self, executable: Executable, trial: Trial) -> None:
        """Combine an executable's calls, as in a CUDA graph, if they do the same as one by one."""
        expected = trial.replay(executable)
        calls, executable.calls = executable.calls, self.library.capture(executable.calls)
        try:
            matches = executable.calls is calls or trial.matches(trial.replay(executable), expected)
        except Exception:
            _log.debug("captured calls fail", exc_info=True)
            matches = False
        if not matches:
            _log.debug("captured calls do not match the same calls one by one")
            executable.calls = calls

    def _record(self, function: Callable[..., Any], carry: Any, item: Any) -> Recording | None:
        if not all(map(self.library.is_array, trees.leaves(carry))):
            return None
        try:
            # On a copy, so that the function's own state is not changed.
            return Recording(self.library, copy.deepcopy(function), carry, self.constants, item)
        except Exception:  # if the function itself is wrong, calling it shows the error
            _log.debug("a step cannot be recorded", exc_info=True)
            return None


def _shape_key(tree: Any) -> Any:
    """Return what must be equal for a program to be reused: how arrays are nested, their shapes and dtypes."""
    if isinstance(tree, tuple | list):
        return type(tree), *map(_shape_key, tree)
    return (tuple(tree.shape), tree.dtype) if hasattr(tree, "shape") else type(tree)
