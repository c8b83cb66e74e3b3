"""How PyTorch's calls are recorded, and how each is best played."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from portable_bp.backends.recorded.tape import Library, StandIn, Value
from portable_bp.common.lookup import require
from portable_bp.common.trees import leaves, map_leaves

torch: Any = require("torch", "torch")  # array_api_compat.torch would say less clearly what is missing

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
ELEMENTWISE = {
    *(function for name, function in OPERATORS.items() if name != "matmul"),
    *(torch.neg, torch.abs, torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt, torch.square, torch.tanh, torch.sin),
    *(torch.cos, torch.floor, torch.sign, torch.minimum, torch.maximum, torch.where),
}
WRITES_INTO = ELEMENTWISE | {torch.matmul, torch.sum, torch.mean, torch.amax, torch.amin, torch.index_select, torch.addmm}


class TorchStandIn(StandIn):
    """Takes the place of a tensor."""

    device = property(lambda self: self.tape.library.device)
    mT = property(lambda self: torch.swapaxes(self, -1, -2))  # the standard's name

    def __array_namespace__(self, **_: Any) -> Any:
        """Return PyTorch's array API namespace, whose functions come back here by PyTorch's protocol."""
        return NAMESPACE

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], types: Any, given: tuple, options: Any = None) -> Any:
        """Note a call of one of PyTorch's functions."""
        tape = next(leaf.tape for leaf in leaves(given) if isinstance(leaf, cls))
        return tape.add(function, given, options or {})

    def __getitem__(self, key: Any) -> Any:
        """Note that a part is taken."""
        return self.tape.add(torch.Tensor.__getitem__, (self, key), {})

    def __neg__(self) -> Any:
        """Note a change of sign."""
        return self.tape.add(torch.neg, (self,), {})

    def to(self, dtype: Any, copy: bool = False) -> Any:
        """Note a change of dtype."""
        return self if dtype == self.dtype and not copy else self.tape.add(torch.Tensor.to, (self, dtype), {})


def _operator(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    """Return a function of a stand-in and something else, whose numbers become tensors, as PyTorch is quicker with."""

    def apply(first: Any, second: Any) -> Any:
        if not isinstance(first, TorchStandIn):
            first, second = second, first
            return _operator(function, reflected=True)(first, second)
        if isinstance(second, int | float) and function is not torch.pow:
            second = torch.tensor(second, dtype=torch.result_type(first.value.example, second), device=first.device)
        return first.tape.add(function, (second, first) if reflected else (first, second), {})

    return apply


COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
for _name, _function in OPERATORS.items():
    setattr(TorchStandIn, f"__{_name}__", _operator(_function))
    if _name not in COMPARISONS:
        setattr(TorchStandIn, f"__r{_name}__", _operator(_function, reflected=True))


class _Namespace:
    """PyTorch's array API namespace, which would take a number beside a tensor only where it knows it for one."""

    minimum = staticmethod(_operator(torch.minimum))
    maximum = staticmethod(_operator(torch.maximum))

    def __getattr__(self, name: str) -> Any:
        return getattr(array_api_compat.torch, name)


NAMESPACE = _Namespace()


class TorchLibrary(Library):
    """What recording and playing ask of PyTorch: see `portable_bp.backends.recorded.tape.Library`.

    Parameters
    ----------
    device : torch.device
        Where its tensors are.
    """

    stand_in = TorchStandIn
    block = math.inf  # a call of PyTorch's takes all cores, and so all of the array
    elementwise = ELEMENTWISE

    def __init__(self, device: Any) -> None:
        self.device = device

    def is_array(self, given: Any) -> bool:
        """Return whether something is a tensor."""
        return isinstance(given, torch.Tensor)

    def hollow(self, array: Any) -> Any:
        """Return a tensor without memory."""
        return torch.empty(array.shape, dtype=array.dtype, device="meta")

    def example(self, function: Callable[..., Any], operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return a tensor like the result, from tensors without memory."""

        def hollow(leaf: Any) -> Any:
            return leaf.example if isinstance(leaf, Value) else self.hollow(leaf) if self.is_array(leaf) else leaf

        return function(*map_leaves(hollow, operands), **options)

    def is_view(self, example: Any, other: Any) -> bool:
        """Return whether two examples are one, or views of one."""
        first, second = (array._base if array._is_view() else array for array in (example, other))
        return first is second

    def identity(self, array: Any) -> Any:
        """Return a single number that was one of Python's, else what is the tensor's own alone."""
        return (array.dtype, repr(array.item())) if array.ndim == 0 and array.device.type != "meta" else id(array)

    def contract(self, value: Value, uses: Mapping[Value, int]) -> list[Value]:
        """Let a product and what it is added to or taken from be one call."""
        if value.function not in (torch.add, torch.sub) or value.options:
            return []
        either = [value.operands, value.operands[::-1]] if value.function is torch.add else [value.operands]
        for other, product in either:
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

    def numbers(self, value: Value, operands: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the operands; a choice that is to be written into a tensor takes tensors alone."""
        if value.function is not torch.where:
            return operands
        return tuple(
            operand if self.is_array(operand) else torch.tensor(operand, dtype=value.example.dtype, device=self.device)
            for operand in operands
        )

    def call(self, value: Value, operands: tuple[Any, ...], out: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the function writing into a tensor, where it can."""
        function, options = value.function, value.options
        if function in WRITES_INTO:
            return functools.partial(function, out=out, **options), operands
        if function is torch.Tensor.to:
            return out.copy_, operands[:1]
        return (lambda *operands: out.copy_(function(*operands, **options))), operands

    def assign(self, target: Any, source: Any) -> None:
        """Copy numbers from one tensor into another."""
        target.copy_(source)
