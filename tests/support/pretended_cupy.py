"""A pretended CuPy, so that all code for CuPy can run without a GPU.

NumPy computes, behind CuPy's names and as strict as CuPy: arrays are never transferred implicitly, computing with an array on
another device is an error, and only launches are captured. Kernels run as Python code, and matrix products use SciPy's BLAS
with the same pointers and leading dimensions as cuBLAS would take. CUDA source is compiled for the processor, where there is a
C++ compiler.
"""

import contextlib
import ctypes
import functools
import itertools
import re
import sys
import threading
import types

import numpy as np
import pytest

from portable_bp.backends import cache, selector
from tests.support.cuda_on_cpu import HAS_COMPILER, MEMORY, emulated
from tests.support.kernels_in_python import IN_PYTHON, RAW_KERNELS


class Current(threading.local):
    """What CuPy has for each thread: its devices and streams, the current one last, and what its streams capture."""

    def __init__(self):
        self.devices, self.streams, self.captured = [0], ["null"], []


current = Current()
quiet = functools.partial(np.errstate, all="ignore")  # a GPU does not warn


class CUDARuntimeError(RuntimeError):
    pass


class Device:
    compute_capability = "90"
    mem_info = 2**34, 2**36
    attributes = {"MaxSharedMemoryPerBlockOptin": MEMORY if HAS_COMPILER else 0}

    def __init__(self, device=None):
        self.id = current.devices[-1] if device is None else getattr(device, "id", device)

    def __enter__(self):
        current.devices.append(self.id)

    def __exit__(self, *_):
        current.devices.pop()

    def __eq__(self, other):
        return self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def synchronize(self):
        refuse_while_capturing()


class Pointer:
    """The address of an array's data."""

    def __init__(self, host):
        self.host = host
        self.ptr = host.__array_interface__["data"][0]

    def copy_from_device_async(self, source, size):
        launch(ctypes.memmove, self.ptr, source.ptr, size)


compute_types = {"float32": 0, "float64": 0}
BITS = {77: 10}  # fraction bits of TF32


def rounded(array, bits):
    """Round float32 numbers to a number of fraction bits, ties to even."""
    drop = np.uint32(23 - bits)
    one = np.uint32(1)
    held = np.array(array, "float32").view("uint32")
    held = held + (one << (drop - one)) - one + ((held >> drop) & one)
    return (held & ~((one << drop) - one)).view("float32")


def _matmul(first, second):
    if compute_types["float32"] == 7 and first.dtype == second.dtype == "float32":
        first, second = (rounded(factor, BITS[77]) for factor in (first, second))
    return np.matmul(first, second)


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # CuPy's name
    def __init__(self, host, device=None):
        self._host = host
        self.device = Device() if device is None else device

    def _view(self, host):
        return ndarray(host, self.device)

    __cuda_array_interface__ = None  # how other libraries recognize an array on a GPU
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: Pointer(self._host))
    mT = property(lambda self: self._view(np.swapaxes(self._host, -1, -2)))
    T = property(lambda self: self._view(self._host.T))

    def __getitem__(self, key):
        if any(isinstance(part, ndarray | list) for part in (key if isinstance(key, tuple) else (key,))):
            return wrapped(np.ndarray.__getitem__)(self, key)
        return self._view(np.asarray(self._host[key]))

    def __setitem__(self, key, value):
        launch(np.ndarray.__setitem__, *map(unwrap, (self, key, value)))

    def reshape(self, *shape):
        return self._view(self._host.reshape(*shape))

    def astype(self, dtype, copy=True):
        return self if not copy and dtype == self.dtype else wrapped(np.ndarray.astype)(self, dtype)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(wrapped(getattr(np.ndarray, name)), self)

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc, method, *given, **options):
        if ufunc.signature is not None:
            return NotImplemented
        return wrapped(getattr(ufunc, method))(*given, **options)

    def __array_function__(self, function, types, given, options):
        return wrapped(function)(*given, **options)

    def __matmul__(self, other):
        return wrapped(_matmul)(self, other)

    def __rmatmul__(self, other):
        return wrapped(_matmul)(other, self)

    def get(self):
        refuse_while_capturing()
        return self._host.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return self.get().__index__()

    def __len__(self):
        return len(self._host)


def refuse_while_capturing():
    if current.captured:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")


