"""Look at a network without changing it: the worked example, the gradient check and the drawing."""

from portable_bp.inspection.drawing import draw
from portable_bp.inspection.example import article_table, named_numbers
from portable_bp.inspection.gradient_check import CheckedNetwork, GradientCheck, LayerCheck, WorstSlope, compare_gradient
from portable_bp.inspection.piece_check import PieceCheck
from portable_bp.inspection.trace import LayerTrace, Trace, trace_network

__all__ = [
    "CheckedNetwork",
    "GradientCheck",
    "LayerCheck",
    "LayerTrace",
    "PieceCheck",
    "Trace",
    "WorstSlope",
    "article_table",
    "compare_gradient",
    "draw",
    "named_numbers",
    "trace_network",
]
