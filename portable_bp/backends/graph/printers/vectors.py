"""Values of generated LLVM code: single numbers, and vectors with a lane for each of several networks.

A value takes part in Python expressions, which append instructions, so the source of ``vector_math`` runs on values as it is.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from portable_bp.backends.graph.printers.vector_math import source as vector_math

TYPES = {
    **{"float32": ir.FloatType(), "float64": ir.DoubleType()},
    **{"int32": ir.IntType(32), "int64": ir.IntType(64), "bool": ir.IntType(1)},
}
STORED = TYPES | {"bool": ir.IntType(8)}  # in memory
BYTES = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "bool": 1}
CONTRACT = ("contract",)  # a product and a sum may become one instruction, as in the code that Numba compiles
SCALAR_ONLY = ("sin", "cos", "tan", "sinh", "cosh", "atan")  # functions of C, called lane by lane


def type_of(number: Any, lanes: int) -> Any:
    """Return the type of a vector of numbers of a type; of one number without lanes."""
    return ir.VectorType(number, lanes) if lanes else number


class Value:
    """A number of a dtype, or a vector of them, in the code that a builder appends to."""

    def __init__(self, builder: Any, value: Any, dtype: str) -> None:
        self.builder, self.value, self.dtype = builder, value, dtype

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point number."""
        return self.dtype.startswith("float")

    @property
    def lanes(self) -> int:
        """The number of lanes of a vector; 0 of a number."""
        return self.value.type.count if isinstance(self.value.type, ir.VectorType) else 0

    def _type(self, dtype: str) -> Any:
        """Return the type of as many numbers of a dtype."""
        return type_of(TYPES[dtype], self.lanes)

    def constant(self, number: Any) -> Value:
        """Return a known number of the same dtype."""
        rounded = number if self.dtype == "bool" else np.dtype(self.dtype).type(number).item()
        return Value(self.builder, ir.Constant(TYPES[self.dtype], rounded), self.dtype)

    def in_lanes(self, lanes: int) -> Value:
        """Return the value in every lane."""
        if self.lanes == lanes:
            return self
        kind = ir.VectorType(self.value.type, lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), self.value, ir.IntType(32)(0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return Value(self.builder, self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), places), self.dtype)

    def shuffled(self, places: Iterable[int], other: Value | None = None) -> Value:
        """Return the numbers at some places of this and another vector."""
        kind = ir.IntType(32)
        second = ir.Constant(self.value.type, ir.Undefined) if other is None else other.value
        mask = [kind(place) for place in places]
        shuffled = self.builder.shuffle_vector(self.value, second, ir.Constant(ir.VectorType(kind, len(mask)), mask))
        return Value(self.builder, shuffled, self.dtype)

    def matched(self, *others: Any) -> list[Value]:
        """Return this and other operands with the same number of lanes; Python's numbers become values."""
        values = [self, *(each if isinstance(each, Value) else self.constant(each) for each in others)]
        lanes = max(each.lanes for each in values)
        return [each.in_lanes(lanes) for each in values]

    def _binary(self, instruction: str, first: Value, second: Value) -> Value:
        options = {"flags": CONTRACT} if instruction in ("fadd", "fsub", "fmul") else {}
        return Value(self.builder, getattr(self.builder, instruction)(first.value, second.value, **options), self.dtype)

    def __add__(self, other: Any) -> Value:
        return self._binary("fadd" if self.is_float else "add", *self.matched(other))

    def __mul__(self, other: Any) -> Value:
        return self._binary("fmul" if self.is_float else "mul", *self.matched(other))

    def __sub__(self, other: Any) -> Value:
        return self._binary("fsub" if self.is_float else "sub", *self.matched(other))

    def __truediv__(self, other: Any) -> Value:
        return self._binary("fdiv", *self.matched(other))

    def __and__(self, other: Any) -> Value:
        return self._binary("and_", *self.matched(other))

    def __or__(self, other: Any) -> Value:
        return self._binary("or_", *self.matched(other))

    def __lshift__(self, other: Any) -> Value:
        return self._binary("shl", *self.matched(other))

    def __rshift__(self, other: Any) -> Value:
        return self._binary("ashr", *self.matched(other))

    def __rsub__(self, other: Any) -> Value:
        return self._binary("fsub" if self.is_float else "sub", *reversed(self.matched(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Value:
        return Value(self.builder, (self.builder.fneg if self.is_float else self.builder.neg)(self.value), self.dtype)

    def __invert__(self) -> Value:
        return Value(self.builder, self.builder.not_(self.value), self.dtype)

    def __abs__(self) -> Value:
        return self.intrinsic("fabs") if self.is_float else where(self < 0, -self, self)

    def _compare(self, other: Any, sign: str) -> Value:
        first, second = self.matched(other)
        of_floats = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered  # only NaN differs from itself
        of_integers = self.builder.icmp_unsigned if self.dtype == "bool" else self.builder.icmp_signed
        compare = of_floats if self.is_float else of_integers
        return Value(self.builder, compare(sign, first.value, second.value), "bool")

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, "<")

    def __le__(self, other: Any) -> Any:
        return self._compare(other, "<=")

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, ">")

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, ">=")

    def __eq__(self, other: Any) -> Any:
        return self._compare(other, "==")

    def __ne__(self, other: Any) -> Any:
        return self._compare(other, "!=")

    __hash__ = object.__hash__

    def view(self, converter: _Converter) -> Value:
        """Return the same bits as another dtype."""
        dtype = converter.dtype
        return Value(self.builder, self.builder.bitcast(self.value, self._type(dtype)), dtype)

    def astype(self, dtype: str) -> Value:
        """Return the number in another dtype."""
        if dtype == self.dtype:
            return self
        if dtype == "bool":
            return self != 0
        builder = self.builder
        to_float, widens = dtype.startswith("float"), BYTES[dtype] > BYTES[self.dtype]
        if self.dtype == "bool":
            convert = builder.uitofp if to_float else builder.zext
        elif self.is_float:
            convert = (builder.fpext if widens else builder.fptrunc) if to_float else builder.fptosi
        else:
            convert = builder.sitofp if to_float else builder.sext if widens else builder.trunc
        return Value(builder, convert(self.value, self._type(dtype)), dtype)

    def intrinsic(self, name: str) -> Value:
        """Return the result of one of LLVM's own functions, such as "sqrt"."""
        kind = self.value.type
        name = f"llvm.{name}." + (f"v{self.lanes}" if self.lanes else "") + f"f{8 * BYTES[self.dtype]}"
        return Value(self.builder, self.builder.call(self._declared(name, kind, 1), [self.value]), self.dtype)

    def _declared(self, name: str, kind: Any, count: int) -> Any:
        """Return a function of the module, with some operands of a type."""
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(kind, [kind] * count), name)

    def lane(self, number: int) -> Value:
        """Return the number in a lane."""
        if not self.lanes:
            return self
        return Value(self.builder, self.builder.extract_element(self.value, ir.IntType(32)(number)), self.dtype)

    def call(self, name: str, *others: Any) -> Value:
        """Return the result of a function of C, which is called lane by lane."""
        operands = self.matched(*others)
        kind, lanes = TYPES[self.dtype], operands[0].lanes
        function = self._declared(name + "f" * (self.dtype == "float32"), kind, len(operands))
        results = [
            self.builder.call(function, [each.lane(number).value for each in operands]) for number in range(max(1, lanes))
        ]
        values = [Value(self.builder, each, self.dtype) for each in results]
        return combined(values) if lanes else values[0]


