"""Run CUDA source on the processor: a C++ compiler translates it, and the threads of a block take turns between barriers.

The order of the threads changes from barrier to barrier, and shared memory begins as NaN: a barrier or a number that is missing
shows in the results.
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
#define __align__(bytes) __attribute__((aligned(bytes)))
extern "C" { alignas(16) extern unsigned char memory[]; extern struct Index { int x; } threadIdx; void __syncthreads(); }
#define FUNCTION(name) \
    extern "C" double name(double); static inline float name(float x) { return __builtin_##name##f(x); }
FUNCTION(exp) FUNCTION(expm1) FUNCTION(log) FUNCTION(log1p) FUNCTION(sqrt) FUNCTION(tanh) FUNCTION(sin) FUNCTION(cos)
FUNCTION(tan) FUNCTION(sinh) FUNCTION(cosh) FUNCTION(atan) FUNCTION(floor) FUNCTION(ceil)
extern "C" double pow(double, double);
static inline float pow(float x, float y) { return __builtin_powf(x, y); }
template <typename T> static inline bool isfinite(T x) { return __builtin_isfinite(x); }
template <typename T> static inline bool isnan(T x) { return __builtin_isnan(x); }
template <typename T> static inline bool isinf(T x) { return __builtin_isinf(x); }
"""
# ``emulate`` returns whether all threads reached the same barriers.
SCHEDULER = (
    f"#define MEMORY {MEMORY}"
    + r"""
#include <string.h>
#include <ucontext.h>
#define MOST 1024
extern "C" {
alignas(16) unsigned char memory[MEMORY];
struct Index { int x; } threadIdx;
static ucontext_t scheduler, contexts[MOST];
static char stacks[MOST][32768];
static bool ended[MOST];
static void (*kernel)(void**);
static void** arguments;
void __syncthreads() { swapcontext(&contexts[threadIdx.x], &scheduler); }
static void begin() { kernel(arguments); ended[threadIdx.x] = true; }
int emulate(void (*function)(void**), int threads, unsigned seed, void** given) {
    kernel = function;
    arguments = given;
    memset(memory, 255, MEMORY);
    int order[MOST];
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
            seed = seed * 1664525u + 1013904223u;
            int other = i + (seed >> 8) % (threads - i), next = order[other];
            order[other] = order[i];
            order[i] = next;
            threadIdx.x = next;
            swapcontext(&scheduler, &contexts[next]);
            finished += ended[next];
        }
        if (finished) return finished == threads;
    }
}
}
"""
)
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
def emulated(source, threads):
    """Return the kernel ``run`` of a source, which takes a count of steps and arrays in main memory."""
    scheduler = _scheduler()
    parameters = re.search(r"\nrun\((.*)\) {\n", source)[1].split(", ")
    types = [parameter.replace("__restrict__", "").rpartition(" ")[0] for parameter in parameters]
    call = ", ".join(f"*({kind}*)given[{number}]" for number, kind in enumerate(types))
    library = ctypes.CDLL(str(_compile(f'{PRELUDE}{source}\nextern "C" void call(void** given) {{ run({call}); }}')))

    def run(*given):
        assert len(given) == len(types)
        values = [ctypes.c_void_p(x.ctypes.data) if isinstance(x, np.ndarray) else ctypes.c_int64(int(x)) for x in given]
        addresses = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        with _running:
            reached = scheduler.emulate(library.call, threads, next(_seeds), addresses)
        assert reached, "some threads wait at a barrier that others do not reach"

    return run


class BlockOnTheHost(NumpyLibrary):
    """Replays recorded steps of arrays in main memory by the kernel that one block of a GPU would run."""

    max_fused = math.inf
    passes = ()
    shared_memory = MEMORY

    def pays(self, steps, total, size):
        return True

    def executable(self, schedule, data):
        return BlockExecutable(schedule, self, data)

    def launcher(self, source):
        return emulated(str(source), source.threads)

    def asarray(self, array):
        return np.asarray(array)

    def contiguous(self, array):
        return np.asarray(array, order="C")
