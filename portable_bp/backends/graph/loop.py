"""A loop that records a step and replays it, if that pays off and a replayed step matches a called one."""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.backends.graph.ir import Graph
from portable_bp.backends.graph.printers.calls import Executable, UnsuitedError
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.backends.graph.trace import record
from portable_bp.backends.graph.trial import Trial
from portable_bp.backends.loops import is_fixed
from portable_bp.common import trees

MIN_STEPS = 2  # preparation does not pay off for fewer steps of one shape
MAX_RECORDED = 64  # graphs kept by a loop; limits memory in a process that sees a new number of samples every time
MAX_IDLE = 2**23  # numbers in the buffers of all executables that are kept for the next runs

_log = logging.getLogger(__name__)


def _is_shown() -> bool:
    """Return whether the user asked to see what is recorded."""
    return os.environ.get("PORTABLE_BP_DEBUG") == "graph"


def _tell(message: str, error: bool = False) -> None:
    """Say why a step is called and not replayed, which otherwise shows only in the time it takes."""
    _log.debug(message, exc_info=error)
    if _is_shown():
        print(f"{message}: {sys.exc_info()[1]}" if error else message, file=sys.stderr)


class Recorded(NamedTuple):
    """What a step computes, and for each library how it runs, where a replayed step matched a called one."""

    graph: Graph
    size: int  # the numbers that it computes
    schedules: dict[Any, Schedule]
    unsuited: set[Any]  # libraries whose limits the schedule exceeds


_idle: dict[Schedule, Executable] = {}  # those that nobody uses now, the one that has been waiting for longest first


def _keep(executable: Executable) -> None:
    """Keep an executable for the next run, and let go of those that have waited longest if they take too much memory."""
    executable.release()
    _idle[executable.schedule] = executable
    kept = list(_idle.values())  # a copy: another thread may take one meanwhile
    while sum(each.buffers.size for each in kept) > MAX_IDLE:
        _idle.pop(kept.pop(0).schedule, None)


class RecordedLoop:
    """A loop like ``plain_loop`` that records the function if enough steps are expected, and replays it from the first one.

    Replay is used only if one replayed step matches a called one. A function that cannot be recorded, because it reads an
    array's numbers, or that changes from step to step with state of its own, is called every time.

    Each call of the loop records the function again, and reuses what was prepared only if the same was recorded: a setting that
    changes later takes effect in the next call. Pieces of this package do not change, and are recorded once. Whether steps are
    called or replayed depends on the function and the number of steps, not on what ran before, so the same training gives the
    same bits.
    """

    def __init__(
        self,
        library: Any,
        to_numpy: Callable[[Any], np.ndarray],
        function: Callable[[Any, Any, Any], Any],
        context: Callable[[], Any] = contextlib.nullcontext,
        compiled: Sequence[Any] = (),
    ) -> None:
        self.library = library
        self.compiled = compiled  # the libraries for many steps, the fastest one first
        self.to_numpy = to_numpy
        self.function = function
        self.context = context  # entered for every run
        self.is_fixed = is_fixed(function)
        self.recorded: dict[Any, Recorded] = {}  # by the shapes and dtypes of what a step takes

    def __call__(self, constants: Any) -> Callable[..., Any]:
        """Return ``run(carry, items, steps, expected=1, total=1)``."""
        return _Runner(self, constants).run


