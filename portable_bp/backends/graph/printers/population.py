"""NumPy by compiled code for a population: blocks of networks, one in each lane of a vector, on all cores."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.backends.graph.buffers import Buffers
from portable_bp.backends.graph.ir import Graph, Node
from portable_bp.backends.graph.members import dtype_of, lanes_of, members_in_lanes, members_of
from portable_bp.backends.graph.passes import sums_of_sums
from portable_bp.backends.graph.printers.calls import Executable, UnsuitedError
from portable_bp.backends.graph.printers.machine_code import compiled, vector_bytes
from portable_bp.backends.graph.printers.numba import CompiledLibrary, Costs
from portable_bp.backends.graph.printers.program import address_of, as_float, separate_arrays
from portable_bp.backends.graph.printers.threads import run_in_threads, usable_threads
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.common.trees import leaves, zip_leaves

# Bytes of a block from which NumPy's batched products are as fast, as measured. Blocks that are half empty count twice.
MAX_WORKING_SET = 2**24
ALIGNMENT = 64  # bytes: a cache line
MIN_SHARED_WORK = 2**22  # bytes that all steps compute, from which several threads pay off
PIECES = 4  # of the blocks for each thread, since another program may slow one of them down
MAX_PROGRAMS = 256


def block_of_members(graph: Graph) -> Graph:
    """Return the step of a block of members, as many as a vector register holds."""
    if not any(len(node.shape) == 3 for node in graph.carry):  # soon, since most steps are those of a single network
        raise UnsuitedError("it is no population: no array that a step carries has three axes")
    dtypes = {node.dtype for node in graph.carry if node.shape}
    if len(dtypes) != 1 or not (dtype := dtypes.pop()).startswith("float"):
        raise UnsuitedError("the arrays that a step carries have several dtypes")
    return members_in_lanes(vector_bytes() // np.dtype(dtype).itemsize)(graph)


class PopulationLibrary(CompiledLibrary):
    """NumPy by compiled code for the steps of a population."""

    passes = (block_of_members, sums_of_sums)
    costs = Costs(saved_calls=50e-6, saved_number=2e-9, loading=0.02, printing=0.15)

    def executable(self, schedule: Schedule, data: Any) -> Executable:
        """Return the compiled schedule."""
        return PopulationExecutable(schedule, self, data)


class WorkingSet:
    """The memory of a block's buffers: makes the buffers, and places those that are used."""

    def __init__(self, library: Any) -> None:
        self.view = library.view
        self._buffers: list[np.ndarray] = []
        self._offsets: dict[int, int] = {}
        self.size = 0

    def empty(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """Return an array that takes the place of a buffer; a number for several lanes is one element."""
        node = Node("input", (), (), dtype)
        lanes, width = lanes_of(node), np.dtype(dtype_of(node)).itemsize
        self._buffers.append(np.empty(tuple(shape), f"V{lanes * width}" if lanes else dtype))
        return self._buffers[-1]

    def as_array(self, node: Node) -> np.ndarray:
        """Return the array of a constant."""
        return np.asarray(node.attributes["value"], order="C")

    def offset_of(self, array: np.ndarray) -> int:
        """Return where a buffer, or a view of one, is."""
        address = address_of(array)
        for number, root in enumerate(self._buffers):
            if 0 <= (inside := address - address_of(root)) < max(1, root.nbytes):
                if number not in self._offsets:
                    self._offsets[number] = self.size
                    self.size += -(-max(1, root.nbytes) // ALIGNMENT) * ALIGNMENT
                return self._offsets[number] + inside
        raise UnsuitedError("a result shares the memory of what a step is given")


class Program(NamedTuple):
    """Compiled code of a block, how many blocks there are, and what it takes; constants by their places in the graph's."""

    run: Callable[..., Any]
    blocks: int
    memory_size: int
    places: list[tuple[str, int]]
    sizes: np.ndarray
    number_indices: list[int]
    array_indices: list[int]


# By the structure of a step, since printing takes 0.1 s; or why there is none.
_programs: dict[Any, Program | UnsuitedError] = {}


def _program(buffers: Buffers, memory: WorkingSet, members: int) -> Program:
    """Return the program of all steps that differ only in the values of constants; raise an UnsuitedError if there is none."""
    key = buffers.graph.structure, buffers.schedule.max_fused
    found = _programs.get(key)
    if found is None:
        try:
            found = _printed(buffers, memory, members)
        except UnsuitedError as reason:
            found = reason.with_traceback(None)
        if len(_programs) >= MAX_PROGRAMS:
            _programs.clear()
        _programs[key] = found
    if isinstance(found, UnsuitedError):
        raise found
    return found


def _printed(buffers: Buffers, memory: WorkingSet, members: int) -> Program:
    from portable_bp.backends.graph.printers.lanes import LaneSource  # which needs llvmlite

    source = LaneSource(buffers, memory)
    constants, blocks = buffers.graph.constants, -(-members // source.lanes)
    if memory.size * blocks * source.lanes > MAX_WORKING_SET * members:
        raise UnsuitedError(f"{memory.size:,} bytes of a block of {source.lanes} networks exceed the cache")
    return Program(
        run=compiled(str(source), is_llvm=True),
        blocks=blocks,
        memory_size=memory.size,
        places=source.places,
        sizes=np.array(source.sizes, np.int64),
        number_indices=list(map(constants.index, source.numbers)),
        array_indices=list(map(constants.index, source.constants)),
    )


class PopulationExecutable(Executable):
    """A schedule of a block, and the compiled function that trains all blocks."""

    def __init__(self, schedule: Schedule, library: Any, data: Any) -> None:
        self.schedule, self.library = schedule, library
        self.calls = []
        memory = WorkingSet(library)
        self.buffers = Buffers(schedule, memory)
        self.bind(data)
        self.buffers.bind(self._data)
        self.members = max(map(members_of, schedule.graph.carry))
        self.program = _program(self.buffers, memory, self.members)
        self.buffers.release()
        constants = schedule.graph.constants
        self._numbers = np.array([as_float(constants[index]) for index in self.program.number_indices], np.float64)
        self._constants = [self.buffers.array(constants[index]) for index in self.program.array_indices]

    def bind(self, data: Any) -> None:
        """Take the loop's data."""
        self._data = separate_arrays(data)

    def release(self) -> None:
        """Keep no reference to the data."""
        self._data = []

    def run(self, carry: Any, items: Any, indices: range) -> Any:
        """Return the carry after the steps for some of the items, which are nested as recorded, with one more leading axis."""
        given = [np.asarray(array, order="C") for array in leaves(carry)]
        results = [np.empty(array.shape, array.dtype) for array in given]
        arrays = {
            **{"carry": given, "result": results, "data": self._data, "constant": self._constants},
            "item": [np.asarray(array, order="C") for array in leaves(items)],
        }
        addresses = [self.members - 1, *(address_of(arrays[kind][number]) for kind, number in self.program.places)]
        work = len(indices) * self.program.blocks * self.program.memory_size
        self._run_blocks(len(indices), addresses, min(self.program.blocks, usable_threads()) if work > MIN_SHARED_WORK else 1)
        return zip_leaves(lambda _, result: result, carry, results)

    def _run_blocks(self, steps: int, addresses: list[int], threads: int) -> None:
        """Take all steps of each block, with a working set for each thread."""
        pieces = min(self.program.blocks, threads * PIECES) if threads > 1 else 1
        edges = [self.program.blocks * number // pieces for number in range(pieces + 1)]
        waiting = deque(zip(edges[:-1], edges[1:], strict=True))
        memory = np.empty((threads, self.program.memory_size + ALIGNMENT), np.uint8)

        def work(number: int) -> None:
            start = -(-address_of(memory[number]) // ALIGNMENT) * ALIGNMENT
            table = np.array([0, 0, addresses[0], start, *addresses[1:]], np.int64)
            with contextlib.suppress(IndexError):  # until no blocks are waiting
                while True:
                    table[:2] = waiting.popleft()
                    self.program.run(steps, address_of(table), address_of(self.program.sizes), address_of(self._numbers))

        run_in_threads([functools.partial(work, number) for number in range(threads)], waiting.clear)
