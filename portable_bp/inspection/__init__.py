"""Look at a network without changing it: the worked example and the gradient check."""

from portable_bp.inspection.example import article_table, named_numbers
from portable_bp.inspection.gradient_check import GradientCheck, compare_gradient
from portable_bp.inspection.trace import LayerTrace, Trace, trace_network

__all__ = ["GradientCheck", "LayerTrace", "Trace", "article_table", "compare_gradient", "named_numbers", "trace_network"]
