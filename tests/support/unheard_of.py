"""An array library that the package does not know: a minimal wrapper of NumPy with few names beyond the standard's."""

import operator
import sys

import numpy as np

float32, float64, int32, nan = np.dtype("float32"), np.dtype("float64"), np.dtype("int32"), float("nan")


class Array:
    def __init__(self, inside):
        self.inside = np.asarray(inside)

    shape = property(lambda self: self.inside.shape)
    ndim = property(lambda self: self.inside.ndim)
    dtype = property(lambda self: self.inside.dtype)
    device = property(lambda self: "nowhere")
    mT = property(lambda self: Array(self.inside.mT))

    def __array_namespace__(self, api_version=None):
        return sys.modules[__name__]

    def to_device(self, device):
        return self

    def __getitem__(self, key):
        return Array(self.inside[key])

    def __float__(self):
        raise TypeError("converting to a Python number would make the host wait")

    __int__ = __bool__ = __index__ = __float__


def bare(given):
    assert isinstance(given, Array | int | float), type(given)
    return given.inside if isinstance(given, Array) else given


def operation(name):
    function = getattr(operator, name)

    def method(self, *others):
        return Array(function(self.inside, *map(bare, others)))

    def reflected(self, other):
        return Array(function(bare(other), self.inside))

    setattr(Array, f"__{name}__", method)
    setattr(Array, f"__r{name}__", reflected)


for name in ("add", "sub", "mul", "truediv", "pow", "matmul", "neg", "gt", "lt", "ge", "le", "eq", "and_"):
    operation(name)
Array.__and__ = Array.__and___


def elementwise(name):
    function = getattr(np, name)
    return lambda *given: Array(function(*map(bare, given)))


ELEMENTWISE = ["abs", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "cos", "floor", "sign", "maximum", "minimum", "where"]
for name in [*ELEMENTWISE, "isfinite", "zeros_like"]:
    globals()[name] = elementwise(name)


def sum(x, /, *, axis=None, keepdims=False):
    return Array(np.sum(x.inside, axis=axis, keepdims=keepdims))


def mean(x, /, *, axis=None):
    return Array(np.mean(x.inside, axis=axis))


def max(x, /, *, axis=None, keepdims=False):
    return Array(np.max(x.inside, axis=axis, keepdims=keepdims))


def astype(x, dtype, /):
    return Array(x.inside.astype(dtype))


def asarray(x, /, *, dtype=None, device=None):
    return Array(np.asarray(x, dtype=dtype))


def zeros(shape, *, dtype, device):
    assert device == "nowhere"
    return Array(np.zeros(shape, dtype))


def arange(stop, /, *, dtype, device):
    assert device == "nowhere"
    return Array(np.arange(stop, dtype=dtype))


def finfo(dtype):
    return np.finfo(dtype)


def isdtype(dtype, kind):
    return np.isdtype(dtype, kind)
