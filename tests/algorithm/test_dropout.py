"""Dropout masks keep the mean, and the gradient under a mask agrees with PyTorch autograd."""

import numpy as np
import pytest

from portable_bp.algorithm.activations import ACTIVATIONS as BY_NAME
from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.dropout import Dropout, draw_mask
from portable_bp.algorithm.losses import SquaredError
from portable_bp.algorithm.propagation import propagate
from tests.support.oracles import ACTIVATIONS, relative_distance, torch_activation


def test_mask_keeps_the_mean():
    mask = draw_mask(np.random.default_rng(0), 0.25, (1000, 100))
    assert set(np.unique(mask)) == {0.0, 1 / 0.75}
    assert mask.mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_agrees_with_pytorch_under_the_same_mask(torch, name):
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=(5, 4)), generator.normal(size=(2, 5))]
    inputs, target = generator.normal(size=(6, 4)), generator.normal(size=(6, 2))
    mask = draw_mask(generator, 0.5, (6, 5))
    activations = [Dropout(BY_NAME[name](), mask), BY_NAME["identity"]()]
    passed = propagate(activations, SquaredError(), [Layer(weight, None) for weight in weights], inputs, target)
    theirs = [torch.tensor(weight, requires_grad=True) for weight in weights]
    hidden = torch_activation(name)(torch.tensor(inputs) @ theirs[0].T) * torch.tensor(mask)
    (0.5 * (hidden @ theirs[1].T - torch.tensor(target)) ** 2).sum(dim=-1).mean().backward()
    assert relative_distance(passed.gradient, [(weight.grad.numpy(), None) for weight in theirs]) <= 1e-12
