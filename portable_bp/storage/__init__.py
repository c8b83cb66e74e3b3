"""Model files and checkpoints: named arrays and a header of facts about them."""

from portable_bp.storage.atomic_writing import replace_file
from portable_bp.storage.json_depth import read_json
from portable_bp.storage.named_arrays import Contents, ModelFileError, read_arrays, write_arrays
from portable_bp.storage.packing import put_together, take_apart

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
