"""Activations agree with PyTorch's, and stay finite for extreme nets."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS as BY_NAME
from portable_bp.algorithm.arrays import Signal
from tests.support.oracles import ACTIVATIONS, torch_activation


def test_every_activation_is_tested_and_logistic_is_sigmoid():
    assert {*ACTIVATIONS, "logistic"} == set(BY_NAME)
    assert BY_NAME["logistic"]() == bp.activations.Sigmoid()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_agrees_with_pytorch(torch, name):
    net = np.random.default_rng(0).normal(scale=3.0, size=(50, 7))
    found = BY_NAME[name]().value(net)
    np.testing.assert_allclose(found, torch_activation(name)(torch.tensor(net)).numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "exp"])
def test_extreme_nets_give_finite_numbers(on_target, name, dtype):
    backend, activation = on_target.backend(dtype), BY_NAME[name]()
    net = backend.asarray([[-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4]])

    def both(net):
        out = activation.value(net)
        return out, activation.delta(net, Signal(net, out))

    for array in backend.compile(both)(net):
        assert np.isfinite(on_target.values(array, dtype)).all()


def test_sigmoid_keeps_its_tail(on_target):
    backend = on_target.backend()
    found = backend.compile(bp.activations.Sigmoid().value)(backend.asarray([-700.0, -40.0, 40.0]))
    on_target.assert_close(found, [np.exp(-700.0), np.exp(-40.0), 1.0])


@pytest.mark.parametrize(
    ("activation", "theirs"),
    [
        (bp.activations.LeakyReLU(0.2), lambda functional, net: functional.leaky_relu(net, 0.2)),
        (bp.activations.ELU(2.0), lambda functional, net: functional.elu(net, 2.0)),
    ],
)
def test_parameters_of_an_activation_agree_with_pytorch(torch, activation, theirs):
    net = np.random.default_rng(0).normal(scale=2.0, size=(20, 3))
    leaf = torch.tensor(net, requires_grad=True)
    out = theirs(torch.nn.functional, leaf)
    (3.0 * out).sum().backward()
    found = activation.value(net)
    np.testing.assert_allclose(found, out.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(activation.delta(3.0 * np.ones_like(net), Signal(net, found)), leaf.grad.numpy(), rtol=1e-13)
