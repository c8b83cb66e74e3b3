"""A loop that records a step's calls and plays them: what NumPy and PyTorch have in place of a compiler.

Read `tape` (what a step does), then `plan` (in which order, and where results lie), then `player` (doing it).
"""
