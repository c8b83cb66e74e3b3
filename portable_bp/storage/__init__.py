"""Named arrays and facts about them, in and out of the process: model files, checkpoints, ONNX."""

from portable_bp.storage.arrays import Contents, ModelFileError, read_arrays, write_arrays
from portable_bp.storage.replacing import replace_file

__all__ = ["Contents", "ModelFileError", "read_arrays", "replace_file", "write_arrays"]