def unwrap(given, devices=None):
    """Return the NumPy arrays inside; their devices go into a list, or must be the current one."""
    if isinstance(given, ndarray):
        if devices is None:
            refuse_elsewhere([given.device])
        else:
            devices.append(given.device)
        return given._host
    if isinstance(given, np.ndarray) and given.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(given, tuple | list) and not hasattr(given, "_fields"):
        return type(given)(unwrap(each, devices) for each in given)
    return given


def refuse_elsewhere(devices):
    for device in devices:
        assert device.id == current.devices[-1], f"an array of {device} is computed with on device {current.devices[-1]}"


def launch(function, *given):
    """Call a function, or record it while a stream is capturing."""
    if current.captured:
        current.captured[-1].append(functools.partial(function, *given))
    else:
        with quiet():
            function(*given)


def wrapped(function):
    @functools.wraps(function)
    @quiet()
    def on_device(*given, **options):
        devices = []
        given, options = unwrap(given, devices), {name: unwrap(each, devices) for name, each in options.items()}
        if (out := options.get("out")) is not None:
            refuse_elsewhere(devices)
            launch(functools.partial(function, **options), *given)
            return ndarray(out[0] if isinstance(out, tuple) else out)
        result = function(*given, **options)
        if isinstance(result, np.ndarray | np.generic):
            host = np.asarray(result)
            if devices and isinstance(given[0], np.ndarray) and np.may_share_memory(host, given[0]):
                return ndarray(host, devices[0])  # a view needs no work on the device
            refuse_elsewhere(devices)
            if current.captured:
                current.captured[-1].append(lambda: host.__setitem__(..., function(*given, **options)))
            return ndarray(host)
        if isinstance(result, list | tuple) and any(isinstance(each, np.ndarray) for each in result):
            return type(result)(map(ndarray, result))
        return result

    return on_device


class ElementwiseKernel:
    """Runs the lines of a C++ kernel as Python."""

    def __init__(self, reads, writes, operation, name, preamble, no_return):
        self.reads, self.writes = ([part.split() for part in each.split(", ") if part] for each in (reads, writes))
        self.lines = [re.fullmatch(r"(?:const (.*) )?(\w+) = (.*);", line).groups() for line in operation.split("\n")]

    def __call__(self, *arrays):
        arrays = unwrap(arrays)
        assert [array.dtype.name for array in arrays] == [dtype for dtype, _ in (*self.reads, *self.writes)]
        reads, writes = arrays[: len(self.reads)], arrays[len(self.reads) :]
        if {array.shape for array in writes} != {np.broadcast_shapes(*(array.shape for array in arrays))}:
            raise ValueError("Out shape is mismatched")
        launch(self._run, reads, writes)

    def _run(self, reads, writes):
        variables = {name: array.copy() for (_, name), array in zip(self.reads, reads, strict=True)}
        targets = {name: array for (_, name), array in zip(self.writes, writes, strict=True)}
        for _, name, expression in self.lines:
            variables[name] = eval(expression, IN_PYTHON, variables)
            if name in targets:
                targets[name][...] = variables[name]


class EmulatedKernel:
    """CUDA source, compiled for the processor."""

    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, code, name, options=()):
        self.kernel = emulated(code, name)

    def __call__(self, grid, block, arguments, shared_mem=0):
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= MEMORY and np.prod(block) <= 1024
        launch(self.kernel, grid, block, *unwrap(arguments))


C_DTYPES = {
    **{"uint4": "V16", "uint2": "V8", "unsigned int": "u4", "unsigned short": "u2", "unsigned char": "u1"},
    **{"int": "i4", "long long": "i8", "float": "f4"},
}


class RawKernel:
    """Runs the Python twin of a CUDA kernel on flat arrays of the types in its signature, whose addresses must be aligned."""

    def __init__(self, code, name):
        self.twin = RAW_KERNELS[name]
        types = {new: C_DTYPES[old] for old, new in re.findall(r"typedef (.*) (\w+);", code)} | C_DTYPES
        (signature,) = re.findall(rf"void {name}\(([^)]*)\)", code)
        found = [re.fullmatch(r"\s*(?:const )?([\w ]+?)(\**)(?: __restrict__)? \w+\s*", part) for part in signature.split(",")]
        self.parameters = [("i8" if "**" in stars else types[kind], bool(stars)) for kind, stars in map(re.Match.groups, found)]

    def __call__(self, grid, block, operands):
        assert 0 < np.prod(block) <= 1024 and grid[0] > 0 == len(grid) - 1
        given = zip(self.parameters, unwrap(operands), strict=True)
        launch(self.twin, grid, block, *(self._operand(*each) for each in given))

    @staticmethod
    def _operand(parameter, given):
        dtype, is_pointer = parameter
        if not is_pointer:
            assert type(given) is np.dtype(dtype).type, "a scalar is passed as the bytes of its own dtype"
            return given
        assert given.flags.c_contiguous and given.__array_interface__["data"][0] % np.dtype(dtype).itemsize == 0
        return given.reshape(-1).view(dtype)


