"""PyTorch: what recording needs to know of it, and the fastest call for each operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.ir import ELEMENTWISE, MAX_COMPARED, Node
from portable_bp.backends.graph.namespace import Namespace, Place
from portable_bp.backends.graph.passes import sums_into_products, sums_of_products
from portable_bp.backends.graph.printers.calls import Call, CallPrinter
from portable_bp.backends.graph.trace import Tracer
from portable_bp.common.lookup import require
from portable_bp.common.trees import map_leaves

torch: Any = require("torch", "torch")  # array_api_compat.torch has a less helpful error if PyTorch is missing

import array_api_compat.torch  # noqa: E402

FUNCTIONS = {name: getattr(torch, name) for name in (*(ELEMENTWISE - {"astype", "copy"}), "addmm", "matmul")} | {
    "equal": torch.eq
}


class TorchLibrary(CallPrinter):
    """PyTorch on one device, for recording and replay."""

    xp = array_api_compat.torch
    array_type = torch.Tensor
    giving_pairs = ("max", "min")
    passes = (sums_of_products, sums_into_products)
    tracer: type[Tracer]

    def __init__(self, device: Any) -> None:
        self.device = device
        self.tracer = _tracer_type(device)

    def is_array(self, given: Any) -> bool:
        """Return whether this is a tensor."""
        return isinstance(given, torch.Tensor)

    def on_host(self, array: Any) -> Any:
        """Return a small tensor that is in main memory as a NumPy array."""
        is_small = array.device.type == "cpu" and array.numel() <= MAX_COMPARED
        return array.detach().numpy() if is_small else None

    @staticmethod
    @functools.cache
    def dtype(name: str) -> Any:
        """Return the PyTorch dtype of a name."""
        return getattr(torch, name)

    @staticmethod
    @functools.cache
    def promote(*kinds: Any) -> str:
        """Return the dtype that PyTorch computes in."""

        def example(kind: Any) -> Any:
            return (
                torch.empty((1,) * min(kind[1], 1), dtype=getattr(torch, kind[0]), device="meta")
                if isinstance(kind, tuple)
                else kind(0)
            )

        first, *others = map(example, kinds)
        if not others:
            return _name(first.dtype)
        for other in others:
            first = torch.empty(
                (1,) * max(getattr(first, "ndim", 0), getattr(other, "ndim", 0)),
                dtype=torch.result_type(first, other),
                device="meta",
            )
        return _name(first.dtype)

    def infer(
        self, nodes: Sequence[Node], function: Callable[..., Any], operands: Any, options: dict[str, Any]
    ) -> tuple[Sequence[int], str]:
        """Return the shape and dtype of a call's result on the meta device."""

        def to_meta(leaf: Any) -> Any:
            if isinstance(leaf, Place):
                return torch.empty(nodes[leaf].shape, dtype=self.dtype(nodes[leaf].dtype), device="meta")
            return leaf.to("meta") if isinstance(leaf, torch.Tensor) else leaf

        result = function(*map_leaves(to_meta, operands), **options)
        if not isinstance(result, torch.Tensor):
            raise TypeError("a result that is not an array may depend on numbers, which are unknown while recording")
        return tuple(result.shape), _name(result.dtype)

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a new tensor."""
        return torch.empty(tuple(shape), dtype=self.dtype(dtype), device=self.device)

    def as_array(self, node: Node) -> Any:
        """Return a constant as a tensor."""
        value = node.attributes["value"]
        return (
            value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=self.dtype(node.dtype), device=self.device)
        )

    def transposed(self, array: Any, axes: Sequence[int]) -> Any:
        """Return a tensor with its axes in another order."""
        return array.permute(tuple(axes))

    def copied(self, array: Any) -> Any:
        """Return a copy of a tensor."""
        return array.clone()

    def assign(self, target: Any, source: Any) -> None:
        """Copy numbers from one tensor into another."""
        target.copy_(source)

    def emit(self, instruction: Instruction) -> Call:
        """Return a call that writes into the result's tensor."""
        node, operands, out = instruction
        operation, attributes = node.operation, node.attributes
        if operation in ("astype", "copy"):
            return out.copy_, operands
        if operation == "pow":  # with numbers it is faster
            constants = [source.operation == "constant" and source.shape == () for source in node.inputs]
            operands = tuple(
                operand.item() if is_number and not all(constants) else operand
                for operand, is_number in zip(operands, constants, strict=True)
            )
        if operation in FUNCTIONS:
            return functools.partial(FUNCTIONS[operation], out=out), operands
        if operation == "add_scaled":
            return functools.partial(torch.add, alpha=attributes["alpha"], out=out), operands
        if operation == "concat":
            return functools.partial(torch.concat, dim=attributes["axis"], out=out), (operands,)
        if operation == "take":
            return self._emit_take(operands, attributes["axis"], out)
        function = {"sum": torch.sum, "max": torch.amax, "min": torch.amin}[operation]
        return functools.partial(function, dim=attributes["axis"], keepdim=attributes["keepdims"], out=out), operands

    def _emit_take(self, operands: tuple[Any, ...], axis: int, out: Any) -> Call:
        array, indices = operands
        if indices.ndim == 1:
            return functools.partial(torch.index_select, out=out), (array, axis, indices)

        def take() -> None:
            out.copy_(torch.index_select(array, axis, indices.reshape(-1)).reshape(out.shape))

        return take, ()


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


@functools.cache
def _tracer_type(device: Any) -> type[Tracer]:
    library = object.__new__(TorchLibrary)
    library.device = device
    library.tracer = type("TorchTracer", (Tracer,), {"library": library, "namespace": Namespace(library)})
    return library.tracer
