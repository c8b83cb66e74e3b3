"""The standard normal distribution, computed with elementwise functions of the array API standard, which has no erf.

For positive x, 1 - Phi(x) is the density times Mills' ratio, approximated by a ratio of polynomials as in W. J. Cody
(doi:10.1090/S0025-5718-1969-0247736-4). All of their coefficients are positive, so no digits cancel. They were fitted by
Lawson-weighted least squares with 50 digits to sqrt(pi / 2) exp(x^2 / 2) erfc(x / sqrt(2)) on [0, 40], where their relative
error is at most 6.3e-17.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from portable_bp.algorithm.arrays import Array, namespace

# Coefficients of the polynomials, lowest power first.
NUMERATOR = (
    1.2533141373155002,
    1.9439205105962542,
    1.4913587710447669,
    0.72688810694741756,
    0.24562764973819113,
    0.059434880667996413,
    0.010297272459194421,
    0.0012360184869783947,
    9.3986726805161334e-5,
    3.4999610222627976e-6,
)
DENOMINATOR = (
    1.0,
    2.3489087236356297,
    2.5640901433589044,
    1.7173278943032641,
    0.78388618558795253,
    0.25573693753707578,
    0.060663899636053302,
    0.010391259175512077,
    0.0012395184481852249,
    9.3986726803210909e-5,
    3.4999610222720781e-6,
)
LIMIT = 40.0  # beyond it the density is zero in float64


def normal_distribution(x: Array) -> Array:
    """Return Phi(x) = (1 + erf(x / sqrt(2))) / 2.

    In float64 the absolute error is less than 3e-16, and for negative x the relative error is less than (1 + x^2) * 3e-16.
    """
    xp = namespace(x)
    distance = xp.minimum(xp.abs(x), LIMIT)
    ratio = _polynomial(NUMERATOR, distance) / _polynomial(DENOMINATOR, distance)
    beyond = normal_density(distance) * ratio
    return xp.where(x < 0.0, beyond, 1.0 - beyond)


def normal_density(x: Array) -> Array:
    """Return exp(-x^2 / 2) / sqrt(2 pi)."""
    xp = namespace(x)
    distance = xp.minimum(xp.abs(x), LIMIT)  # its square does not overflow
    return xp.exp(-0.5 * distance * distance) / math.sqrt(2.0 * math.pi)


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return the value of a polynomial, by Horner's rule."""
    value = coefficients[-1] * x + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        value = value * x + coefficient
    return value