def raw_kernel(code, name, options=()):
    """Return a kernel of CUDA source; those that are always needed do not need a compiler."""
    return RawKernel(code, name) if name in RAW_KERNELS else EmulatedKernel(code, name, options)


class Graph:
    def __init__(self, launches):
        self.launches = launches

    @quiet()
    def launch(self):
        for each in self.launches:
            each()


_pointers = itertools.count(4711)


class Stream:
    def __init__(self, non_blocking):
        self.ptr = next(_pointers)

    def __enter__(self):
        current.streams.append(self)

    def __exit__(self, *_):
        current.streams.pop()

    def begin_capture(self):
        assert current.streams[-1] is self
        current.captured.append([])

    def end_capture(self):
        return Graph(current.captured.pop())


class CompileException(Exception):
    pass


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class MemoryPool:
    malloc = None
    limit = 0

    def free_all_blocks(self):
        pass

    def free_bytes(self):
        return 2**20

    def used_bytes(self):
        return 2**30

    def get_limit(self):
        return self.limit


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]


def gemm(handle, *arguments):
    launch(functools.partial(_multiply, *arguments))


streams = {}  # the pointer of the stream that a handle of cuBLAS works in


def gemm_in_a_stream(handle, *arguments):
    if current.captured and streams[handle] != current.streams[-1].ptr:
        raise CUDARuntimeError("a product is captured that belongs to another stream")
    gemm(handle, *arguments)


def gemm_outside_of_graphs(handle, *arguments):
    if current.captured:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    gemm(handle, *arguments)


def _multiply(transa, transb, m, n, k, alpha, a, a_kind, lda, b, b_kind, ldb, beta, c, c_kind, ldc, compute, algo):
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["dgemm" if c_kind == 1 else "sgemm"]
    number = ctypes.c_double if c_kind == 1 else ctypes.c_float
    assert (a_kind, c_kind, compute) in [(0, 0, 68), (0, 0, 77), (1, 1, 70), (14, 0, 68)] and a_kind == b_kind
    assert number.from_address(alpha).value == 1.0 and number.from_address(beta).value == 0.0

    def factor(address, leading, columns):
        kind = ctypes.c_uint16 if a_kind == 14 else number
        stored = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(kind)), (columns, leading)).copy()
        if a_kind == 14:  # bfloat16: the upper half of a float32
            return (stored.astype("uint32") << 16).view("float32")
        return rounded(stored, BITS[compute]) if compute in BITS else stored

    factors = factor(a, lda, m if transa else k), factor(b, ldb, k if transb else n)
    whole = [ctypes.byref(ctypes.c_int(each)) for each in (m, n, k, lda, ldb, ldc)]
    scales = [ctypes.byref(number(each)) for each in (1.0, 0.0)]
    first, second = (each.ctypes.data_as(ctypes.c_void_p) for each in factors)
    blas = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(_pointer(capsule, _name(capsule)))
    letters = [ctypes.c_char_p(b"NT"[each : each + 1]) for each in (transa, transb)]
    blas(
        *(ctypes.cast(letter, ctypes.c_void_p) for letter in letters),
        *(ctypes.cast(each, ctypes.c_void_p) for each in (*whole[:3], scales[0])),
        *(first, ctypes.cast(whole[3], ctypes.c_void_p), second, ctypes.cast(whole[4], ctypes.c_void_p)),
        *(ctypes.cast(scales[1], ctypes.c_void_p), ctypes.c_void_p(c), ctypes.cast(whole[5], ctypes.c_void_p)),
    )


def _products():
    return types.SimpleNamespace(
        COMPUTE_TYPE_DEFAULT=0,
        COMPUTE_TYPE_TF32=7,
        get_compute_type=lambda dtype: compute_types[np.dtype(dtype).name],
        set_compute_type=lambda dtype, kind: compute_types.update({np.dtype(dtype).name: kind}),
    )


def _module(name, **contents):
    module = types.ModuleType(name)
    vars(module).update(contents)
    return module


