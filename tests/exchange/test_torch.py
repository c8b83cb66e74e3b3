"""A network taken from a PyTorch module, or turned into one, gives the same outputs; others are refused."""

import collections
import itertools
import pickle
import re
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import portable_bp as bp
from tests.support.oracles import ACTIVATIONS, torch_activation

X = np.random.default_rng(0).normal(size=(7, 3))
FAR = np.concatenate([np.linspace(-800.0, 800.0, 81), np.linspace(19.0, 45.0, 105), [-100.0, 100.0]])[:, None]
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
# exp of exp overflows any dtype, so exp is used for the output only.
HIDDEN = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([name for name in ACTIVATIONS if name != "exp"])), max_size=4)
NETWORKS = {
    "inputs": st.integers(1, 5),
    "hidden": HIDDEN,
    "outputs": st.tuples(st.integers(1, 4), st.sampled_from(ACTIVATIONS)),
    "bias": st.booleans(),
    "dtype": st.sampled_from(["float32", "float64"]),
    "samples": st.integers(1, 9),
}


def module_of(torch, name):
    return {
        "identity": torch.nn.Identity,
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "leaky_relu": lambda: torch.nn.LeakyReLU(0.2),
        "elu": lambda: torch.nn.ELU(1.5),
        "gelu": torch.nn.GELU,
        "gelu_tanh": lambda: torch.nn.GELU("tanh"),
        "silu": lambda: torch.nn.SiLU(inplace=True),
        "softplus": torch.nn.Softplus,
        "softmax": lambda: torch.nn.Softmax(dim=1),
    }[name]()


def assert_near(found, expected, dtype):
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@hypothesis.settings(max_examples=60)
@hypothesis.given(**NETWORKS)
def test_from_torch_gives_what_the_module_gives(torch, inputs, hidden, outputs, bias, dtype, samples):
    sizes, names = zip(*hidden, (outputs[0], "identity" if outputs[1] == "exp" else outputs[1]), strict=True)
    parts = []
    for (fan_in, fan_out), name in zip(itertools.pairwise((inputs, *sizes)), names, strict=True):
        parts += [torch.nn.Linear(fan_in, fan_out, bias, dtype=getattr(torch, dtype)), module_of(torch, name)]
    module = torch.nn.Sequential(*parts)
    network = bp.Network.from_torch(module, backend="numpy")
    x = np.random.default_rng(0).normal(size=(samples, inputs)).astype(dtype)
    # PyTorch's softplus has an error of 2e-9 for nets above 20, which these small networks do not reach.
    assert_near(network.predict(x), module(torch.tensor(x)).detach().numpy(), dtype)


@hypothesis.settings(max_examples=60)
@hypothesis.given(**NETWORKS)
def test_to_torch_gives_what_the_network_predicts(torch, inputs, hidden, outputs, bias, dtype, samples):
    sizes, names = zip(*hidden, outputs, strict=True)
    network = bp.Network([inputs, *sizes], names, bias=bias, backend="numpy", dtype=dtype, seed=0)
    network.fit(np.ones((2, inputs)), np.ones((2, outputs[0])))  # biases are no longer zero
    module = network.to_torch()
    x = np.random.default_rng(0).normal(size=(samples, inputs)).astype(dtype)
    expected = torch.tensor(x)
    for layer, name in zip(network.layers, names, strict=True):
        net = torch.nn.functional.linear(expected, *(None if part is None else torch.tensor(part) for part in layer))
        expected = torch_activation(name)(net)
    assert_near(module(torch.tensor(x)).detach().numpy(), expected.numpy(), dtype)
    again = bp.Network.from_torch(module, backend="numpy")
    assert again.activations == network.activations
    for mine, theirs in zip(again.layers, network.layers, strict=True):
        np.testing.assert_array_equal(mine.weight, theirs.weight)
        assert (mine.bias is None) if theirs.bias is None else np.array_equal(mine.bias, theirs.bias)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "elu", "gelu", "gelu_tanh", "silu", "softplus"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_nets(torch, name, dtype):
    network = bp.Network.from_weights([[[1.0]]], activation=name, backend="numpy", dtype=dtype)
    x = FAR.astype(dtype)
    found = network.to_torch()(torch.tensor(x)).detach().numpy()
    assert_near(found, network.predict(x), dtype)
    if name == "softplus":
        assert_near(found, np.logaddexp(x, np.zeros_like(x)), dtype)


