"""A loop that records a step's calls and plays them: what NumPy, CuPy and PyTorch have in place of a compiler.

Read `tape` (what a step does), then `plan` (in which order, and where results lie), then `player` (doing it). How each library
does it best is in its own module; CuPy's records NumPy's calls, and fuses the elementwise ones (`fused_calls`).
"""
