"""Write a network or a population as an ONNX file; float32 and float64 networks give the same graph.

onnxruntime has no float64 kernels for LeakyRelu, Elu, Softplus, Erf and Gelu, so these are composed of operators that it has.
Versions up to 1.30 fuse the product of a net and its Sigmoid into a QuickGelu, which has no such kernel either, so silu is a
division.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.normal import DENOMINATOR, LIMIT, NUMERATOR
from portable_bp.common.lookup import require
from portable_bp.storage.atomic_writing import replace_file
from portable_bp.storage.named_arrays import BLOCK
from portable_bp.version import __version__

# The oldest in which Softmax is taken over one axis, as here; everything else is older. Runtimes have read it since 2020.
OPSET = 13
# A file is one protobuf message, which is limited to 2 GiB; all but the weights is small.
MAX_BYTES = 2**31 - 2**20


class GraphBuilder:
    """Collects the nodes of a graph, and the arrays (all of one dtype) that they take."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.onnx = require("onnx", "onnx")
        self.arrays = dict(arrays)
        self.dtype = next(iter(arrays.values())).dtype
        self.nodes: list[Any] = []

    def add(self, operator: str, *inputs: str | float, **attributes: Any) -> str:
        """Add a node that takes named arrays, outputs of other nodes, or numbers, and return the name of its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        names = [given if isinstance(given, str) else self._number(given) for given in inputs]
        self.nodes.append(self.onnx.helper.make_node(operator, names, [output], **attributes))
        return output

    def model(self, inputs: int, outputs: int) -> Any:
        """Return the model, whose output is that of the last node."""
        helper = self.onnx.helper
        self.nodes[-1].output[0] = "out"
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        x, out = (
            helper.make_tensor_value_info(name, element, ["samples", count])
            for name, count in (("x", inputs), ("out", outputs))
        )
        initializers = [self.onnx.numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        graph = helper.make_graph(self.nodes, BLOCK, [x], [out], initializers)
        opset = helper.make_opsetid("", OPSET)
        # A newer format version than the opset needs would exclude older runtimes.
        version = helper.find_min_ir_version_for([opset])
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=version, producer_name=BLOCK, producer_version=__version__
        )

    def _number(self, number: float) -> str:
        self.arrays[repr(number)] = np.asarray(number, self.dtype)
        return repr(number)


def _leaky_relu(add: Callable[..., str], net: str, negative_slope: float) -> str:
    return add("Add", add("Relu", net), add("Mul", add("Min", net, 0.0), negative_slope))


def _elu(add: Callable[..., str], net: str, alpha: float) -> str:
    return add("Add", add("Relu", net), add("Mul", add("Sub", add("Exp", add("Min", net, 0.0)), 1.0), alpha))


def _gelu(add: Callable[..., str], net: str) -> str:
    distance = add("Min", add("Abs", net), LIMIT)
    density = add("Exp", add("Mul", add("Mul", distance, distance), -0.5))
    ratio = add("Div", _polynomial(add, NUMERATOR, distance), _polynomial(add, DENOMINATOR, distance))
    beyond = add("Mul", add("Mul", density, 1.0 / math.sqrt(2.0 * math.pi)), ratio)
    return add("Mul", net, add("Where", add("Less", net, 0.0), beyond, add("Sub", 1.0, beyond)))


def _polynomial(add: Callable[..., str], coefficients: Sequence[float], x: str) -> str:
    value = add("Add", add("Mul", x, coefficients[-1]), coefficients[-2])
    for coefficient in coefficients[-3::-1]:
        value = add("Add", add("Mul", value, x), coefficient)
    return value


def _gelu_tanh(add: Callable[..., str], net: str) -> str:
    cube = add("Mul", add("Mul", net, net), net)
    inner = add("Mul", add("Add", net, add("Mul", cube, 0.044715)), math.sqrt(2.0 / math.pi))
    return add("Mul", add("Mul", net, 0.5), add("Add", add("Tanh", inner), 1.0))


def _softplus(add: Callable[..., str], net: str) -> str:
    rest = add("Log", add("Add", add("Exp", add("Neg", add("Abs", net))), 1.0))
    return add("Add", add("Relu", net), rest)


ACTIVATIONS: dict[str, Callable[..., str]] = {
    "identity": lambda add, net: net,
    "sigmoid": lambda add, net: add("Sigmoid", net),
    "tanh": lambda add, net: add("Tanh", net),
    "relu": lambda add, net: add("Relu", net),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda add, net: add("Div", net, add("Add", add("Exp", add("Neg", net)), 1.0)),
    "softplus": _softplus,
    "softmax": lambda add, net: add("Softmax", net, axis=-1),
    "exp": lambda add, net: add("Exp", net),
}


def _add_net(add: Callable[..., str], below: str, weight: str, *bias: str) -> str:
    return add("Gemm", below, weight, *bias, transB=1)


def _add_member_nets(add: Callable[..., str], below: str, weight: str, *bias: str) -> str:
    products = add("MatMul", below, weight)
    return add("Add", products, *bias) if bias else products


def _broadcastable(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights of shape (members, fan_in, fan_out), and biases of shape (members, 1, fan_out)."""
    return {name: array.swapaxes(-1, -2) if name.endswith(".weight") else array[:, None, :] for name, array in arrays.items()}


def write_onnx(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    activations: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> None:
    """Write a network that takes "x", of shape (samples, inputs), and gives "out", of shape (samples, outputs).

    The arrays have the names that parameters have in a PyTorch module, and the facts go into the file's metadata as JSON. If
    the arrays have a leading axis of members, "out" is the mean of the members' outputs.
    """
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES:
        raise ValueError(
            f"the weights and biases take {size:,} bytes, and an ONNX file holds at most {MAX_BYTES:,}: "
            "use float32, or a model file of Network.save."
        )
    is_population = arrays["0.weight"].ndim == 3
    graph = GraphBuilder(_broadcastable(arrays) if is_population else arrays)
    add_net = _add_member_nets if is_population else _add_net
    out = "x"
    for number, description in enumerate(activations):
        parameters = [name for name in (f"{2 * number}.weight", f"{2 * number}.bias") if name in arrays]
        settings = {key: value for key, value in description.items() if key != "name"}
        out = ACTIVATIONS[description["name"]](graph.add, add_net(graph.add, out, *parameters), **settings)
    if is_population:
        graph.add("ReduceMean", out, axes=[0], keepdims=0)
    model = graph.model(arrays["0.weight"].shape[-1], arrays[f"{2 * len(activations) - 2}.weight"].shape[-2])
    graph.onnx.helper.set_model_props(model, {BLOCK: json.dumps(facts)})
    graph.onnx.checker.check_model(model, full_check=True)
    replace_file(path, model.SerializeToString())
