"""PyTorch: what recording needs to know of it, and the fastest call for each operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.ir import ELEMENTWISE, MAX_COMPARED, PREDICATES, Node, dtype_name
from portable_bp.backends.graph.passes import sums_into_products, sums_of_products
from portable_bp.backends.graph.printers.calls import Call, Library
from portable_bp.common.lookup import require
from portable_bp.common.trees import map_leaves

torch: Any = require("torch", "torch")  # array_api_compat.torch has a less helpful error if PyTorch is missing

import array_api_compat.torch  # noqa: E402

# The functions that take the operands, and the attributes by their names, for which PyTorch knows those of the standard.
FUNCTIONS = {
    **{name: getattr(torch, name) for name in (*(ELEMENTWISE - {"astype", "copy"}), "addmm", "concat", "matmul", "sum")},
    **{"equal": torch.eq, "add_scaled": torch.add, "max": torch.amax, "min": torch.amin},
}


def _copy_result(function: Callable[..., Any], out: Any, *operands: Any) -> None:
    out.copy_(function(*operands))


class TorchLibrary(Library):
    """PyTorch on one device, for recording and replay."""

    xp = array_api_compat.torch
    array_type = torch.Tensor
    giving_pairs = ("max", "min")
    others = ("equal",)
    passes = (sums_of_products, sums_into_products)

    def __init__(self, device: Any) -> None:
        self.device = device

    @staticmethod
    @functools.cache
    def dtype(name: str) -> Any:
        """Return the PyTorch dtype of a name."""
        return getattr(torch, name)

    @staticmethod
    @functools.cache
    def promote(*kinds: Any) -> str:
        """Return the dtype that PyTorch computes in; Python numbers come last."""

        def empty(ndim: int, dtype: Any) -> Any:
            return torch.empty((1,) * min(ndim, 1), dtype=dtype, device="meta")

        def joined(first: Any, second: Any) -> Any:
            return empty(max(first.ndim, getattr(second, "ndim", 0)), torch.result_type(first, second))

        arrays = [empty(kind[1], getattr(torch, kind[0])) for kind in kinds if isinstance(kind, tuple)]
        numbers = [kind(0) for kind in kinds if isinstance(kind, type)]
        return dtype_name(functools.reduce(joined, [*arrays, *numbers], empty(0, torch.bool)).dtype)

    def without_numbers(self, node: Node) -> Any:
        """Return a tensor on the meta device."""
        return torch.empty(node.shape, dtype=self.dtype(node.dtype), device="meta")

    def infer(
        self, nodes: Sequence[Node], function: Callable[..., Any], operands: Any, options: dict[str, Any]
    ) -> tuple[Sequence[int], str]:
        """Return the shape and dtype of a call's result on the meta device."""
        on_meta = map_leaves(lambda leaf: leaf.to("meta") if isinstance(leaf, torch.Tensor) else leaf, operands)
        return super().infer(nodes, function, on_meta, options)

    def comparable(self, array: Any) -> Any:
        """Return a small tensor that is in main memory as an array of NumPy."""
        is_small = isinstance(array, torch.Tensor) and array.device.type == "cpu" and array.numel() <= MAX_COMPARED
        return array.detach().numpy() if is_small else array

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a new tensor."""
        return torch.empty(tuple(shape), dtype=self.dtype(dtype), device=self.device)

    def as_array(self, node: Node) -> Any:
        """Return a constant as a tensor."""
        value = node.attributes["value"]
        if isinstance(value, torch.Tensor):
            return value
        return torch.tensor(value, dtype=self.dtype(node.dtype), device=self.device)

    def copied(self, array: Any) -> Any:
        """Return a copy of a tensor."""
        return array.clone()

    def assign(self, target: Any, source: Any) -> None:
        """Copy numbers from one tensor into another."""
        target.copy_(source)

    def emit(self, instruction: Instruction) -> Call:
        """Return a call that writes into the result's tensor."""
        node, operands, out = instruction
        operation = node.operation
        if operation in ("astype", "copy"):
            return out.copy_, operands
        if operation in PREDICATES:  # these cannot write into a tensor
            return _copy_result, (FUNCTIONS[operation], out, *operands)
        if operation == "pow":  # with numbers it is faster
            constants = [source.operation == "constant" and source.shape == () for source in node.inputs]
            operands = tuple(
                operand.item() if is_number and not all(constants) else operand
                for operand, is_number in zip(operands, constants, strict=True)
            )
        if operation == "take":
            array, indices = operands
            return functools.partial(torch.index_select, out=out), (array, node.attributes["axis"], indices)
        if operation == "concat":
            operands = (operands,)
        return functools.partial(FUNCTIONS[operation], **node.attributes, out=out), operands
