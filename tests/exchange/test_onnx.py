"""onnxruntime computes from an ONNX file what the network computes, in its own dtype."""

import itertools
import json
import math
import sys

import hypothesis
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import strategies as st

import portable_bp as bp
from portable_bp.exchange.onnx import write_onnx
from tests.support.oracles import ACTIVATIONS

FAR = np.concatenate([np.linspace(-100.0, 100.0, 401), np.linspace(-2.0, 2.0, 401), [-800.0, 800.0]])
BOTH = pytest.mark.parametrize("dtype", ["float32", "float64"])


def session(path):
    # onnxruntime reports what it cannot read on the standard error stream of the process.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path, x):
    return session(path).run(None, {"x": x})[0]


def assert_near(found, expected, dtype):
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


# exp of exp overflows any dtype, so exp is used for the output only.
@hypothesis.settings(max_examples=60)
@hypothesis.given(
    inputs=st.integers(1, 5),
    hidden=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([n for n in ACTIVATIONS if n != "exp"])), max_size=4),
    outputs=st.tuples(st.integers(1, 4), st.sampled_from(ACTIVATIONS)),
    bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_onnxruntime_gives_what_the_network_gives(tmp_path_factory, inputs, hidden, outputs, bias, dtype):
    sizes, names = zip(*hidden, outputs, strict=True)
    network = bp.Network([inputs, *sizes], names, bias=bias, backend="numpy", dtype=dtype, seed=0)
    network.fit(np.ones((2, inputs)), np.ones((2, outputs[0])))  # biases are no longer zero
    path = tmp_path_factory.getbasetemp() / "model.onnx"
    network.to_onnx(path)
    x = np.random.default_rng(0).normal(size=(7, inputs)).astype(dtype)
    reader = session(path)
    for batch in (x, x[:1]):
        assert_near(reader.run(None, {"x": batch})[0], network.predict(batch), dtype)
    assert reader.run(["out"], {"x": x[:0]})[0].shape == (0, outputs[0])


@BOTH
@pytest.mark.parametrize("activation", [*ACTIVATIONS, bp.activations.LeakyReLU(0.3), bp.activations.ELU(2.0)], ids=str)
def test_extreme_nets(tmp_path, activation, dtype):
    network = bp.Network.from_weights([np.eye(2)], activation=activation, backend="numpy", dtype=dtype)
    network.to_onnx(tmp_path / "model.onnx")
    far = FAR[np.abs(FAR) < 80] if activation == "exp" and dtype == "float32" else FAR[FAR < 700]
    x = np.column_stack([far, far[::-1]]).astype(dtype)
    found = run(tmp_path / "model.onnx", x)
    assert np.isfinite(found).all()
    assert_near(found, network.predict(x), dtype)


