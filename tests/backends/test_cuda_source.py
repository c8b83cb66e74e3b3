"""NVIDIA's compiler accepts the kernels that CuPy compiles on a GPU."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import cache
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends.graph.kernels import C_TYPES, PREAMBLE
from portable_bp.backends.graph.passes import factors_in_bfloat16
from tests.support import nvrtc
from tests.support.kernels_in_python import FusedOnTheHost
from tests.support.pretended_cupy import pretending

pytestmark = nvrtc.NEEDED


def function(number, kernel):
    """Return a fused kernel as CUDA source, in place of what CuPy wraps around its lines."""
    pointers = [f"const {C_TYPES[dtype]}* a{place}" for place, dtype in enumerate(kernel.inputs)]
    pointers += [f"{C_TYPES[dtype]}* b{place}" for place, dtype in enumerate(kernel.outputs)]
    lines = [f"const {C_TYPES[dtype]} in{place} = a{place}[threadIdx.x];" for place, dtype in enumerate(kernel.inputs)]
    lines += [f"const {C_TYPES[dtype]} {name} = {expression};" for dtype, name, expression in kernel.lines]
    lines += [f"b{place}[threadIdx.x] = {name};" for place, name in enumerate(kernel.results)]
    return "\n".join([f'extern "C" __global__ void k{number}({", ".join(pointers)}) {{', *lines, "}"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_fused_kernels(monkeypatch, dtype, architecture):
    kernels = {}

    class Collecting(FusedOnTheHost):
        passes = (factors_in_bfloat16,) if dtype == "float32" else ()

        def compile_kernel(self, kernel):
            kernels[kernel] = None
            return super().compile_kernel(kernel)

    monkeypatch.setattr(numpy_backend, "NumpyLibrary", Collecting)
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")
    for loss in ("cross_entropy", "huber"):
        for optimizer in ("sgd", "adamw"):
            network = bp.Network([4, 5, 3], "gelu", backend="numpy", dtype=dtype, seed=0)
            target = [0, 1, 2, 0] if loss == "cross_entropy" else np.eye(4)[:, :3]
            network.fit(np.eye(4), target, loss, optimizer, epochs=3, dropout=0.2)
            cache.clear()
    source = "\n".join([PREAMBLE, *(function(*each) for each in enumerate(kernels))])
    assert nvrtc.compiled(source, architecture).count(".entry") == len(kernels) > 10


@pytest.mark.parametrize("word", ["uint4", "uint2", "unsigned int", "unsigned short", "unsigned char", "float"])
def test_kernels_that_copy(word):
    with pretending():
        from portable_bp.backends.graph.printers import cuda_rows
    for index in cuda_rows.INDEX_TYPES.values():
        for code in (cuda_rows.TAKE_ROWS, cuda_rows.NEXT_ITEM):
            text = nvrtc.compiled(cuda_rows.with_types(code, word, index), "compute_75")
            # Words of 16 and 8 bytes are read by one instruction.
            assert {"uint4": ".v4.", "uint2": ".v2."}.get(word, ".entry") in text
