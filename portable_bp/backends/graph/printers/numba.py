"""NumPy by compiled code: a whole program of many steps is one function, which Numba compiles."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from portable_bp.backends.graph.passes import scale_factors, sums_of_products, updates_into_products
from portable_bp.backends.graph.printers.calls import Executable, compile_mode
from portable_bp.backends.graph.printers.machine_code import compiled, is_available
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.printers.program import address_of, separate_arrays
from portable_bp.backends.graph.printers.source import Source
from portable_bp.backends.graph.schedule import Schedule


class Costs(NamedTuple):
    """Seconds that compiled code saves and takes, as measured."""

    saved_calls: float  # in a step, for its calls
    saved_number: float  # in a step, for each number that it computes
    loading: float
    printing: float  # the source


class CompiledLibrary(NumpyLibrary):
    """NumPy, for recording, and for replay by compiled code."""

    max_fused = math.inf
    passes = (sums_of_products, scale_factors, updates_into_products)
    costs = Costs(saved_calls=12e-6, saved_number=0.2e-9, loading=0.02, printing=0.003)

    def pays(self, steps: float, total: float, size: int) -> bool:
        """Return whether compiled code of a step that computes ``size`` numbers saves more time than it takes.

        It is loaded once for the total of steps, and printed for those of each size of batch.
        Compiling is done once for all trainings of the same pieces, and not counted, so that a training does not depend on
        what was compiled before.
        """
        costs = self.costs
        saved = math.inf if compile_mode() == "always" else costs.saved_calls + size * costs.saved_number
        return total * saved > costs.loading and steps * saved > costs.printing and is_available()

    def executable(self, schedule: Schedule, data: Any) -> Executable:
        """Return the compiled schedule."""
        return CompiledExecutable(schedule, self, data)


class CompiledExecutable(Executable):
    """A schedule with its buffers allocated, and the compiled function of its steps."""

    def __init__(self, schedule: Schedule, library: Any, data: Any) -> None:
        self._source: Any = None
        super().__init__(schedule, library, data)

    def bind(self, data: Any) -> None:
        """Take the loop's data; the first time, print and compile the schedule."""
        self._data = separate_arrays(data)
        if self._source is None:
            self.buffers.bind(self._data)
            self._source = Source(self.buffers)
            self._function = compiled(str(self._source))
            self._table = np.array([address_of(array) for array in self._source.arrays], np.int64)
            self._sizes = np.array(self._source.sizes, np.int64)
            self._numbers = np.array(self._source.numbers, np.float64)
            self.buffers.release()
            for place in self._source.of_data:
                self._source.arrays[place] = None
        for place, (number, offset) in self._source.of_data.items():
            self._table[place] = address_of(self._data[number]) + offset

    def release(self) -> None:
        """Keep no reference to the data."""
        self._data = []

    def run_steps(self, items: list[tuple[Any, Any]], indices: range) -> None:
        """Run some steps in one call."""
        given = [np.asarray(new, order="C") for _, new in items]
        for place, (number, offset) in self._source.items.items():
            self._table[place] = address_of(given[number]) + offset
        self._function(len(indices), address_of(self._table), address_of(self._sizes), address_of(self._numbers))
