"""LLVM functions on arrays of several networks, one in each lane of a vector: products, and copies into and out of lanes."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir

from portable_bp.backends.graph.printers.vectors import BYTES, CONTRACT, STORED, TYPES, type_of

INT = ir.IntType(64)
# A tile of the result is summed in registers: with 4 x 3 vectors, the 16 registers of AVX2 hold it and the factors.
TILE_ROWS, TILE_COLUMNS = (4, 1), (3, 1)


@contextlib.contextmanager
def loop(builder: Any, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """Append a loop, whose body is what is appended inside, and yield its index."""
    before = builder.block
    head, body, after = (builder.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(INT)
    index.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), body, after)
    builder.position_at_end(body)
    yield index
    index.add_incoming(builder.add(index, INT(step), flags=("nsw",)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    """Return a pointer to an address."""
    return builder.inttoptr(address, kind.as_pointer())


class Function(ir.Function):
    """A function of whole numbers that is printed once for all modules."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(ir.Module(), ir.FunctionType(ir.VoidType(), [INT] * count), name)
        self.linkage = "internal"
        self.attributes.add("noinline")

    def __str__(self) -> Any:
        return self._text

    @functools.cached_property
    def _text(self) -> Any:
        return super().__str__()


def added(module: Any, function: Function) -> Function:
    """Return a function that a module has, to which it is added the first time."""
    if function.name not in module.globals:
        module.add_global(function)
    return function


@functools.cache
def product_function(dtype: str, first_lanes: int, second_lanes: int) -> Function:
    """Return the function that multiplies matrices of a dtype; the numbers of a factor without lanes are the same in each.

    Its arguments are the addresses of both factors and of the result, their sizes (rows, columns, shared), and the distances in
    bytes along the first factor's rows and shared axis, and the second one's shared axis and columns. The result is contiguous.
    """
    function = Function(f"multiply_{dtype}_{first_lanes}_{second_lanes}", 10)
    _Product(function, dtype, first_lanes, second_lanes)
    return function


@functools.cache
def copy_function(dtype: str, lanes: int, into_lanes: bool) -> Function:
    """Return the function that copies arrays of members into one array with lanes, or out of it.

    Its arguments are the addresses of the first member's array and of the one with lanes, how many numbers a member has, the
    first member of the block, and the last of all: the lanes after it hold it again.
    """
    function = Function(f"{'load' if into_lanes else 'store'}_{dtype}_{lanes}", 5)
    members, array, count, first, last = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    number, width = STORED[dtype], BYTES[dtype]
    addresses = [
        builder.add(members, builder.mul(member, builder.mul(count, INT(width))))
        for member in members_of_block(builder, first, last, lanes)
    ]
    with loop(builder, INT(0), count) as index:
        offset = builder.mul(index, INT(width))
        places = [pointer(builder, builder.add(address, offset), number) for address in addresses]
        kind = ir.VectorType(number, lanes)
        whole = pointer(builder, builder.add(array, builder.mul(offset, INT(lanes))), kind)
        vector: Any = ir.Constant(kind, ir.Undefined) if into_lanes else builder.load(whole, align=width)
        for lane, place in enumerate(places):
            if into_lanes:
                vector = builder.insert_element(vector, builder.load(place, align=width), ir.IntType(32)(lane))
            else:
                builder.store(builder.extract_element(vector, ir.IntType(32)(lane)), place, align=width)
        if into_lanes:
            builder.store(vector, whole, align=width)
    builder.ret_void()
    return function


def members_of_block(builder: Any, first: Any, last: Any, lanes: int) -> list[Any]:
    """Return the member in each lane, given the first one and the last of all."""
    numbers = [builder.add(first, INT(lane)) for lane in range(lanes)]
    return [builder.select(builder.icmp_signed("<", number, last), number, last) for number in numbers]


class _Product:
    """Appends the loops over tiles to a function."""

    def __init__(self, function: Any, dtype: str, first_lanes: int, second_lanes: int) -> None:
        builder: Any = ir.IRBuilder(function.append_basic_block())
        self.builder = builder
        self.number, self.bytes = TYPES[dtype], BYTES[dtype]
        self.lanes = max(first_lanes, second_lanes)
        self.kind = type_of(self.number, self.lanes)
        self.first_lanes, self.second_lanes = first_lanes, second_lanes
        self.first, self.second, self.out, rows, self.columns, self.shared, *self.distances = function.args
        for row, height in self._tiles(rows, TILE_ROWS):
            for column, width in self._tiles(self.columns, TILE_COLUMNS):
                self._append_tile(row, column, height, width)
        builder.ret_void()

    def _tiles(self, length: Any, sizes: Sequence[int]) -> Iterator[tuple[Any, int]]:
        """Append a loop over tiles of each size, the first one as often as possible, and yield where a tile starts."""
        builder, start = self.builder, INT(0)
        for size in sizes:
            whole = builder.sub(length, builder.srem(builder.sub(length, start), INT(size)))
            with loop(builder, start, whole, size) as index:
                yield index, size
            start = whole

    def _append_tile(self, row: Any, column: Any, height: int, width: int) -> None:
        """Append the sums of one tile of the result, which LLVM keeps in registers."""
        builder = self.builder
        to_row, to_shared_of_first, to_shared_of_second, to_column = self.distances
        lefts = [builder.add(self.first, builder.mul(builder.add(row, INT(r)), to_row)) for r in range(height)]
        rights = [builder.add(self.second, builder.mul(builder.add(column, INT(c)), to_column)) for c in range(width)]
        tile = list(itertools.product(range(height), range(width)))
        with builder.goto_entry_block():
            totals = [builder.alloca(self.kind) for _ in tile]
        for total in totals:
            builder.store(ir.Constant(self.kind, None), total)
        with loop(builder, INT(0), self.shared) as k:
            left_offset, right_offset = builder.mul(k, to_shared_of_first), builder.mul(k, to_shared_of_second)
            left = [self._load(builder.add(each, left_offset), self.first_lanes) for each in lefts]
            right = [self._load(builder.add(each, right_offset), self.second_lanes) for each in rights]
            for total, (r, c) in zip(totals, tile, strict=True):
                product = builder.fmul(left[r], right[c], flags=CONTRACT)
                builder.store(builder.fadd(builder.load(total), product, flags=CONTRACT), total)
        size = self.bytes * max(1, self.lanes)
        for total, (r, c) in zip(totals, tile, strict=True):
            place = builder.add(builder.mul(builder.add(row, INT(r)), self.columns), builder.add(column, INT(c)))
            address = builder.add(self.out, builder.mul(place, INT(size)))
            builder.store(builder.load(total), pointer(builder, address, self.kind), align=self.bytes)

    def _load(self, address: Any, lanes: int) -> Any:
        """Return a number in every lane, or the numbers of all lanes."""
        if lanes or not self.lanes:
            return self.builder.load(pointer(self.builder, address, self.kind), align=self.bytes)
        number = self.builder.load(pointer(self.builder, address, self.number), align=self.bytes)
        undefined, lane = ir.Constant(self.kind, ir.Undefined), ir.IntType(32)
        vector = self.builder.insert_element(undefined, number, lane(0))
        return self.builder.shuffle_vector(vector, undefined, ir.Constant(ir.VectorType(lane, self.lanes), [0] * self.lanes))
