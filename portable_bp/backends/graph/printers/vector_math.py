"""Elementary functions as plain source text which numba compiles to vector code.

`source(dtype)` is Python text that defines `_exp`, `_expm1`, `_log`, `_log2`,
`_log10`, `_log1p`, `_tanh`, `_sin` and `_cos` for one dtype, to be pasted into a
generated module that has imported numpy as `np` and defines the decorator
`_inline = numba.njit(fastmath={'contract'}, error_model='numpy')`. Arguments must
be of exactly that dtype: a float64 one would widen the float32 functions.

There are no branches, calls or table look-ups, only arithmetic, selections and bit
patterns, so a loop around them is vectorized, and an element gets the same bits
wherever it stands. Zeros keep their signs, and denormal numbers, infinities and NaN
are handled everywhere; `_sin` and `_cos` are valid for |x| <= SIN_LIMIT only.

The tables are minimax polynomials (Remez, 60 digits, relative error of the function
as the weight), rounded. Largest errors in units in the last place of the exact
result, over all 2**32 values of float32, and over samples for float64:

             exp   expm1  log   log2  log10  log1p  tanh  sin   cos
    float32  0.99  1.27   0.86  1.03  0.96   0.87   1.47  1.54  1.54
    float64  0.97  1.41   0.83  1.02  0.95   0.86   1.46  1.46  1.46

Without fused multiply-add (`contract` left out, or an old processor) _log2 and
_log10 reach 1.95, the others stay as they are within 0.05.
"""

import re

SIN_LIMIT = 1.6e6  # up to here the multiples of pi/2 are exact, 2**20 of them

_EXP = {  # (exp(r) - 1 - r) / r**2 in powers of r, |r| <= log(2)/2
    32: (0.5000000044219716, 0.16666666814240683, 0.041666360710085754,
         0.008333273615739304, 0.0013940643309740622, 0.00019913896676614011),
    64: (0.5, 0.16666666666666677, 0.0416666666666667, 0.008333333333321908,
         0.0013888888888867392, 0.0001984126988549334, 2.4801587359667954e-05,
         2.755724479400338e-06, 2.7557243402629975e-07, 2.5108847422027622e-08,
         2.0924270242497015e-09)}
_LOG = {  # (2 atanh(s) - 2 s) / s**3 in powers of s**2, |s| <= 3 - sqrt(8)
    32: (0.6666666568402294, 0.40000328466308205, 0.28537662243721923,
         0.2357636105222506),
    64: (0.6666666666666726, 0.39999999999457975, 0.2857142873417337,
         0.22222199318847471, 0.18183529247277938, 0.15314875877022882,
         0.14788268058930862)}
_TANH = {  # (x - tanh(x)) / x**3 in powers of x**2, |x| <= 0.55
    32: (0.3333331837859789, -0.13332609174044036, 0.05385439698873526,
         -0.021079255044139524, 0.006283799209606644),
    64: (0.33333333333333304, -0.13333333333327357, 0.05396825396411047,
         -0.021869488394379008, 0.008863232723385414, -0.0035920931248986823,
         0.001455549185183397, -0.0005884681616591278, 0.00023343661628324924,
         -8.338892295389358e-05, 1.9535942145895925e-05)}
_SIN = {  # (sin(r) - r) / r**3 in powers of r**2, |r| <= pi/4
    32: (-0.16666654984582774, 0.008332179710827434, -0.00019517432125209974),
    64: (-0.16666666666666632, 0.008333333333322536, -0.00019841269829885109,
         2.75573137138539e-06, -2.505076100501737e-08, 1.589693927903709e-10)}
_COS = {  # (cos(r) - 1 + r**2/2) / r**4 in powers of r**2, |r| <= pi/4
    32: (0.041666647090648705, -0.0013887376395514152, 2.443930230121361e-05),
    64: (0.041666666666666616, -0.001388888888887611, 2.48015872905612e-05,
         -2.7557314629782716e-07, 2.0875757408500633e-09, -1.1361267823756598e-11)}
_SPLIT = {  # sums of two numbers; an exponent times the first of log(2), log10(2) is exact
    32: dict(ln2=(0.693145751953125, 1.4286068203094173e-06),
             log10_2=(0.301025390625, 4.605038981195214e-06),
             log2e=(1.4426950216293335, 1.9259629911266175e-08),
             log10e=(0.4342944920063019, -1.0103050052231683e-08)),
    64: dict(ln2=(0.6931471803691238, 1.9082149292705877e-10),
             log10_2=(0.3010299955494702, 1.1451100898021838e-10),
             log2e=(1.4426950408889634, 2.0355273740931033e-17),
             log10e=(0.4342944819032518, 1.098319650216765e-17))}