def _like(name, library, **contents):
    """Return a module with the names of NumPy's, computing on a device."""
    module = _module(name, **contents)
    for known in dir(library):
        given = getattr(library, known)
        if not known.startswith("_") and not isinstance(given, types.ModuleType):
            setattr(module, known, wrapped(given) if callable(given) and not isinstance(given, type) else given)
    return module


@functools.cache
def pretended_modules(devices=2):
    """Return the modules of a pretended CuPy and nvmath-python, by name."""
    cupy = _like("cupy", np, __version__="14.2.0", __path__=[])

    def array(data, dtype=None, copy=True):
        if isinstance(data, ndarray):
            return data.astype(data.dtype if dtype is None else dtype, copy=copy)
        return ndarray(np.array(data, dtype=dtype))

    def asnumpy(array):
        refuse_while_capturing()
        return array._host.copy()

    device = _module("cupy.cuda.device", Device=Device, get_cublas_handle=lambda: 815)
    runtime = types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: devices,
        getDevice=lambda: current.devices[-1],
        CUDA_R_32F=0,
        CUDA_R_64F=1,
        CUDA_R_16BF=14,
    )
    cuda = _module(
        "cupy.cuda",
        __path__=[],
        Device=Device,
        Stream=Stream,
        MemoryPool=MemoryPool,
        compiler=types.SimpleNamespace(CompileException=CompileException),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        device=device,
        runtime=runtime,
        using_allocator=lambda malloc: contextlib.nullcontext(),
        is_available=lambda: True,
    )
    vars(cupy).update(
        ndarray=ndarray,
        asarray=functools.partial(array, copy=False),
        array=array,
        asnumpy=asnumpy,
        ElementwiseKernel=ElementwiseKernel,
        RawKernel=raw_kernel,
        get_default_memory_pool=functools.cache(MemoryPool),
        cuda=cuda,
        linalg=_like("cupy.linalg", np.linalg),
        fft=_like("cupy.fft", np.fft),
        _core=types.SimpleNamespace(_routines_linalg=_products()),
    )
    constants = {
        "CUBLAS_OP_N": 0,
        "CUBLAS_OP_T": 1,
        "CUBLAS_GEMM_DEFAULT": -1,
        "CUBLAS_COMPUTE_64F": 70,
        "CUBLAS_COMPUTE_32F": 68,
    }
    constants |= {"CUBLAS_COMPUTE_32F_FAST_TF32": 77}
    cublas = _module("cupy_backends.cuda.libs.cublas", gemmEx=gemm_outside_of_graphs, **constants)
    libs = _module("cupy_backends.cuda.libs", cublas=cublas)
    bindings = _module(
        "nvmath.bindings.cublas",
        create=lambda: 816,
        set_stream=streams.__setitem__,
        set_workspace=lambda handle, place, size: None,
        gemm_ex=gemm_in_a_stream,
    )
    return {
        "cupy": cupy,
        "cupy.cuda": cuda,
        "cupy.cuda.device": device,
        "cupy.linalg": cupy.linalg,
        "cupy.fft": cupy.fft,
        "cupy_backends.cuda.libs": libs,
        "cupy_backends.cuda.libs.cublas": cublas,
        "nvmath.bindings": _module("nvmath.bindings", cublas=bindings),
        "nvmath.bindings.cublas": bindings,
    }


# Modules that keep a reference to the CuPy that they imported.
BOUND = ("array_api_compat.cupy", "portable_bp.backends.cupy", "portable_bp.backends.graph.printers.cuda")


def clear_caches():
    """Clear the cached backends, and the functions that were compiled for them."""
    selector._backend.cache_clear()
    cache.clear()
    if printer := sys.modules.get("portable_bp.backends.graph.printers.cuda"):
        printer.warn_once.cache_clear()


@contextlib.contextmanager
def pretending():
    """Replace ``cupy`` by the pretended one while the context is open."""
    pytest.importorskip("scipy", reason="SciPy, whose BLAS multiplies, is not installed")
    known = pretended_modules()
    own = {name: module for name, module in sys.modules.items() if name in known or name.startswith(BOUND)}
    for name in own:
        del sys.modules[name]
    sys.modules.update(known)
    clear_caches()
    try:
        yield
    finally:
        clear_caches()
        for name in [name for name in sys.modules if name in known or name.startswith(BOUND)]:
            known.setdefault(name, sys.modules.pop(name))
        sys.modules.update(own)
