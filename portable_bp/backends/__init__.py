"""Where arrays live: the contract of a backend, one file for each library, and the selector."""

from portable_bp.backends.cache import compiled, looped
from portable_bp.backends.chunks import joined, spans
from portable_bp.backends.contract import Backend, BackendInfo, BackendUnavailableError, Memory
from portable_bp.backends.graph.printers.machine_code import state as compilation_state
from portable_bp.backends.loops import is_built_in
from portable_bp.backends.memory import OutOfMemoryError, advise_fewer, advise_smaller, attempt, release_frames
from portable_bp.backends.pickling import carried
from portable_bp.backends.rows import Rows
from portable_bp.backends.selector import available_backends, backend_of, select_backend

__all__ = [
    "Backend",
    "BackendInfo",
    "BackendUnavailableError",
    "Memory",
    "OutOfMemoryError",
    "Rows",
    "advise_fewer",
    "advise_smaller",
    "attempt",
    "available_backends",
    "backend_of",
    "carried",
    "compilation_state",
    "compiled",
    "is_built_in",
    "joined",
    "looped",
    "release_frames",
    "select_backend",
    "spans",
]