def combined(numbers: Sequence[Value]) -> Value:
    """Return the vector of the numbers in each lane."""
    builder, vector = numbers[0].builder, ir.Constant(ir.VectorType(numbers[0].value.type, len(numbers)), ir.Undefined)
    for number, each in enumerate(numbers):
        vector = builder.insert_element(vector, each.value, ir.IntType(32)(number))
    return Value(builder, vector, numbers[0].dtype)


def joined(values: Sequence[Value]) -> Value:
    """Return values side by side in one vector."""
    if len(values) == 1:
        return values[0]
    if not values[0].lanes:
        return combined(values)
    half = len(values) // 2
    first, second = joined(values[:half]), joined(values[half:])
    return first.shuffled(range(2 * first.lanes), second)


def split(value: Value, count: int) -> list[Value]:
    """Return the values that are side by side in one vector."""
    lanes = value.lanes // count
    if count == 1:
        return [value]
    if lanes == 1:
        return [value.lane(number) for number in range(count)]
    return [value.shuffled(range(number * lanes, (number + 1) * lanes)) for number in range(count)]


def where(condition: Any, first: Any, second: Any) -> Value:
    """Return one of two values, lane by lane."""
    known = first if isinstance(first, Value) else second
    _, first, second = known.matched(first, second)
    condition, first, second = condition.matched(first, second)
    return Value(condition.builder, condition.builder.select(condition.value, first.value, second.value), first.dtype)


