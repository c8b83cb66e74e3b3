"""Look at a network without changing it: traces and their explanation, the gradient check, and the drawing.

Only traces are imported here: the others are not needed to train.
"""

from portable_bp.inspection.trace import LayerTrace, Trace, trace_network

__all__ = ["LayerTrace", "Trace", "trace_network"]