@BOTH
def test_float64_models_compute_in_float64(tmp_path, dtype):
    x = np.linspace(-5.0, 5.0, 101, dtype=dtype)[:, None]
    for activation in ACTIVATIONS:
        network = bp.Network.from_weights([[[1.0]]], activation=activation, backend="numpy", dtype=dtype)
        network.to_onnx(tmp_path / "model.onnx")
        rounding = 20 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(run(tmp_path / "model.onnx", x), network.predict(x), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float64_files_need_no_operator_that_lacks_float64(tmp_path, activation):
    """A product with a Sigmoid becomes a QuickGelu, and one with an Erf a Gelu: onnxruntime has neither in float64."""
    network = bp.Network([3, 4, 2], activation, activation, backend="numpy", dtype="float64", seed=0)
    network.to_onnx(tmp_path / "model.onnx")
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    products = {made_by.get(name) for node in nodes if node.op_type == "Mul" for name in node.input}
    assert "Sigmoid" not in products and "Erf" not in made_by.values()


def test_from_every_backend(tmp_path, on_target):
    network = on_target.network([3, 4, 2], "silu", "softmax", seed=0)
    network.to_onnx(tmp_path / "model.onnx")
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), on_target.values(network.predict(x)), rtol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_what_the_file_says(tmp_path, bias):
    network = bp.Network([3, 4, 2], ["elu", "softmax"], bias=bias, backend="numpy", seed=0)
    network.fit(np.ones((2, 3)), np.ones((2, 2)), "huber")
    network.notes["of"] = "café"
    network.to_onnx(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.opset_import[0].version, model.ir_version, model.producer_name) == (13, 7, "portable_bp")
    reader = session(tmp_path / "model.onnx")
    (taken,), (given,) = reader.get_inputs(), reader.get_outputs()
    assert (taken.name, taken.shape, taken.type) == ("x", ["samples", 3], "tensor(float)")
    assert (given.name, given.shape, given.type) == ("out", ["samples", 2], "tensor(float)")
    held = {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
    for number, layer in enumerate(network.layers):
        np.testing.assert_array_equal(held[f"{2 * number}.weight"], layer.weight)
        assert (f"{2 * number}.bias" in held) == bias
    facts = json.loads(reader.get_modelmeta().custom_metadata_map["portable_bp"])
    assert facts == {
        "sizes": [3, 4, 2],
        "bias": bias,
        "activations": [{"name": "elu", "alpha": 1.0}, {"name": "softmax"}],
        "loss": {"name": "huber", "threshold": 1.0},
        "dtype": "float32",
        "notes": {"of": "café"},
    }


def test_the_same_network_gives_the_same_bytes(tmp_path):
    contents = []
    for name in ("one.onnx", "two.onnx"):
        bp.Network([3, 4, 2], "gelu", backend="numpy", seed=0).to_onnx(tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


@pytest.fixture
def old(tmp_path):
    """A file that exists already, and must not change if writing fails."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    yield path
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_more_weights_than_a_file_holds(old):
    network = bp.Network([2, 2], backend="numpy")
    weight = np.broadcast_to(np.float32(0.0), (2**15, 2**14))
    network.layers = (bp.Layer(weight, np.zeros(2**15, np.float32)),)
    with pytest.raises(ValueError, match="take 2,147,614,720 bytes, and an ONNX file holds at most 2,146,435,072"):
        network.to_onnx(old)


def test_a_custom_activation(old):
    class Mine(bp.activations.Tanh):
        pass

    with pytest.raises(
        ValueError, match="the activation of layer 1 is your own .*Mine.*, which ONNX does not have: use a named"
    ):
        bp.Network([3, 4, 2], [Mine(), "relu"], backend="numpy").to_onnx(old)


def test_without_onnx(old, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx is needed here and is not installed: pip install 'portable-bp\[onnx\]'"):
        bp.Network([3, 2], backend="numpy").to_onnx(old)


def test_a_failed_write_leaves_the_file_unchanged(tmp_path):
    with pytest.raises(OSError, match="could not be written"):
        bp.Network([3, 2], backend="numpy").to_onnx(tmp_path / "missing" / "model.onnx")
    assert not list(tmp_path.iterdir())


# The formulas of the named activations, written for their tests only.
FORMULAS = {
    "identity": lambda net: net,
    "sigmoid": lambda net: 1 / (1 + np.exp(-net)),
    "tanh": np.tanh,
    "relu": lambda net: np.maximum(net, 0),
    "leaky_relu": lambda net: np.where(net > 0, net, 0.01 * net),
    "elu": lambda net: np.where(net > 0, net, np.expm1(net)),
    "gelu": lambda net: net * (1 + np.vectorize(math.erf)(net / math.sqrt(2))) / 2,
    "gelu_tanh": lambda net: net / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (net + 0.044715 * net**3))),
    "silu": lambda net: net / (1 + np.exp(-net)),
    "softplus": lambda net: np.logaddexp(net, 0),
    "softmax": lambda net: np.exp(net) / np.exp(net).sum(axis=-1, keepdims=True),
    "exp": np.exp,
}
SETTINGS = {"leaky_relu": {"negative_slope": 0.01}, "elu": {"alpha": 1.0}}


def draw_population(members, sizes, bias, dtype):
    """Return the arrays of a population, by their names in the file."""
    generator, arrays = np.random.default_rng(0), {}
    for number, (below, above) in enumerate(itertools.pairwise(sizes)):
        arrays[f"{2 * number}.weight"] = generator.normal(size=(members, above, below)).astype(dtype)
        if bias:
            arrays[f"{2 * number}.bias"] = generator.normal(size=(members, above)).astype(dtype)
    return arrays


def mean_output(arrays, names, x):
    """Return the mean of the outputs that each member gives alone, in float64."""
    outs = []
    for member in range(len(arrays["0.weight"])):
        out = x.astype(float)
        for number, name in enumerate(names):
            net = out @ arrays[f"{2 * number}.weight"][member].astype(float).T
            out = FORMULAS[name](net + arrays[f"{2 * number}.bias"][member] if f"{2 * number}.bias" in arrays else net)
        outs.append(out)
    return sum(outs) / len(outs)


@BOTH
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_population_gives_the_mean_of_its_members(tmp_path, activation, bias, members, dtype):
    hidden = "tanh" if activation == "exp" else activation
    names, path = (hidden, hidden, activation), tmp_path / "model.onnx"
    arrays = draw_population(members, (3, 5, 4, 2), bias, dtype)
    write_onnx(path, arrays, [{"name": name, **SETTINGS.get(name, {})} for name in names], {"population": members})
    x = np.random.default_rng(1).normal(size=(7, 3)).astype(dtype)
    reader = session(path)
    for batch in (x, x[:1]):
        found, expected = reader.run(["out"], {"x": batch})[0], mean_output(arrays, names, batch)
        assert found.dtype == dtype and found.shape == expected.shape
        rounding = 100 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)
    assert reader.run(["out"], {"x": x[:0]})[0].shape == (0, 2)


def test_what_the_file_of_a_population_says(tmp_path):
    path, arrays = tmp_path / "model.onnx", draw_population(3, (4, 2), True, "float32")
    write_onnx(path, arrays, [{"name": "tanh"}], {"population": 3})
    content = path.read_bytes()
    model = onnx.load(path)
    assert (model.opset_import[0].version, model.ir_version, model.producer_name) == (13, 7, "portable_bp")
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add", "Tanh", "ReduceMean"]
    held = {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
    np.testing.assert_array_equal(held["0.weight"], arrays["0.weight"].swapaxes(1, 2))
    np.testing.assert_array_equal(held["0.bias"], arrays["0.bias"][:, None, :])
    reader = session(path)
    (taken,), (given,) = reader.get_inputs(), reader.get_outputs()
    assert (taken.name, taken.shape, taken.type) == ("x", ["samples", 4], "tensor(float)")
    assert (given.name, given.shape, given.type) == ("out", ["samples", 2], "tensor(float)")
    assert json.loads(reader.get_modelmeta().custom_metadata_map["portable_bp"]) == {"population": 3}
    write_onnx(path, arrays, [{"name": "tanh"}], {"population": 3})
    assert path.read_bytes() == content
