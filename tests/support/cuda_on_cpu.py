"""Run CUDA source on the processor: a C++ compiler translates it, and the threads of a block take turns between barriers.

The order of the threads changes from barrier to barrier, and shared memory begins as NaN: a barrier or a number that is missing
shows in the results. Blocks run one after the other, in random order.
"""

import ctypes
import functools
import itertools
import math
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from portable_bp.backends.graph.members import first_member
from portable_bp.backends.graph.passes import numbers_without_axes, sums_of_sums
from portable_bp.backends.graph.printers.block import BlockExecutable
from portable_bp.backends.graph.printers.numpy import NumpyLibrary

COMPILER = shutil.which("c++")
HAS_COMPILER = COMPILER is not None
MEMORY = 232448  # bytes of shared memory that a block of an H100 may use
# Without the headers of C++, which take longer to compile than a kernel.
PRELUDE = r"""
#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(threads)
#define __noinline__
#define __align__(bytes) __attribute__((aligned(bytes)))
extern "C" {
alignas(16) extern unsigned char memory[];
extern struct Dimensions { int x, y; } threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads();
}
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
#define FUNCTION(name) \
    extern "C" double name(double); static inline float name(float x) { return __builtin_##name##f(x); }
FUNCTION(exp) FUNCTION(expm1) FUNCTION(log) FUNCTION(log1p) FUNCTION(sqrt) FUNCTION(tanh) FUNCTION(sin) FUNCTION(cos)
FUNCTION(tan) FUNCTION(sinh) FUNCTION(cosh) FUNCTION(atan) FUNCTION(floor) FUNCTION(ceil)
extern "C" double pow(double, double);
static inline float pow(float x, float y) { return __builtin_powf(x, y); }
static inline unsigned __float_as_uint(float x) { unsigned bits; __builtin_memcpy(&bits, &x, 4); return bits; }
template <typename T> static inline bool isfinite(T x) { return __builtin_isfinite(x); }
template <typename T> static inline bool isnan(T x) { return __builtin_isnan(x); }
template <typename T> static inline bool isinf(T x) { return __builtin_isinf(x); }
"""
# ``emulate`` returns whether all threads reached the same barriers.
SCHEDULER = r"""
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#define MAX_THREADS 1024
extern "C" {
alignas(16) unsigned char memory[MEMORY];
struct Dimensions { int x, y; } threadIdx, blockIdx, blockDim, gridDim;
static ucontext_t scheduler, contexts[MAX_THREADS];
static char stacks[MAX_THREADS][32768];
static bool ended[MAX_THREADS];
static void (*kernel)(void**);
static void** arguments;
static int running;
static void resume(int thread) {
    running = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x};
    swapcontext(&scheduler, &contexts[thread]);
}
void __syncthreads() { swapcontext(&contexts[running], &scheduler); }
static void begin() { kernel(arguments); ended[running] = true; }
static int drawn(int* order, int start, int count, unsigned* seed) {  // moved to ``start`` from a random place after it
    *seed = *seed * 1664525u + 1013904223u;
    int other = start + (*seed >> 8) % (count - start), next = order[other];
    order[other] = order[start];
    return order[start] = next;
}
static bool run_block(int threads, unsigned* seed) {
    memset(memory, 255, sizeof memory);
    int order[MAX_THREADS];
    for (int i = 0; i < threads; ++i) {
        order[i] = i;
        ended[i] = false;
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        contexts[i].uc_link = &scheduler;
        makecontext(&contexts[i], begin, 0);
    }
    for (;;) {
        int finished = 0;
        for (int i = 0; i < threads; ++i) {
            int next = drawn(order, i, threads, seed);
            resume(next);
            finished += ended[next];
        }
        if (finished) return finished == threads;
    }
}
int emulate(void (*function)(void**), int blocks, int columns, int rows, unsigned seed, void** given) {
    kernel = function;
    arguments = given;
    blockDim = {columns, rows};
    gridDim = {blocks, 1};
    int* order = (int*)malloc(blocks * sizeof(int));
    for (int i = 0; i < blocks; ++i) order[i] = i;
    bool reached = true;
    for (int i = 0; reached && i < blocks; ++i) {
        blockIdx = {drawn(order, i, blocks, &seed), 0};
        reached = run_block(columns * rows, &seed);
    }
    free(order);
    return reached;
}
}
""".replace("MEMORY", str(MEMORY))
SCALARS = {"long long": "int64", "int": "int32"}
_seeds = itertools.count()
_running = threading.Lock()


def need_compiler():
    """Skip a test if there is no C++ compiler."""
    if not HAS_COMPILER:
        pytest.skip("there is no C++ compiler")


@functools.cache
def _folder():
    return tempfile.TemporaryDirectory()


def _compile(text, *given):
    """Return the path of the shared library that C++ text and other files make."""
    path = Path(_folder().name) / f"{next(_seeds)}.cpp"
    path.write_text(text)
    made = path.with_suffix(".so")
    subprocess.run([COMPILER, "-O0", "-shared", "-fPIC", "-w", "-std=c++17", path, *given, "-o", made], check=True)
    return made


@functools.cache
def _scheduler():
    return ctypes.CDLL(str(_compile(SCHEDULER)), ctypes.RTLD_GLOBAL)


@functools.lru_cache(maxsize=512)
def emulated(source, name="run"):
    """Return a kernel of CUDA source, which takes the sizes of a grid and of a block, then numbers and arrays of NumPy."""
    scheduler = _scheduler()
    parameters = re.search(rf"\b{name}\(([^)]*)\)\s*{{", source)[1].split(",")
    types = [parameter.replace("__restrict__", "").rpartition(" ")[0] for parameter in parameters]
    call = ", ".join(f"*({kind}*)given[{number}]" for number, kind in enumerate(types))
    library = ctypes.CDLL(str(_compile(f'{PRELUDE}{source}\nextern "C" void call(void** given) {{ {name}({call}); }}')))

    def run(grid, block, *given):
        assert len(given) == len(types) and len(grid) == 1
        for kind, each in zip(types, given, strict=True):
            assert "*" in kind or np.asarray(each).dtype == SCALARS[kind.replace("const", "").strip()], (
                f"{kind} is given {each!r}"
            )
        # As CUDA takes them: the addresses of numbers, and of the addresses of arrays.
        values = [np.asarray(x.ctypes.data) if isinstance(x, np.ndarray) else np.asarray(x) for x in given]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        columns, rows = (*block, 1)[:2]
        with _running:
            reached = scheduler.emulate(library.call, grid[0], columns, rows, next(_seeds), addresses)
        assert reached, "some threads wait at a barrier that others do not reach"

    return run


class BlockOnTheHost(NumpyLibrary):
    """Replays recorded steps of arrays in main memory by the kernel that one block of a GPU would run."""

    max_fused = math.inf
    passes = (sums_of_sums,)
    shared_memory = MEMORY

    def pays(self, steps, total, size):
        return True

    def executable(self, schedule, data):
        return BlockExecutable(schedule, self, data)

    def launcher(self, source):
        return functools.partial(emulated(str(source)), (source.blocks,), (source.threads,))

    def to_device(self, array):
        return np.asarray(array)

    def contiguous(self, array):
        return np.asarray(array, order="C")


class PopulationOnTheHost(BlockOnTheHost):
    """Replays recorded steps of a population by the kernel of which each block trains one member."""

    passes = (first_member, numbers_without_axes, sums_of_sums)
