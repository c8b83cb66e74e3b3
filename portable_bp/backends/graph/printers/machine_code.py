"""Compile generated Python source with Numba, once for each user and kind of CPU, and load the machine code without Numba.

A source defines ``run(steps, arrays, sizes, numbers)``: a count and three addresses. The machine code refers to nothing but
these, so it is kept in a file as it is, named by a hash of all that it depends on. Loading it needs only llvmlite, which takes
a hundredth of the time that Numba and a compilation take.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from portable_bp.backends.graph.printers.calls import compile_mode

VERSION = 2  # of what is in a file
_loaded: list[Any] = []  # engines, which own the machine code


@functools.cache
def _is_installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def is_available() -> bool:
    """Return whether Numba is installed and compiled steps are not turned off."""
    return compile_mode() != "never" and _is_installed()


def state() -> str:
    """Return whether steps are compiled, and what to do if they are not."""
    if not _is_installed():
        return "not compiled: pip install 'portable-bp[numba]'"
    if not is_available():
        return "not compiled: PORTABLE_BP_COMPILE=0 turns it off"
    from importlib.metadata import version

    return f"compiled by Numba {version('numba')}, and kept in {cache_folder()}"


def cache_folder() -> Path:
    """Return the folder of compiled steps: of the user, as each system has it."""
    if given := os.environ.get("PORTABLE_BP_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "portable-bp"


def compiled(source: str, is_llvm: bool = False) -> Callable[..., Any]:
    """Return the compiled ``run`` of a source, from the cache if it is there; raise an error if it cannot be compiled.

    The source is Python's, for Numba, or already LLVM's.
    """
    found = _find(source, is_llvm)
    if isinstance(found, Exception):
        raise found
    return found


@functools.lru_cache(maxsize=256)
def _find(source: str, is_llvm: bool) -> Callable[..., Any] | Exception:
    try:
        return _make(source, is_llvm)
    except Exception as error:  # remembered, since to fail again would take as long
        return error


def _make(source: str, is_llvm: bool) -> Callable[..., Any]:
    import hashlib  # here, since most processes compile nothing

    import llvmlite
    import llvmlite.binding as llvm

    kind = f"{VERSION}\n{llvmlite.__version__}\n{llvm.get_process_triple()}\n{_cpu(llvm)}\n{source}"
    path = cache_folder() / f"{hashlib.sha256(kind.encode()).hexdigest()}.o"
    code = _read(path)
    if code is None:
        code = _optimized(_parsed(source, llvm) if is_llvm else _translated(source, llvm), llvm)
        _write(path, code)
    return _load(code, llvm)


@functools.cache
def vector_bytes() -> int:
    """Return the bytes of the CPU's vector registers."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def _cpu(llvm: Any) -> tuple[str, str]:
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _target_machine(llvm: Any) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _cpu(llvm)
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3, reloc="pic", codemodel="jitdefault", jit=True)


def _read(path: Path) -> bytes | None:
    """Return the machine code in a file; None if there is none, or it is damaged."""
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if len(data) > 4 and zlib.crc32(data[4:]) == int.from_bytes(data[:4], "little"):
            return data[4:]
    return None


def _write(path: Path, code: bytes) -> None:
    """Write machine code to a file, whole or not at all; a folder that cannot be written costs only time."""
    import tempfile

    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(zlib.crc32(code).to_bytes(4, "little") + code)
        os.replace(file.name, path)


def _load(code: bytes, llvm: Any) -> Callable[..., Any]:
    """Return the function in machine code, which begins with a line of the names that it refers to."""
    import ctypes

    names, _, code = code.partition(b"\n")
    for name, address in [*_c_functions().items(), *((name, _c_functions()["abort"]) for name in names.decode().split())]:
        if llvm.address_of_symbol(name) is None:  # Numba's own, where it is loaded, stay
            llvm.add_symbol(name, address)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine(llvm))
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _loaded.append(engine)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(engine.get_function_address("run"))


@functools.cache
def _c_functions() -> dict[str, int]:
    """Return the addresses of the C functions that machine code may call."""
    import ctypes

    numeric = ("pow", "sin", "cos", "tan", "sinh", "cosh", "atan", "floor", "ceil", "sqrt", "fma", "fmod")
    names = ["abort", "memset", "memcpy", "memmove", *numeric, *(f"{name}f" for name in numeric)]
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    return {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names}


def _parsed(source: str, llvm: Any) -> Any:
    """Return the module of LLVM's source, for this machine."""
    module = llvm.parse_assembly(source)
    module.triple = llvm.get_process_triple()
    module.data_layout = str(_target_machine(llvm).target_data)
    return module


def _translated(source: str, llvm: Any) -> Any:
    """Return the module that Numba makes of Python source."""
    from numba import cfunc, int64, void

    from portable_bp.backends.graph.printers import intrinsics

    names = dict(vars(intrinsics))
    exec(compile(source, "<a training step>", "exec"), names)
    with _unoptimized():
        function = cfunc(void(int64, int64, int64, int64), **intrinsics.OPTIONS)(names["run"])
    module = llvm.parse_assembly(function.inspect_llvm())
    for each in module.functions:
        if each.name == function.native_name:
            each.name = "run"
    return module


def _optimized(module: Any, llvm: Any) -> bytes:
    """Return the machine code of a module, after a line of the names that it refers to, all of them for errors."""
    machine = _target_machine(llvm)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    declared = [each.name for each in (*module.functions, *module.global_variables) if each.is_declaration]
    others = [name for name in declared if not name.startswith("llvm.") and name not in _c_functions()]
    if unknown := [name for name in others if not name.startswith(("numba_", "NRT_", "Py", "_Py", ".numba"))]:
        raise TypeError(f"{', '.join(unknown)} cannot be called from compiled code")
    return " ".join(others).encode() + b"\n" + machine.emit_object(module)


@contextlib.contextmanager
def _unoptimized() -> Iterator[None]:
    """Let Numba optimize nothing: it would optimize every inner function by itself, and then again what it is called from."""
    from numba.core import config
    from numba.core.compiler_lock import global_compiler_lock

    settings: Any = config
    with global_compiler_lock:  # so that no other thread compiles something else meanwhile
        level, settings.OPT = settings.OPT, type(settings.OPT)(0)
        try:
            yield
        finally:
            settings.OPT = level
