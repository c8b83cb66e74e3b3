"""Named arrays and facts about them, in and out of the process: model files and checkpoints."""

from portable_bp.storage.arrays import Contents, ModelFileError, read_arrays, write_arrays
from portable_bp.storage.nesting import read_json
from portable_bp.storage.packing import put_together, take_apart
from portable_bp.storage.replacing import replace_file

__all__ = [
    "Contents",
    "ModelFileError",
    "put_together",
    "read_arrays",
    "read_json",
    "replace_file",
    "take_apart",
    "write_arrays",
]
