"""Record the calls of one training step and replay them: how NumPy, CuPy and PyTorch do without a compiler.

Start reading at ``recording`` (what a step does), then ``program`` (in which order, and where results are stored),
``executable`` (buffers allocated, calls bound to them) and ``loop`` (when a step is replayed). Code for one library is in a
module of its own; CuPy's replays calls recorded from NumPy and fuses the elementwise ones into kernels (``kernels``).
"""