_TEXT = '''
@_inline
def _reduce(x):  # x = k log(2) + r: k as an integer, r, exp(r) - 1 - r
    t = x * F({log2e[0]}) + F({magic})  # leaves k in the lowest bits of t
    k = t - F({magic})
    r = (x - k * F({ln2[0]})) - k * F({ln2[1]})
    return I(F(t).view(I) - I({magic_bits})), r, r * r * ({exp})

@_inline
def _power2(k):
    return I((k + {bias}) << {mantissa}).view(F)

@_inline
def _copysign(x, y):
    return I((F(x).view(I) & I({no_sign})) | (F(y).view(I) & ~I({no_sign}))).view(F)

@_inline
def _exp(x):
    x = F({exp_max}) if x > F({exp_max}) else F({exp_min}) if x < F({exp_min}) else x
    k, r, q = _reduce(x)
    half = I(k >> 1)  # 2**k itself may be out of range
    return (F(1) + (r + q)) * _power2(half) * _power2(k - half)

@_inline
def _expm1(x):
    y = F({exp_max}) if x > F({exp_max}) else F(-50) if x < F(-50) else x
    k, r, q = _reduce(y)
    large = y > F(60)
    p = _power2(k - 1 if large else k)
    y = ((p * r + (p - F(1))) + p * q) * (F(2) if large else F(1))
    return _copysign(y, x)

@_inline
def _split(x):  # x = 2**k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)
    t = F(x).view(I) + I({one_minus_sqrth})
    k = I(((t >> {mantissa}) & {exponents}) | {shifter_bits}).view(F) - F({shifter})
    return k, I((t & {fraction}) + {sqrth}).view(F) - F(1)

@_inline
def _log_tail(f):  # log(1 + f) - f
    s = f / (F(2) + f)
    z = s * s
    h = F(0.5) * f * f
    return s * (h + z * ({log})) - h

@_inline
def _log_ends(x, zero, y):  # y with its values for x <= zero, infinity and NaN
    y = y if x > zero else F(-np.inf) if x == zero else F(np.nan)
    return y if x < F(np.inf) else x if x > zero else F(np.nan)

@_inline
def _split_all(x):  # _split for denormal numbers as well
    tiny = x < F({normal})
    k, f = _split(x * F({lift}) if tiny else x)
    return k - F({lift_k}) if tiny else k, f

@_inline
def _log(x):
    k, f = _split_all(x)
    y = k * F({ln2[0]}) + (f + (_log_tail(f) + k * F({ln2[1]})))
    return _log_ends(x, F(0), y)

@_inline
def _log2(x):
    k, f = _split_all(x)
    y = k + (f * F({log2e[0]}) + (_log_tail(f) * F({log2e[0]}) + f * F({log2e[1]})))
    return _log_ends(x, F(0), y)

@_inline
def _log10(x):
    k, f = _split_all(x)
    y = (_log_tail(f) * F({log10e[0]}) + f * F({log10e[1]})) + k * F({log10_2[1]})
    return _log_ends(x, F(0), k * F({log10_2[0]}) + (f * F({log10e[0]}) + y))

@_inline
def _log1p(x):
    u = F(1) + x
    v = u - F(1)
    c = ((F(1) - (u - v)) + (x - v)) / u  # what the sum lost
    k, f = _split(u)
    near = k == F(0)
    f = x if near else f
    c = k * F({ln2[1]}) + (F(0) if near else c)
    y = k * F({ln2[0]}) + (f + (_log_tail(f) + c))
    return _copysign(_log_ends(x, F(-1), y), x)

@_inline
def _tanh(x):
    a = abs(x)
    z = a * a
    near = a - a * (z * ({tanh}))
    k, r, q = _reduce(F(40) if a > F(20) else a + a)
    far = F(1) - F(2) / ((F(1) + (r + q)) * _power2(k) + F(1))
    return _copysign(near if a < F(0.55) else far, x)

@_inline
def _sin_shifted(x, shift, sign):  # sin(|x| + shift pi/2), sign bits flipped
    x = D(abs(x))
    t = x * D(0.6366197723675814) + D(6755399441055744)
    k = t - D(6755399441055744)
    a = x - k * D(1.5707963267341256)  # pi/2 in three parts, the first two of 33 bits
    b = k * D(6.077100506303966e-11)
    d = a - b
    r = F(d - (k * D(2.0222662487959506e-21) - ((a - d) - b)))
    k = I(D(t).view(L)) + shift
    z = r * r
    h = F(0.5) * z
    w = F(1) - h
    c = w + (((F(1) - w) - h) + z * z * ({cos}))
    y = c if k & 1 else r + r * (z * ({sin}))
    return I(F(y).view(I) ^ (((k & 2) << {sign_shift}) ^ sign)).view(F)

@_inline
def _sin(x):
    return _sin_shifted(x, I(0), F(x).view(I) & ~I({no_sign}))

@_inline
def _cos(x):
    return _sin_shifted(x, I(1), I(0))
'''


def _horner(variable, table):
    text = f'F({table[-1]!r})'
    for c in reversed(table[:-1]):
        text = f'F({c!r}) + {variable} * ({text})'
    return text


def source(dtype):
    """The text for dtype 'float32' or 'float64'."""
    bits = int(dtype[-2:])
    mantissa, exponent = {32: (23, 8), 64: (52, 11)}[bits]
    bias = 2 ** (exponent - 1) - 1
    one = bias << mantissa
    sqrth = {32: 0x3f3504f3, 64: 0x3fe6a09e667f3bcd}[bits]
    values = dict(
        **_SPLIT[bits],
        magic=1.5 * 2.0 ** mantissa,
        magic_bits=(bias + mantissa << mantissa) + (1 << mantissa - 1),
        bias=bias, mantissa=mantissa, no_sign=2 ** (bits - 1) - 1,
        exp_max={32: 89, 64: 710}[bits], exp_min={32: -104, 64: -746}[bits],
        sqrth=sqrth, one_minus_sqrth=one - sqrth, exponents=2 ** exponent - 1,
        fraction=2 ** mantissa - 1, shifter_bits=bias + mantissa << mantissa,
        shifter=2.0 ** mantissa + bias, normal=2.0 ** (1 - bias),
        lift=2.0 ** (mantissa + 1), lift_k=mantissa + 1,
        exp=_horner('r', _EXP[bits]), log=_horner('z', _LOG[bits]),
        tanh=_horner('z', _TANH[bits]), sin=_horner('z', _SIN[bits]),
        cos=_horner('z', _COS[bits]), sign_shift=bits - 2)
    text = _TEXT.format(**values)
    for short, name in zip('FIDL', (dtype, f'int{bits}', 'float64', 'int64')):
        text = re.sub(rf'\b{short}(?=[()])', 'np.' + name, text)
    return text