def test_settings_of_activations_are_converted_both_ways(torch):
    activations = [bp.activations.LeakyReLU(0.3), bp.activations.ELU(2.0)]
    module = bp.Network([3, 4, 2], activations, backend="numpy").to_torch()
    assert (module[1].negative_slope, module[3].alpha) == (0.3, 2.0)
    assert bp.Network.from_torch(module, backend="numpy").activations == tuple(activations)


def test_nested_shared_and_identity_modules(torch):
    class Block(torch.nn.Sequential):
        def __init__(self):
            super().__init__(torch.nn.Linear(4, 4), relu, torch.nn.Dropout(0.5))

    relu = torch.nn.ReLU()
    parts = {"first": torch.nn.Linear(3, 4), "shared": relu, "block": Block(), "nothing": torch.nn.Identity()}
    parts |= {"none": torch.nn.Sequential(), "middle": torch.nn.Linear(4, 2), "last": torch.nn.Linear(2, 1)}
    module = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Sequential(collections.OrderedDict(parts)))
    network = bp.Network.from_torch(module, backend="numpy")
    names = [type(activation).__name__ for activation in network.activations]
    assert names == ["ReLU", "ReLU", "Identity", "Identity"]
    x = torch.tensor(X, dtype=torch.float32)
    assert_near(network.predict(x.numpy()), module.eval()(x).detach().numpy(), "float32")


def test_a_single_linear(torch):
    linear = torch.nn.Linear(3, 2, dtype=torch.float64)
    network = bp.Network.from_torch(linear, backend="numpy")
    assert_near(network.predict(X), linear(torch.tensor(X)).detach().numpy(), "float64")


def test_the_dtype_and_the_check_for_nan(torch):
    module = torch.nn.Linear(3, 2)
    assert bp.Network.from_torch(module, backend="numpy", dtype="float64").layers[0].weight.dtype == "float64"
    with torch.no_grad():
        module.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="weight 1 holds NaN or infinity"):
        bp.Network.from_torch(module, backend="numpy")


def test_weights_are_copied_both_ways(torch):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2))
    network = bp.Network.from_torch(module, backend="numpy")
    before = network.layers[0].weight.copy()
    with torch.no_grad():
        module[0].weight.fill_(7.0)
    np.testing.assert_array_equal(network.layers[0].weight, before)
    made = network.to_torch()
    with torch.no_grad():
        made[0].weight.fill_(7.0)
    np.testing.assert_array_equal(network.layers[0].weight, before)


def test_on_every_backend(torch, on_target):
    network = on_target.network([3, 4, 2], "tanh", seed=0)
    module = network.to_torch()
    assert module[0].weight.device == (network.backend.device if network.backend.name == "torch" else torch.device("cpu"))
    x = torch.tensor(X, device=module[0].weight.device)
    np.testing.assert_allclose(module(x).detach().cpu().numpy(), on_target.values(network.predict(X)), rtol=1e-12)
    again = bp.Network.from_torch(module, backend=on_target.flag)
    on_target.assert_close(again.predict(X), on_target.values(network.predict(X)))


def test_the_device_is_the_network_s(torch):
    from portable_bp.exchange.torch import make_sequential

    # The only other device that is always available; its arrays hold no values.
    backend = bp.select_backend("torch:meta")
    module = make_sequential({"0.weight": np.ones((2, 3), np.float32)}, [{"name": "relu"}], backend)
    assert module[0].weight.is_meta and module[0].weight.dtype == torch.float32


def test_a_module_can_be_trained_further_and_pickled(torch):
    network = bp.Network([3, 4, 2], "tanh", "exp", backend="numpy", seed=0)
    state = torch.random.get_rng_state()
    module = network.to_torch()
    assert torch.equal(torch.random.get_rng_state(), state)
    x, target = torch.tensor(X, dtype=torch.float32), torch.ones(7, 2)
    (0.5 * ((module(x) - target) ** 2).sum(dim=1).mean()).backward()
    slopes = network.gradient(X, target.numpy())
    np.testing.assert_allclose(module[0].weight.grad.numpy(), slopes[0].weight, rtol=1e-4, atol=1e-6)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))


@pytest.mark.parametrize("bias", [True, False])
def test_a_model_file_is_loaded_by_torch(torch, tmp_path, bias):
    from safetensors.torch import load_file

    network = bp.Network([3, 4, 4, 2], "gelu", "softmax", bias, backend="numpy", dtype="float64", seed=0)
    network.save(tmp_path / "model.safetensors")
    module = bp.Network([3, 4, 4, 2], "gelu", "softmax", bias, backend="numpy", dtype="float64", seed=1).to_torch()
    state = load_file(tmp_path / "model.safetensors")
    assert list(module.state_dict()) == sorted(state, key=lambda name: (int(name[0]), name[2:] == "bias"))
    module.load_state_dict(state)
    assert_near(module(torch.tensor(X)).detach().numpy(), network.predict(X), "float64")


