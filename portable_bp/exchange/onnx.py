"""A network as an ONNX file, for the runtimes that read it: one graph for float32 and float64.

onnxruntime has no float64 kernel of LeakyRelu, Elu, Softplus, Erf and Gelu, so these are spelled out in operators that it has.
Nor may it find them there: versions up to 1.30 make a QuickGelu, which has no such kernel either, of a product with a Sigmoid.
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

# The oldest in which Softmax means one axis, as it does here; all else is older. Runtimes read it since 2020.
OPSET = 13
# Protobuf writes no message of 2 GiB, and a file is one; what is not weights is small.
MOST_BYTES = 2**31 - 2**20


class Graph:
    """Nodes and the arrays that go into them, as they are added.

    Parameters
    ----------
    arrays : mapping of str to numpy.ndarray
        Parameters by name, all of one dtype.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.onnx = require("onnx", "onnx")
        self.arrays = dict(arrays)
        self.dtype = next(iter(arrays.values())).dtype
        self.nodes: list[Any] = []

    def add(self, operator: str, *inputs: str | float, **attributes: Any) -> str:
        """Add a node, and return the name of its output.

        Parameters
        ----------
        operator : str
            ONNX's name of it.
        *inputs : str or float
            Names of arrays and outputs, and numbers.
        **attributes : object
            As the operator has them.
        """
        output = f"{operator.lower()}_{len(self.nodes)}"
        names = [given if isinstance(given, str) else self._number(given) for given in inputs]
        self.nodes.append(self.onnx.helper.make_node(operator, names, [output], **attributes))
        return output

    def model(self, inputs: int, outputs: int) -> Any:
        """Return the model, whose output is that of the last node.

        Parameters
        ----------
        inputs, outputs : int
            How many there are of each.
        """
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
        # A newer version of the format than the opset needs would shut out older runtimes.
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


def write_onnx(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    activations: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> None:
    """Write a network that takes "x", of shape (samples, inputs), and gives "out", of shape (samples, outputs).

    Parameters
    ----------
    path : path
        Where it goes, in the place of an old file where there is one.
    arrays : mapping of str to numpy.ndarray
        Parameters by their names in PyTorch: 0.weight, 0.bias, 2.weight, and so on; all float32, or all float64.
    activations : sequence of dict
        Descriptions, one a layer: a name and its settings.
    facts : mapping
        What JSON can say, for the file's metadata.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ValueError
        If the parameters take more than such a file holds.
    OSError
        If the file cannot be written; the old one is as it was.
    """
    size = sum(array.nbytes for array in arrays.values())
    if size > MOST_BYTES:
        raise ValueError(
            f"the weights and biases take {size:,} bytes, and an ONNX file holds {MOST_BYTES:,} at most: "
            "use float32, or a model file of Network.save."
        )
    graph = Graph(arrays)
    out = "x"
    for number, description in enumerate(activations):
        parameters = [name for name in (f"{2 * number}.weight", f"{2 * number}.bias") if name in arrays]
        settings = {key: value for key, value in description.items() if key != "name"}
        out = ACTIVATIONS[description["name"]](graph.add, graph.add("Gemm", out, *parameters, transB=1), **settings)
    model = graph.model(arrays["0.weight"].shape[1], arrays[f"{2 * len(activations) - 2}.weight"].shape[0])
    graph.onnx.helper.set_model_props(model, {BLOCK: json.dumps(facts)})
    graph.onnx.checker.check_model(model, full_check=True)
    replace_file(path, model.SerializeToString())
