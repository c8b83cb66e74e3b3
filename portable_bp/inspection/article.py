"""The article's network, and the values that the article prints.

The article works backpropagation by hand for a 2-4-3-2 network of sigmoids without biases. It rounds every result to 4
decimals and continues with the rounded value.
"""

from __future__ import annotations

WEIGHTS = (
    ((0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.7, 0.8)),
    ((0.25, 0.30, 0.35, 0.40), (0.45, 0.50, 0.55, 0.60), (0.65, 0.70, 0.75, 0.80)),
    ((0.3, 0.4, 0.5), (0.6, 0.7, 0.8)),
)
INPUTS = (1.0, 0.0)
TARGET = (0.0, 1.0)

# Section 5.1: the network should swap its two inputs.
SWAP_INPUTS = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
SWAP_TARGETS = ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0))

PRINTED = {
    "net_b": (0.1, 0.3, 0.5, 0.7),
    "out_b": (0.5250, 0.5744, 0.6225, 0.6682),
    "net_c": (0.7887, 1.2667, 1.7448),
    "out_c": (0.6876, 0.7802, 0.8513),
    "net_d": (0.9441, 1.6397),
    "out_d": (0.7199, 0.8375),
}

# The correct values of misprints: 0.3 * 0.6876 + 0.4 * 0.7802 + 0.5 * 0.8513 = 0.94401; without rounding it is 0.94398.
MISPRINTS = {"net_d1": 0.9440}