def refused_modules(torch):
    nn = torch.nn

    class Reversed(nn.Sequential):
        def forward(self, x):
            return super().forward(-x)

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2.0 * super().forward(x)

    linear = nn.Linear(3, 3)
    return {
        "module 1 is BatchNorm1d(3, eps=": nn.Sequential(linear, nn.BatchNorm1d(3)),
        "module 0 is Conv2d(3, 3, ": nn.Sequential(nn.Conv2d(3, 3, 1)),
        "module 0.1.0 is LayerNorm(": nn.Sequential(nn.Sequential(linear, nn.Sequential(nn.LayerNorm(3)))),
        "the module is Reversed(), and a Network can have only Linear, Identity, Sigmoid": Reversed(linear),
        "the module is Doubled(in_features=3, ": Doubled(3, 3),
        "the module is ModuleList()": nn.ModuleList([linear]),
        "module 1 is GELU(approximate='fast'), and a Network can have only GELU(approximate='none') or 'tanh'": nn.Sequential(
            linear, nn.GELU("fast")
        ),
        "module 1 is Softmax(dim=0), and a Network can have only Softmax(dim=-1)": nn.Sequential(linear, nn.Softmax(dim=0)),
        "module 1 is Softplus(beta=2": nn.Sequential(linear, nn.Softplus(2.0)),
        "module 1 is Softplus(beta=1.0, threshold=5": nn.Sequential(linear, nn.Softplus(threshold=5.0)),
        "module 2 is Tanh(), and follows another activation": nn.Sequential(linear, nn.ReLU(), nn.Tanh()),
        "module 0 is ReLU(), and comes before the first Linear": nn.Sequential(nn.ReLU(), linear),
        "the module holds no Linear": nn.Sequential(),
        "module 1 is Linear(in_features=3, out_features=3, bias=False), and the first Linear differs": nn.Sequential(
            linear, nn.Linear(3, 3, bias=False)
        ),
        "and holds torch.bfloat16, and all parameters of a Network are float32": nn.Linear(3, 3, dtype=torch.bfloat16),
        "module 2 is Linear(in_features=3, out_features=3, bias=True), and holds torch.float64": nn.Sequential(
            linear, nn.ReLU(), nn.Linear(3, 3).double()
        ),
        "and is on the meta device, which holds no numbers": nn.Linear(3, 3, device="meta"),
        "weights have shapes [(3, 3), (3, 4)]": nn.Sequential(linear, nn.Linear(4, 3)),
        "LazyLinear(": nn.Sequential(nn.LazyLinear(3)),
    }


def test_modules_that_are_not_networks(torch):
    for message, module in refused_modules(torch).items():
        with pytest.raises(ValueError, match=re.escape(message)):
            bp.Network.from_torch(module, backend="numpy")


@pytest.mark.parametrize("given", [None, [1.0], np.ones((2, 3)), len])
def test_objects_that_are_not_modules(torch, given):
    with pytest.raises(TypeError, match=f"module is a {type(given).__name__}, and should be a torch.nn.Sequential"):
        bp.Network.from_torch(given, backend="numpy")


def test_a_custom_activation(torch):
    square = (lambda net: net * net, lambda slope, signal: slope * 2.0 * signal.net)
    network = bp.Network([3, 4, 2], ["relu", square], backend="numpy")
    with pytest.raises(ValueError, match="the activation of layer 2 is your own .*, which PyTorch does not have"):
        network.to_torch()


def test_without_numbers(torch):
    with pytest.raises(bp.BackendUnavailableError, match="meta device holds only shapes, no numbers"):
        bp.Network([3, 2], backend="torch:meta", check_finite=False).to_torch()


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "portable_bp.exchange.torch", raising=False)
    network = bp.Network([3, 2], backend="numpy")
    for convert in (network.to_torch, lambda: bp.Network.from_torch(None)):
        with pytest.raises(
            ImportError, match=re.escape("torch is needed here and is not installed: pip install 'portable-bp[")
        ):
            convert()


def test_hooks_are_refused(torch):
    for register in ("register_forward_hook", "register_forward_pre_hook"):
        module = torch.nn.Sequential(torch.nn.Linear(3, 2))
        getattr(module[0], register)(lambda *arguments: None)
        with pytest.raises(ValueError, match="module 0 is Linear.* has hooks or its own forward"):
            bp.Network.from_torch(module, backend="numpy")
