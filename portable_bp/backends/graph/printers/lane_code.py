"""What the LLVM code of a block is made of: its arguments, the numbers in memory, and loops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir

from portable_bp.backends.graph.buffers import Buffers
from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.members import dtype_of, lanes_of
from portable_bp.backends.graph.printers.lane_functions import INT, added, copy_function, loop, pointer
from portable_bp.backends.graph.printers.program import address_of
from portable_bp.backends.graph.printers.vectors import BYTES, STORED, TYPES, Value, type_of

if TYPE_CHECKING:
    from portable_bp.backends.graph.printers.population import WorkingSet

HEAD = 4  # places in the table of addresses: the first block, the last one, the last member, and the memory of a block


class LaneCode:
    """A function ``run(steps, addresses, sizes, numbers)`` that is being written, and what it takes.

    ``places`` says what the addresses after the first four are: of the carry that is read ("carry") and written ("result"), of
    "data", of the first step's "item", or of a "constant", each with its number in the graph or in ``constants``.
    ``numbers`` are the constants that are single numbers.
    """

    def __init__(self, buffers: Buffers, memory: WorkingSet) -> None:
        self.buffers, self.graph = buffers, buffers.graph
        self.memory = memory
        self.lanes = max(map(lanes_of, buffers.graph.carry))
        self.places: list[tuple[str, int]] = []
        self.constants: list[Node] = []
        self.sizes: list[int] = []
        self.numbers: list[Node] = []
        self._known: dict[Any, Any] = {}
        self.module = ir.Module("population")
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [INT] * 4), "run")
        self.steps, *tables = function.args
        self._tables: dict[str, Any] = dict(zip(("addresses", "sizes", "numbers"), tables, strict=True))
        self.entry: Any = ir.IRBuilder(function.append_basic_block("entry"))
        self.builder: Any = ir.IRBuilder(function.append_basic_block())
        self.step: Any = None  # the number of the step, inside of the loop over steps
        entries = (self._entry_of("addresses", number) for number in range(HEAD))
        self.first_block, self.last_block, self.last_member, self.working_set = entries
        self.first_member: Any = None  # of the block

    def __str__(self) -> str:
        return str(self.module)

    # What the code takes.

    def _entry_of(self, table: str, number: int) -> Any:
        """Return an entry of a table, which is loaded once."""
        start, kind = self._tables[table], TYPES["float64"] if table == "numbers" else INT
        return self.entry.load(pointer(self.entry, self.entry.add(start, INT(8 * number)), kind))

    def _size(self, number: int) -> Any:
        """Return a size, as an argument."""
        self.sizes.append(int(number))
        return self._entry_of("sizes", len(self.sizes) - 1)

    def _number(self, node: Node) -> Value:
        """Return a constant number."""
        if node not in self._known:
            self.numbers.append(node)
            number = Value(self.entry, self._entry_of("numbers", len(self.numbers) - 1), "float64").astype(node.dtype)
            self._known[node] = number.value
        return Value(self.builder, self._known[node], node.dtype)

    def _place(self, kind: str, number: int) -> Any:
        """Return the address of an array outside of the working set."""
        key = kind, number
        if key not in self._known:
            self.places.append(key)
            self._known[key] = self._entry_of("addresses", HEAD - 1 + len(self.places))
        return self._known[key]

    def _buffer(self, array: np.ndarray) -> Any:
        """Return the address of an array in the working set."""
        return self.builder.add(self.working_set, self._size(self.memory.offset_of(array)))

    def _address(self, node: Node, array: np.ndarray) -> Any:
        """Return the address of a node's array; it is called outside of the loops over its numbers."""
        root = node.root
        offset = 0 if root is node else address_of(array) - address_of(self.buffers.array(root))
        if root in self.graph.data:
            base = self._place("data", self.graph.data.index(root))
        elif root in self.graph.item:
            item = self.buffers.array(root)
            base = self._place("item", self.graph.item.index(root))
            base = self.builder.add(base, self.builder.mul(self.step, self._size(item.nbytes)))
        elif root.operation == "constant":
            if root not in self.constants:
                self.constants.append(root)
            base = self._place("constant", self.constants.index(root))
        else:
            return self._buffer(array)
        return self.builder.add(base, self._size(offset))

    # Numbers in memory.

    def _load(self, address: Any, dtype: str, lanes: int) -> Value:
        """Return the number, or the numbers of all lanes, at an address."""
        stored, kind = (type_of(each[dtype], lanes) for each in (STORED, TYPES))
        loaded = self.builder.load(pointer(self.builder, address, stored), align=BYTES[dtype])
        return Value(self.builder, self.builder.trunc(loaded, kind) if dtype == "bool" else loaded, dtype)

    def _store(self, value: Value, address: Any) -> None:
        kind, stored = type_of(STORED[value.dtype], value.lanes), value.value
        if value.dtype == "bool":
            stored = self.builder.zext(stored, kind)
        self.builder.store(stored, pointer(self.builder, address, kind), align=BYTES[value.dtype])

    def _moved(self, address: Any, indices: Sequence[Any], distances: Sequence[int], width: int) -> Any:
        """Return an address moved by indices times distances in bytes; numbers of a width are contiguous."""
        for index, distance in zip(indices, distances, strict=True):
            if distance:
                step = INT(width) if distance == width else self._size(distance)
                address = self.builder.add(address, self.builder.mul(index, step))
        return address

    @contextlib.contextmanager
    def _loops(self, lengths: Sequence[int]) -> Iterator[list[Any]]:
        """Append loops over axes, and yield their indices."""
        with self._loops_over_several(lengths, 1) as (indices,):
            yield indices

    @contextlib.contextmanager
    def _loops_over_several(self, lengths: Sequence[int], copies: int) -> Iterator[list[list[Any]]]:
        """Append loops over axes, and yield the indices of several places next to each other; the last one may come twice."""
        builder, sizes = self.builder, [self._size(length) for length in lengths]
        steps = [1] * (len(lengths) - 1) + [copies]
        with contextlib.ExitStack() as stack:
            indices = [stack.enter_context(loop(builder, INT(0), size, step)) for size, step in zip(sizes, steps, strict=False)]
            places = [indices]
            for number in range(1, copies):
                index, last = builder.add(indices[-1], INT(number)), builder.sub(sizes[-1], INT(1))
                inside = builder.select(builder.icmp_signed("<", index, last), index, last)
                places.append([*indices[:-1], inside])
            yield places

    def _load_members(self, node: Node, source: Any, target: Any) -> None:
        """Copy an array, of each member of the block if it has lanes, into the working set."""
        if lanes := lanes_of(node):
            function = added(self.module, copy_function(dtype_of(node), lanes, into_lanes=True))
            self.builder.call(function, [source, target, self._size(node.size), self.first_member, self.last_member])
        else:
            self._copy_shared(node, source, target)

    def _store_members(self, node: Node, source: Any, target: Any) -> None:
        """Copy an array out of the working set."""
        if lanes := lanes_of(node):
            function = added(self.module, copy_function(dtype_of(node), lanes, into_lanes=False))
            self.builder.call(function, [target, source, self._size(node.size), self.first_member, self.last_member])
        else:
            self._copy_shared(node, source, target)

    def _copy_shared(self, node: Node, source: Any, target: Any) -> None:
        width = bytes_of(node)
        with self._loops([node.size]) as index:
            value = self._load(self._moved(source, index, [width], width), node.dtype, 0)
            self._store(value, self._moved(target, index, [width], width))


def bytes_of(node: Node) -> int:
    """Return the bytes of a number in one lane."""
    return BYTES[dtype_of(node)]
