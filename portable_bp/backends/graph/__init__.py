"""A recorded step: how NumPy, CuPy and PyTorch repeat a step without their own compiler.

A step passes through these modules in order: ``trace`` records it as a graph of operations (``ir``), ``passes`` make the graph
cheaper, ``schedule`` says what runs together, ``buffers`` where results are stored, and one of ``printers`` makes calls or
compiled code of it. ``loop`` decides when to do so, and compares a replayed step with a called one (``trial``).
"""
