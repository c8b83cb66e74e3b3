"""CUDA source of a whole program for one block of threads, which trains a small network for many steps in one launch.

Of a population, each block trains one member: the program is that of the first member, and a block first moves its pointers to
the arrays of its own. It reads the carry and writes the results elsewhere, so that no block changes what another one reads.

The carry and all results stay in the block's shared memory; data, items and constants are read from global memory. Each stage
is a loop over array elements: thread t computes the elements t, t + threads, and so on. A barrier is printed only where a
thread would read what another one wrote, or write what another one may still read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from portable_bp.backends.graph.buffers import Buffers, Instruction
from portable_bp.backends.graph.ir import Node, constant
from portable_bp.backends.graph.kernels import C_TYPES, PREAMBLE
from portable_bp.backends.graph.members import members_of
from portable_bp.backends.graph.printers.block_arrays import Access, Layout, c_type, index_text, is_flat, stand_in
from portable_bp.backends.graph.printers.program import ElementwiseLoop, ProgramPrinter, address_of, as_float, refuse_rows
from portable_bp.backends.graph.schedule import Schedule

MAX_THREADS = 256
ALIGNMENT = 16  # bytes
INT_MAX = 2**31 - 1
WARP = 32  # threads that a multiprocessor issues together, and banks of shared memory
BANK_CONFLICT = 8  # a stride between columns that is a multiple starts them in four of the 32 banks at most
MAX_INLINED = 12  # matrix products up to which `multiply` is inlined; more would take seconds to compile
MIN_TERMS = 4  # of a sum that are worth a thread of their own
FUNCTIONS = """
// Unrolled loops would take four times as long to compile.
#define EACH(size) _Pragma("unroll 1") for (int i = thread; i < size; i += threads)