class _Runner:
    """A recorded loop with its constants, and an executable for each shape of its carry and items."""

    def __init__(self, loop: RecordedLoop, constants: Any) -> None:
        self.loop = loop
        self.constants = constants
        self.constants_key = _shape_key(constants)
        self.executables: dict[Any, Executable | None] = {}  # None: the step is called

    def __del__(self) -> None:
        """Leave a small executable to the next run of the loop."""
        # Copies of the dictionaries: another thread may add to them meanwhile.
        known = {schedule for recorded in list(self.loop.recorded.values()) for schedule in list(recorded.schedules.values())}
        for executable in filter(None, self.executables.values()):
            if executable.schedule in known:
                _keep(executable)

    def run(self, carry: Any, items: Any, steps: int, expected: float = 1, total: float = 1) -> Any:
        """Return the carry after all items; ``expected`` steps are to come in all runs, ``total`` of all shapes."""
        item = trees.item(items, 0)
        key = self.constants_key, _shape_key((carry, item))
        with self.loop.context():
            if key not in self.executables and max(steps, expected) >= MIN_STEPS:
                self.executables[key] = self._executable(key, carry, item, max(steps, expected), total)
            if executable := self.executables.get(key):
                return executable.run(carry, items, range(steps))
            for number in range(steps):
                carry = self.loop.function(carry, self.constants, trees.item(items, number))
        return carry

    def _executable(self, key: Any, carry: Any, item: Any, steps: float, total: float) -> Executable | None:
        """Return an executable of the fastest library that does what calls do."""
        recorded = self._recorded(key, carry, item)
        if recorded is None:
            return None
        fast = [each for each in self.loop.compiled if each.pays(steps, max(steps, total), recorded.size)]
        trial = Trial(self.loop.function, carry, self.constants, item, self.loop.to_numpy)
        for library in [*fast, self.loop.library]:
            if library in recorded.unsuited:
                continue
            if executable := self._reuse(library, recorded) or self._prepare(library, recorded, trial):
                return executable
        return None

    def _reuse(self, library: Any, recorded: Recorded) -> Executable | None:
        """Return an executable of what was prepared before."""
        schedule = recorded.schedules.get(library)
        if schedule is None:
            return None
        try:
            if executable := _idle.pop(schedule, None):
                executable.bind(self.constants)
            else:
                executable = library.executable(schedule, self.constants)
            if library.captures:
                executable.warm_up()
                executable.calls = library.capture(executable)
        except Exception:
            _tell("what was prepared cannot be used again", error=True)
            return None
        return executable

    def _prepare(self, library: Any, recorded: Recorded, trial: Trial) -> Executable | None:
        """Return an executable of what was recorded, if it changes the carry as a called step does."""
        try:
            schedule = _schedule(library, recorded.graph)
            if _is_shown():
                print(f"recorded:\n{recorded.graph}\nruns as:\n{schedule}", file=sys.stderr)
            # Reduced precision would hide errors: products in full precision are compared.
            exact = library.exact
            checked = exact.executable(schedule if exact is library else _schedule(exact, recorded.graph), self.constants)
            before, called = trial.called
            if _shape_key(before) != _shape_key(called):
                return None
            if not trial.matches(trial.replay(checked), called):
                _tell("a replayed step does not match a called one")
                return None
            executable = checked if exact is library else library.executable(schedule, self.constants)
            if library.captures:
                self._capture(executable, trial)
        except UnsuitedError as reason:
            if _is_shown():
                print(f"this schedule is not used: {reason}", file=sys.stderr)
            recorded.unsuited.add(library)
            return None
        except Exception as error:  # such as a shape that depends on numbers; the function is called instead
            _tell(f"a step cannot be {'replayed' if library is self.loop.library else 'compiled'}", error=True)
            library.report(error)
            return None
        recorded.schedules[library] = schedule
        return executable

    def _capture(self, executable: Executable, trial: Trial) -> None:
        """Combine an executable's calls, as in a CUDA graph, if they do the same as one by one."""
        calls, expected = executable.calls, trial.replay(executable)
        try:
            executable.calls = executable.library.capture(executable)
            if executable.calls is calls or trial.matches(trial.replay(executable), expected):
                return
            _tell("captured calls do not match the same calls one by one")
        except Exception:
            _tell("captured calls fail", error=True)
        executable.calls = calls

    def _recorded(self, key: Any, carry: Any, item: Any) -> Recorded | None:
        """Return what a step computes, or None if it cannot be recorded."""
        known = self.loop.recorded.get(key)
        if known and self.loop.is_fixed:
            return known
        if not all(map(self.loop.library.is_array, trees.leaves(carry))):
            _tell("a step is called, since its state holds something else than arrays")
            return None
        try:
            # On a copy, so that the function's own state is not changed.
            graph = record(self.loop.library, copy.deepcopy(self.loop.function), carry, self.constants, item)
        except Exception:  # if the function itself is wrong, calling it shows the error
            _tell("a step cannot be recorded", error=True)
            return None
        if known and known.graph.signature == graph.signature:
            return known
        if len(self.loop.recorded) == MAX_RECORDED:
            self.loop.recorded.clear()
        self.loop.recorded[key] = Recorded(graph, sum(node.size for node in graph.nodes), {}, set())
        return self.loop.recorded[key]


def _schedule(library: Any, graph: Graph) -> Schedule:
    """Return how a library runs what was recorded."""
    return Schedule(functools.reduce(lambda graph, improve: improve(graph), library.passes, graph), library.max_fused)


def _shape_key(tree: Any) -> Any:
    """Return what must be equal for a schedule to be reused: how arrays are nested, their shapes and dtypes."""
    if isinstance(tree, tuple | list):
        return type(tree), *map(_shape_key, tree)
    return (tuple(tree.shape), tree.dtype) if hasattr(tree, "shape") else type(tree)
