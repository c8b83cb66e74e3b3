"""Elementary functions as source that Numba compiles to vector code: exp, expm1, log, log1p and tanh of one dtype.

There are no branches, calls or tables, only arithmetic, selections and bit patterns, so a loop around them is vectorized, and
an element gets the same bits wherever it stands. Zeros keep their signs, and denormal numbers, infinities and NaN are handled.

The coefficients are of minimax polynomials, fitted by the Remez algorithm with 60 digits to the relative error of the function.
The largest errors, in units in the last place, over all float32 numbers and over a million float64 numbers of each magnitude:

             exp   expm1  log   log1p  tanh
    float32  0.99  1.27   0.86  0.87   1.47
    float64  0.97  1.41   0.83  0.86   1.46
"""

from __future__ import annotations

import re
from typing import Any

# (exp(r) - 1 - r) / r^2 in powers of r, where abs(r) <= log(2) / 2
EXP = {
    32: (
        0.5000000044219716,
        0.16666666814240683,
        0.041666360710085754,
        0.008333273615739304,
        0.0013940643309740622,
        0.00019913896676614011,
    ),
    64: (
        0.5,
        0.16666666666666677,
        0.0416666666666667,
        0.008333333333321908,
        0.0013888888888867392,
        0.0001984126988549334,
        2.4801587359667954e-05,
        2.755724479400338e-06,
        2.7557243402629975e-07,
        2.5108847422027622e-08,
        2.0924270242497015e-09,
    ),
}
# (2 atanh(s) - 2 s) / s^3 in powers of s^2, where abs(s) <= 3 - sqrt(8)
LOG = {
    32: (0.6666666568402294, 0.40000328466308205, 0.28537662243721923, 0.2357636105222506),
    64: (
        0.6666666666666726,
        0.39999999999457975,
        0.2857142873417337,
        0.22222199318847471,
        0.18183529247277938,
        0.15314875877022882,
        0.14788268058930862,
    ),
}
# (x - tanh(x)) / x^3 in powers of x^2, where abs(x) <= 0.55
TANH = {
    32: (0.3333331837859789, -0.13332609174044036, 0.05385439698873526, -0.021079255044139524, 0.006283799209606644),
    64: (
        0.33333333333333304,
        -0.13333333333327357,
        0.05396825396411047,
        -0.021869488394379008,
        0.008863232723385414,
        -0.0035920931248986823,
        0.001455549185183397,
        -0.0005884681616591278,
        0.00023343661628324924,
        -8.338892295389358e-05,
        1.9535942145895925e-05,
    ),
}
# Sums of two numbers; a power of two's exponent times the first of log(2) is exact.
LN2 = {32: (0.693145751953125, 1.4286068203094173e-06), 64: (0.6931471803691238, 1.9082149292705877e-10)}
LOG2E = {32: 1.4426950216293335, 64: 1.4426950408889634}

