"""NVIDIA's runtime compiler, which compiles CUDA source without a GPU."""

import ctypes
import functools
import importlib.util
from pathlib import Path

import pytest

MISSING = "NVRTC is not installed: pip install 'portable-bp[nvrtc]'"
ARCHITECTURES = ["compute_75", "compute_80", "compute_90", "compute_100"]


def find():
    """Return the path of the library that a package of the extra nvrtc brings, or None."""
    found = importlib.util.find_spec("nvidia")
    folders = found.submodule_search_locations if found else ()
    return next((path for folder in folders for path in sorted(Path(folder).glob("**/libnvrtc.so.*"))), None)


NEEDED = pytest.mark.skipif(find() is None, reason=MISSING)


@functools.cache
def _library():
    return ctypes.CDLL(str(find()))


def compiled(source, architecture):
    """Return the PTX of CUDA source, or raise an error with the compiler's messages."""
    nvrtc, program, size = _library(), ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"step.cu", 0, None, None) == 0
    options = (ctypes.c_char_p * 2)(f"--gpu-architecture={architecture}".encode(), b"--std=c++17")
    failed = nvrtc.nvrtcCompileProgram(program, 2, options)
    kind = "ProgramLog" if failed else "PTX"
    getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{kind}")(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise SyntaxError(text.value.decode())
    return text.value.decode()