// A product of matrices with constant strides. A thread computes a tile of TR x TC numbers, which are far apart: neighbors in a
// warp then read neighbors in memory. If ROTATED, each column starts its sum at another place: otherwise, all threads of a
// warp would read the same bank of shared memory. Where all rows of a begin in the same bank, too, each thread does.
template <int ROWS, int SHARED, int COLUMNS, int AR, int AK, int BK, int BC, int TR, int TC, bool ROTATED, typename T>
__device__ INLINED void multiply(const int thread, const int threads, const T* a, const T* b, T* out) {
    const int height = ROWS / TR, width = COLUMNS / TC;
    EACH(height * width) {
        const int row = i / width, column = i % width;
        T total[TR][TC] = {};
        int k = ROTATED ? (AR % 32 ? column : i) % SHARED : 0;
        #pragma unroll 8
        for (int n = 0; n < SHARED; ++n) {
            T left[TR], right[TC];
            #pragma unroll
            for (int r = 0; r < TR; ++r) left[r] = a[(row + r * height) * AR + k * AK];
            #pragma unroll
            for (int c = 0; c < TC; ++c) right[c] = b[k * BK + (column + c * width) * BC];
            #pragma unroll
            for (int r = 0; r < TR; ++r)
                #pragma unroll
                for (int c = 0; c < TC; ++c) total[r][c] += left[r] * right[c];
            k = ROTATED && k + 1 == SHARED ? 0 : k + 1;
        }
        #pragma unroll
        for (int r = 0; r < TR; ++r)
            #pragma unroll
            for (int c = 0; c < TC; ++c) out[(row + r * height) * COLUMNS + column + c * width] = total[r][c];
    }
}
template <typename T> __device__ inline T sum(T a, T b) { return a + b; }
template <typename T> __device__ inline T wrapped(T index, T size) {
    return index >= 0 && index < size ? index : (index % size + size) % size;
}
"""


class Tuning(NamedTuple):
    """How the work of a block is divided among its threads; estimates."""

    elements_per_thread: int  # of the largest array; sets the number of threads
    min_tiles: int  # of a matrix product, one a thread: larger ones read each factor less often, fewer leave threads idle


# The block of a single network is alone on its multiprocessor, and many threads hide how long each waits. Several blocks of a
# population share one, so that fewer threads suffice, and larger tiles leave it less to read.
SINGLE, MEMBER = Tuning(4, 96), Tuning(32, WARP)


class BlockSource(ProgramPrinter):
    """The source of a program, and what its function ``run`` takes, in this order.

    The count of steps, the constant numbers as float64, and pointers to the carry, the results, the data, the items and the
    constants. The items of the steps lie one after the other. Sizes are part of the source.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.graph = schedule.graph
        layout = Layout()
        self.buffers = Buffers(schedule, layout)
        self.buffers.bind(stand_in(node.shape, node.dtype) for node in self.graph.data)
        self.constants: list[Node] = []
        self.members = max(map(members_of, self.graph.carry), default=0)  # of a population; no part of the source
        self._of_members = {node.inputs[0]: None for node in self.graph.nodes if members_of(node)}  # given for all members
        self._tuning = MEMBER if self.members else SINGLE
        self._scalars: dict[Node, str] = {}  # constant numbers, and their names
        self._global = {id(self.buffers.array(node)): node for node in self._global_nodes()}
        shared = [each for each in layout.allocated if id(each) not in self._global]
        largest = max((each.size for each in shared), default=1)
        warps = max(1.0, largest / self._tuning.elements_per_thread / WARP)
        self.threads = min(MAX_THREADS, WARP * 2 ** math.ceil(math.log2(warps)))
        self._scratch = layout.empty((self.threads,), "float64")
        self._offsets: dict[int, int] = {}  # of arrays in shared memory, in bytes
        self._shared = [*shared, self._scratch]
        self.memory = 0  # bytes of shared memory
        for array in self._shared:
            self._offsets[id(array)] = self.memory
            self.memory += max(1, -(-array.nbytes // ALIGNMENT)) * ALIGNMENT  # an empty one needs a place of its own, too
        self._pending: list[Access] = []  # since the last barrier
        self._lines: list[str] = []
        self._print_program()
        self._moves = self._print_moves()

    def __str__(self) -> str:
        uses = self.graph.uses
        carry = [(number, node, self._pointer(self.buffers.array(node))) for number, node in enumerate(self.graph.carry)]
        lines = [
            "extern __shared__ __align__(16) unsigned char memory[];",
            f"const int thread = threadIdx.x, threads = {self.threads};",
            *(
                f"{c_type(each)}* const {self._shared_name(each)} = ({c_type(each)}*)(memory + {self._offsets[id(each)]});"
                for each in self._shared
            ),
            *(
                f"const {C_TYPES[node.dtype]} {name} = numbers[{place}];"
                for place, (node, name) in enumerate(self._scalars.items())
            ),
            *self._moves,
            *(f"{self._each(node.size)} ({shared})[i] = carry{number}[i];" for number, node, shared in carry),
            "__syncthreads();",
            "for (long long step = 0; step < steps; ++step) {",
            *(
                f"    const {C_TYPES[node.dtype]}* const item{number} = items{number} + {self._item_start(node)};"
                for number, node in enumerate(self.graph.item)
                if uses[node]
            ),
            *(f"    {line}" for line in self._lines),
            "    __syncthreads();",
            "}",
            *(
                f"{self._if_first(node)}{self._each(node.size)} result{number}[i] = ({shared})[i];"
                for number, node, shared in carry
            ),
        ]
        kernel = f'extern "C" __global__ void __launch_bounds__({self.threads})\nrun({self._parameters()}) {{'
        matrix_products = sum(node.operation == "matmul" for node in self.graph.nodes)
        inlined = f"#define INLINED {'inline' if matrix_products <= MAX_INLINED else '__noinline__'}\n"
        return "\n".join([PREAMBLE + inlined + FUNCTIONS, kernel, *(f"    {line}" for line in lines), "}"])

    def _parameters(self) -> str:
        kinds = {"carry": self.graph.carry, "result": self.graph.carry, "data": self.graph.data}
        kinds |= {"items": self.graph.item, "constant": tuple(self.constants)}
        pointers = [
            f"{'const ' * (kind != 'result')}{C_TYPES[node.dtype]}* __restrict__ {kind}{number}"
            for kind, nodes in kinds.items()
            for number, node in enumerate(nodes)
        ]
        return ", ".join(["const long long steps", "const double* __restrict__ numbers", *pointers])

    def _print_moves(self) -> list[str]:
        """Return the lines that move a block's pointers from the arrays of the first member to those of its own."""
        if not self.members:
            return []
        carry = [(number, node) for number, node in enumerate(self.graph.carry) if members_of(node)]
        sizes = {f"{kind}{number}": str(node.size) for kind in ("carry", "result") for number, node in carry}
        for node in self._of_members:
            if node not in self.graph.item:  # more samples need no other source
                sizes[self._name(node)] = self._number(constant(node.size // self.members, "int64"))
        moves = [f"{name} += member * {size};" for name, size in sizes.items()]
        return ["const long long member = blockIdx.x, members = gridDim.x;", *moves]

    def _item_start(self, node: Node) -> str:
        """Return the expression of the place of a step's item among those of all steps."""
        if node in self._of_members:
            return f"(step * members + member) * {node.size // self.members}"
        return f"step * {node.size}"

    def _if_first(self, node: Node) -> str:
        """Return the condition under which a block writes a result: one of them writes what all members share."""
        return "if (member == 0) " * (self.members > 0 and not members_of(node))

    @property
    def blocks(self) -> int:
        """The blocks of a launch: one for each network."""
        return max(1, self.members)

    @property
    def numbers(self) -> list[float]:
        """The constant numbers."""
        return [as_float(node) for node in self._scalars]

    @property
    def length(self) -> int:
        """The lines of a step."""
        return len(self._lines)

    # Where arrays are.

    def _global_nodes(self) -> list[Node]:
        """Return the nodes whose arrays are in global memory: data, items, constants, and views of them."""
        nodes = dict.fromkeys([*self.graph.data, *self.graph.item, *self.graph.nodes])
        nodes |= dict.fromkeys(each for node in self.graph.nodes for each in node.inputs)
        given = {*self.graph.data, *self.graph.item}
        return [node for node in nodes if node.root in given or node.root.operation == "constant"]

    def _pointer(self, array: np.ndarray) -> str:
        """Return the expression of a pointer to an array's first number."""
        if node := self._global.get(id(array)):
            name, root = self._name(node.root), self.buffers.array(node.root)
        else:
            start = address_of(array)
            root = next(each for each in self._shared if 0 <= start - address_of(each) < max(1, each.nbytes))
            name = self._shared_name(root)
        offset = (address_of(array) - address_of(root)) // array.itemsize
        return f"{name} + {offset}" if offset else name

    def _shared_name(self, array: np.ndarray) -> str:
        return f"s{self._offsets[id(array)]}"

    def _name(self, root: Node) -> str:
        if root in self.graph.item:
            return f"item{self.graph.item.index(root)}"
        if root in self.graph.data:
            return f"data{self.graph.data.index(root)}"
        if root not in self.constants:
            self.constants.append(root)
        return f"constant{self.constants.index(root)}"

    def _at(self, array: np.ndarray, shape: Sequence[int]) -> str:
        """Return the expression of the number at index i of a shape that an array is broadcast to."""
        if is_flat(array, shape):
            return f"({self._pointer(array)})[i]"
        strides = np.broadcast_to(array, shape).strides
        return f"({self._pointer(array)})[{index_text([stride // array.itemsize for stride in strides], shape)}]"

    def _number(self, node: Node) -> str:
        """Return the name of a constant number."""
        return self._scalars.setdefault(node, f"f{len(self._scalars)}")

    # Stages.

    def _begin(self, reads: Iterable[Access], writes: Iterable[Access]) -> None:
        """Print a barrier if a stage with these accesses needs one."""
        accesses = [each for each in (*reads, *writes) if id(each.array) not in self._global]
        if any(new.conflicts(old) for new in accesses for old in self._pending):
            self._lines.append("__syncthreads();")
            self._pending = []
        self._pending += accesses

    def _print_elementwise(self, loop: ElementwiseLoop) -> None:
        reads, writes, scalars = loop.reads, loop.writes, loop.scalars
        shape = writes[0].shape
        self._begin(
            [Access(each, False, is_flat(each, shape)) for each in reads], [Access(each, True, True) for each in writes]
        )
        given = {}
        for number, array in enumerate(reads):
            given[f"in{number}"] = self._number(scalars[id(array)]) if id(array) in scalars else self._at(array, shape)
        lines = [f"const {C_TYPES[dtype]} {name} = {given.get(text, text)};" for dtype, name, text in loop.lines]
        lines += [f"{self._at(array, shape)} = {name};" for name, array in zip(loop.results, writes, strict=True)]
        self._print_loop(writes[0].size, lines)

    def _each(self, size: int) -> str:
        """Return the head of a loop over numbers, which are divided among the threads."""
        return f"if (const int i = thread; i < {size})" if size <= self.threads else f"EACH({size})"

    def _print_loop(self, size: int, lines: list[str]) -> None:
        self._lines += [f"{self._each(size)} {{", *(f"    {line}" for line in lines), "}"]

    def _print_copy(self, source: np.ndarray, target: np.ndarray) -> None:
        self._begin([Access(source, False, is_flat(source, target.shape))], [Access(target, True, True)])
        self._print_loop(target.size, [f"{self._at(target, target.shape)} = {self._at(source, target.shape)};"])

    def _print_matmul(self, instruction: Instruction) -> None:
        (first, second), out = instruction.operands, instruction.out
        if first.ndim != 2 or second.ndim != 2:
            raise TypeError("a product of other than two axes is not compiled for one block")
        (rows, shared), columns = first.shape, second.shape[1]
        tile = _tile(rows, columns, self._tuning.min_tiles)
        strides = [stride // out.itemsize for stride in (*first.strides, *second.strides)]
        is_rotated = strides[3] > 0 and strides[3] % BANK_CONFLICT == 0
        sizes = ", ".join(map(str, (rows, shared, columns, *strides, *tile, str(is_rotated).lower())))
        self._begin([Access(first, False, False), Access(second, False, False)], [Access(out, True, tile == (1, 1))])
        pointers = ", ".join(map(self._pointer, (first, second, out)))
        self._lines.append(f"multiply<{sizes}>(thread, threads, {pointers});")

    def _print_take(self, instruction: Instruction) -> None:
        (array, indices), out, axis = instruction.operands, instruction.out, instruction.node.attributes["axis"]
        refuse_rows(instruction)
        length, total, count = math.prod(array.shape[axis + 1 :]), array.shape[axis], indices.size
        self._begin([Access(array, False, False), Access(indices, False, False)], [Access(out, True, True)])
        outer = out.size // max(1, count * length)
        place = index_text([0, 1], [outer, count], length)
        height = self._number(constant(total, indices.dtype.name))  # no part of the source, which then serves other data, too
        row = f"wrapped<{c_type(indices)}>(({self._pointer(indices)})[{place}], {height})"
        widened = "(long long)" * (array.size > INT_MAX)
        before = f"i / {count * length} * {height} + " if outer > 1 else ""
        start = f"{widened}({before}{row}) * {length}"
        self._print_loop(out.size, [f"{self._at(out, out.shape)} = ({self._pointer(array)})[{start} + i % {length}];"])

    def _print_reduction(self, instruction: Instruction) -> None:
        """Print one loop, of a thread for each result, or two: where results are few, several threads combine parts of each."""
        node, (array,), out = instruction.node, instruction.operands, instruction.out
        axes, combine = node.attributes["axis"], {"sum": "sum", "max": "maximum", "min": "minimum"}[node.operation]
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        results, terms = out.size, array.size // max(1, out.size)
        if not array.size:
            raise TypeError("a reduction of no numbers is not compiled for one block")
        strides = [stride // array.itemsize for stride in array.strides]
        places = [
            index_text([strides[axis] for axis in which], [array.shape[axis] for axis in which], 1, index)
            for which, index in ((kept, f"(i % {results})"), (axes, "n"))
        ]
        number, kind = f"({self._pointer(array)})[{places[0]} + {places[1]}]", C_TYPES[node.dtype]
        parts = max(1, min(self.threads // results, terms // MIN_TERMS))
        total = [
            f"int n = i / {results};",
            f"{kind} total = {number};",
            f"for (n += {parts}; n < {terms}; n += {parts}) total = {combine}(total, {number});",
        ]
        reads, writes = [Access(array, False, False)], [Access(out, True, True)]
        target = self._at(out, out.shape)
        if parts == 1:
            self._begin(reads, writes)
            self._print_loop(results, [*total, f"{target} = total;"])
            return
        scratch = f"(({kind}*){self._pointer(self._scratch)})"
        self._begin(reads, [Access(self._scratch, True, False)])
        self._print_loop(results * parts, [*total, f"{scratch}[i] = total;"])
        self._begin([Access(self._scratch, False, False)], writes)
        combined = f"for (int n = 1; n < {parts}; ++n) total = {combine}(total, {scratch}[n * {results} + i]);"
        self._print_loop(results, [f"{kind} total = {scratch}[i];", combined, f"{target} = total;"])


def _tile(rows: int, columns: int, min_tiles: int) -> tuple[int, int]:
    """Return the size of the tiles that a thread computes: the largest that leave enough threads something to do."""
    tiles = [(r, c) for r in (4, 2, 1) for c in (4, 2, 1) if rows % r == columns % c == 0]
    return next((t for t in tiles if rows * columns // (t[0] * t[1]) >= min_tiles), (1, 1))