# F and I stand for the dtype, and for the integers of its size.
TEXT = """
@inlined
def _reduce(x):  # x = k log(2) + r: k as an integer, r, exp(r) - 1 - r
    t = x * F({log2e}) + F({magic})  # leaves k in the lowest bits of t
    k = t - F({magic})
    r = (x - k * F({ln2[0]})) - k * F({ln2[1]})
    return I(F(t).view(I) - I({magic_bits})), r, r * r * ({exp})

@inlined
def _power2(k):
    return I((k + {bias}) << {mantissa}).view(F)

@inlined
def _copysign(x, y):
    return I((F(x).view(I) & I({no_sign})) | (F(y).view(I) & ~I({no_sign}))).view(F)

@inlined
def exp(x):
    x = F({exp_max}) if x > F({exp_max}) else F({exp_min}) if x < F({exp_min}) else x
    k, r, q = _reduce(x)
    half = I(k >> 1)  # 2**k itself may be out of range
    return (F(1) + (r + q)) * _power2(half) * _power2(I(k - half))

@inlined
def expm1(x):
    y = F({exp_max}) if x > F({exp_max}) else F(-50) if x < F(-50) else x
    k, r, q = _reduce(y)
    large = y > F(60)
    p = _power2(k - 1 if large else k)
    y = ((p * r + (p - F(1))) + p * q) * (F(2) if large else F(1))
    return _copysign(y, x)

@inlined
def _split(x):  # x = 2**k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)
    t = F(x).view(I) + I({one_minus_sqrth})
    k = I(((t >> {mantissa}) & {exponents}) | {shifter_bits}).view(F) - F({shifter})
    return k, I((t & {fraction}) + {sqrth}).view(F) - F(1)

@inlined
def _log_tail(f):  # log(1 + f) - f
    s = f / (F(2) + f)
    z = s * s
    h = F(0.5) * f * f
    return s * (h + z * ({log})) - h

@inlined
def _log_ends(x, zero, y):  # y with its values for x <= zero, infinity and NaN
    y = y if x > zero else F(-np.inf) if x == zero else F(np.nan)
    return y if x < F(np.inf) else x if x > zero else F(np.nan)

@inlined
def _split_all(x):  # _split for denormal numbers as well
    tiny = x < F({normal})
    k, f = _split(x * F({lift}) if tiny else x)
    return k - F({lift_k}) if tiny else k, f

@inlined
def log(x):
    k, f = _split_all(x)
    y = k * F({ln2[0]}) + (f + (_log_tail(f) + k * F({ln2[1]})))
    return _log_ends(x, F(0), y)

@inlined
def log1p(x):
    u = F(1) + x
    v = u - F(1)
    c = ((F(1) - (u - v)) + (x - v)) / u  # what the sum lost
    k, f = _split(u)
    near = k == F(0)
    f = x if near else f
    c = k * F({ln2[1]}) + (F(0) if near else c)
    y = k * F({ln2[0]}) + (f + (_log_tail(f) + c))
    return _copysign(_log_ends(x, F(-1), y), x)

@inlined
def tanh(x):
    a = abs(x)
    z = a * a
    near = a - a * (z * ({tanh}))
    k, r, q = _reduce(F(40) if a > F(20) else a + a)
    far = F(1) - F(2) / ((F(1) + (r + q)) * _power2(k) + F(1))
    return _copysign(near if a < F(0.55) else far, x)
"""


def source(dtype: str) -> str:
    """Return the source of the functions of "float32" or "float64"."""
    bits = int(dtype[-2:])
    mantissa, exponent = {32: (23, 8), 64: (52, 11)}[bits]
    bias = 2 ** (exponent - 1) - 1
    root_half = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}[bits]  # the bits of sqrt(1/2)
    values: dict[str, Any] = {
        "magic": 1.5 * 2.0**mantissa,
        "magic_bits": (bias + mantissa << mantissa) + (1 << mantissa - 1),
        "bias": bias,
        "mantissa": mantissa,
        "no_sign": 2 ** (bits - 1) - 1,
        "exp_max": {32: 89, 64: 710}[bits],
        "exp_min": {32: -104, 64: -746}[bits],
        "sqrth": root_half,
        "one_minus_sqrth": (bias << mantissa) - root_half,
        "exponents": 2**exponent - 1,
        "fraction": 2**mantissa - 1,
        "shifter_bits": bias + mantissa << mantissa,
        "shifter": 2.0**mantissa + bias,
        "normal": 2.0 ** (1 - bias),
        "lift": 2.0 ** (mantissa + 1),
        "lift_k": mantissa + 1,
        "ln2": LN2[bits],
        "log2e": LOG2E[bits],
        "exp": _horner("r", EXP[bits]),
        "log": _horner("z", LOG[bits]),
        "tanh": _horner("z", TANH[bits]),
    }
    text = TEXT.format(**values)
    for short, name in (("F", dtype), ("I", f"int{bits}")):
        text = re.sub(rf"\b{short}(?=[()])", f"np.{name}", text)
    return text


def _horner(variable: str, coefficients: tuple[float, ...]) -> str:
    text = f"F({coefficients[-1]!r})"
    for coefficient in reversed(coefficients[:-1]):
        text = f"F({coefficient!r}) + {variable} * ({text})"
    return text
