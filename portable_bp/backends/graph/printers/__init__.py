"""What runs a scheduled graph: as a list of calls of a library (NumPy, PyTorch, CuPy), or as compiled code."""
