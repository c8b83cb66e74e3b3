"""Record PyTorch calls, and the fastest way to replay each."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from portable_bp.backends.recorded.recording import Call, Instruction, Library, Tracer, Value
from portable_bp.common.lookup import require
from portable_bp.common.trees import leaves, map_leaves

torch: Any = require("torch", "torch")  # array_api_compat.torch has a less helpful error if PyTorch is missing

import array_api_compat.torch  # noqa: E402

OPERATORS = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "truediv": torch.div,
    "pow": torch.pow,
    "matmul": torch.matmul,
    "and": torch.bitwise_and,
    "or": torch.bitwise_or,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "eq": torch.eq,
    "ne": torch.ne,
}
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
ELEMENTWISE = {
    *(function for name, function in OPERATORS.items() if name != "matmul"),
    *(torch.neg, torch.abs, torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt, torch.square, torch.tanh, torch.sin),
    *(torch.cos, torch.floor, torch.sign, torch.minimum, torch.maximum, torch.where),
}
SUPPORTS_OUT = ELEMENTWISE | {torch.matmul, torch.sum, torch.mean, torch.amax, torch.amin, torch.index_select, torch.addmm}


class TorchTracer(Tracer):
    """Takes the place of a tensor."""

    device = property(lambda self: self.recorder.library.device)
    mT = property(lambda self: torch.swapaxes(self, -1, -2))  # the standard's name

    def __array_namespace__(self, **_: Any) -> Any:
        """Return PyTorch's array API namespace, whose functions are dispatched back to this class."""
        return NAMESPACE

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], types: Any, operands: tuple, options: Any = None) -> Any:
        """Record a call of a PyTorch function."""
        recorder = next(leaf.recorder for leaf in leaves(operands) if isinstance(leaf, cls))
        return recorder.add(function, operands, options or {})

    def __getitem__(self, key: Any) -> Any:
        """Record an indexing."""
        return self.recorder.add(torch.Tensor.__getitem__, (self, key), {})

    def __neg__(self) -> Any:
        """Record a change of sign."""
        return self.recorder.add(torch.neg, (self,), {})

    def to(self, dtype: Any, copy: bool = False) -> Any:
        """Record a change of dtype."""
        return self if dtype == self.dtype and not copy else self.recorder.add(torch.Tensor.to, (self, dtype), {})


def _operator(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    """Return an operator of a tracer and anything else; Python numbers become tensors, with which PyTorch is faster."""

    def apply(first: Any, second: Any) -> Any:
        if not isinstance(first, TorchTracer):
            first, second = second, first
            return _operator(function, reflected=True)(first, second)
        if isinstance(second, int | float) and function is not torch.pow:
            second = torch.tensor(second, dtype=torch.result_type(first.value.example, second), device=first.device)
        return first.recorder.add(function, (second, first) if reflected else (first, second), {})

    return apply


for _name, _function in OPERATORS.items():
    setattr(TorchTracer, f"__{_name}__", _operator(_function))
    if _name not in COMPARISONS:
        setattr(TorchTracer, f"__r{_name}__", _operator(_function, reflected=True))


class _Namespace:
    """PyTorch's array API namespace, in which minimum and maximum take a tracer and a Python number too."""

    minimum = staticmethod(_operator(torch.minimum))
    maximum = staticmethod(_operator(torch.maximum))

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.torch, name)


NAMESPACE = _Namespace()


class TorchLibrary(Library):
    """PyTorch on one device, for recording and replay."""

    tracer = TorchTracer
    block_size = math.inf  # a PyTorch call uses all cores, so it gets the whole array
    elementwise = ELEMENTWISE

    def __init__(self, device: Any) -> None:
        self.device = device

    def is_array(self, given: Any) -> bool:
        """Return whether this is a tensor."""
        return isinstance(given, torch.Tensor)

    def shape_only(self, array: Any) -> Any:
        """Return a tensor on the meta device."""
        return torch.empty(array.shape, dtype=array.dtype, device="meta")

    def infer_example(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return the call's result on the meta device."""

        def to_meta(leaf: Any) -> Any:
            return leaf.example if isinstance(leaf, Value) else self.shape_only(leaf) if self.is_array(leaf) else leaf

        return function(*map_leaves(to_meta, operands), **options)

    def is_view(self, example: Any, other: Any) -> bool:
        """Return whether two examples are the same tensor, or views of the same."""
        first, second = (array._base if array._is_view() else array for array in (example, other))
        return first is second

    def constant_key(self, array: Any) -> Any:
        """Return the number in a 0-d tensor, which may have been a Python number, or another tensor's identity."""
        return (array.dtype, repr(array.item())) if array.ndim == 0 and array.device.type != "meta" else id(array)

    def simplify(self, value: Value, uses: Mapping[Value, int]) -> list[Value]:
        """Rewrite a sum of a matrix product and an array as ``addmm``, and one of a scaled array as ``add`` with ``alpha``."""
        if value.function not in (torch.add, torch.sub) or value.options:
            return []
        pairs = [value.operands, value.operands[::-1]] if value.function is torch.add else [value.operands]
        for other, product in pairs:
            if not isinstance(other, Value) or not isinstance(product, Value) or uses[product] > 1:
                continue
            matrices = len(product.shape) == 2 and product.shape == value.shape
            if product.function is torch.matmul and value.function is torch.add and matrices:
                value.function, value.operands = torch.addmm, (other, *product.operands)
                return []
            if product.function is torch.mul and product.shape == other.shape:
                numbers = [operand for operand in product.operands if self.is_array(operand) and operand.ndim == 0]
                if numbers:
                    factor = next(operand for operand in product.operands if operand is not numbers[0])
                    value.operands, value.options = (other, factor), {"alpha": numbers[0].item()}
                    return []
        return []

    def empty(self, shape: tuple[int, ...], example: Any) -> Any:
        """Return a new tensor."""
        return torch.empty(shape, dtype=example.dtype, device=self.device)

    def convert_constants(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the operands; ``torch.where`` with ``out`` takes only tensors."""
        if value.function is not torch.where:
            return operands
        return tuple(
            operand if self.is_array(operand) else torch.tensor(operand, dtype=value.example.dtype, device=self.device)
            for operand in operands
        )

    def emit(self, instruction: Instruction) -> Call:
        """Return a call with ``out``, where the function has it."""
        value, operands, out = instruction
        function, options = value.function, value.options
        if function in SUPPORTS_OUT:
            return functools.partial(function, out=out, **options), operands
        if function is torch.Tensor.to:
            return out.copy_, operands[:1]
        return (lambda *operands: out.copy_(function(*operands, **options))), operands

    def assign(self, target: Any, source: Any) -> None:
        """Copy numbers from one tensor into another."""
        target.copy_(source)