def maximum(first: Value, second: Value) -> Value:
    """Return the larger number; NaN if one is NaN."""
    return where((first > second) | (first != first), first, second)


def minimum(first: Value, second: Value) -> Value:
    """Return the smaller number; NaN if one is NaN."""
    return where((first < second) | (first != first), first, second)


def sign(value: Value) -> Value:
    """Return -1, 0 or 1; NaN of NaN."""
    difference: Value = (value > 0).astype(value.dtype) - (value < 0).astype(value.dtype)
    return where(value != value, value, difference) if value.is_float else difference


# Elementwise operations that are one expression; the others are in ``vector_math``.
OPERATIONS: dict[str, Callable[..., Any]] = {
    **{"add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv},
    **{"negative": operator.neg, "abs": abs, "copy": lambda value: value},
    **{"less": operator.lt, "less_equal": operator.le, "greater": operator.gt, "greater_equal": operator.ge},
    **{"equal": operator.eq, "not_equal": operator.ne, "logical_and": operator.and_, "logical_or": operator.or_},
    **{"logical_not": operator.invert, "where": where, "maximum": maximum, "minimum": minimum, "sign": sign},
    **{"isnan": lambda value: value != value, "isinf": lambda value: abs(value) == np.inf},
    **{"isfinite": lambda value: abs(value) < np.inf, "pow": lambda base, exponent: base.call("pow", exponent)},
    **{name: functools.partial(Value.intrinsic, name=name) for name in ("sqrt", "floor", "ceil")},
    **{name: functools.partial(Value.call, name=name) for name in SCALAR_ONLY},
}


class _Selections(ast.NodeTransformer):
    """Turns ``a if condition else b``, which asks for a bool, into a call of ``where``."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("where", ast.Load()), [node.test, node.body, node.orelse], [])


@functools.cache
def _parsed(dtype: str) -> Any:
    tree = ast.fix_missing_locations(_Selections().visit(ast.parse(vector_math(dtype))))
    return compile(tree, "<elementary functions>", "exec")


class _Converter(NamedTuple):
    """Takes the place of a dtype of NumPy in the source of elementary functions."""

    dtype: str
    builder: Any

    def __call__(self, given: Any) -> Value:
        """Return a value, or a known number, in the dtype."""
        if isinstance(given, Value):
            return given.astype(self.dtype)
        return Value(self.builder, ir.Constant(TYPES[self.dtype], 0), self.dtype).constant(given)


def elementary_functions(builder: Any, dtype: str) -> dict[str, Callable[..., Value]]:
    """Return exp, expm1, log, log1p and tanh of values of a floating-point dtype."""
    converters = {name: _Converter(name, builder) for name in (dtype, f"int{dtype[-2:]}")}
    numpy = SimpleNamespace(inf=np.inf, nan=np.nan, **converters)
    names: dict[str, Any] = {"np": numpy, "inlined": lambda function: function, "where": where}
    exec(_parsed(dtype), names)
    return names
