"""Optimizers, penalties and clipping make the same updates as PyTorch and scikit-learn."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.optimizers import OPTIMIZERS, gradient_norm
from tests.support.networks import flatten

SHAPES = [((3, 2), (3,)), ((1, 3), (1,))]


def start(seed=0, bias=True):
    generator = np.random.default_rng(seed)
    return [Layer(generator.normal(size=w), generator.normal(size=b) if bias else None) for w, b in SHAPES]


def test_every_optimizer_is_tested():
    assert set(OPTIMIZERS) == {name for name, _, _ in AGAINST_PYTORCH}


AGAINST_PYTORCH = [
    ("sgd", bp.optimizers.SGD(0.1), lambda torch, p: torch.optim.SGD(p, lr=0.1)),
    ("momentum", bp.optimizers.Momentum(0.1, 0.8), lambda torch, p: torch.optim.SGD(p, lr=0.1, momentum=0.8)),
    ("nesterov", bp.optimizers.Nesterov(0.1, 0.8), lambda torch, p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True)),
    ("rmsprop", bp.optimizers.RMSProp(0.01), lambda torch, p: torch.optim.RMSprop(p, lr=0.01)),
    ("adam", bp.optimizers.Adam(0.01), lambda torch, p: torch.optim.Adam(p, lr=0.01)),
    (
        "adamw",
        bp.optimizers.AdamW(0.01, weight_decay=0.1),
        lambda torch, p: torch.optim.AdamW(
            [{"params": p[::2], "weight_decay": 0.1}, {"params": p[1::2], "weight_decay": 0.0}], lr=0.01
        ),
    ),
]


@pytest.mark.parametrize(("name", "optimizer", "make"), AGAINST_PYTORCH)
def test_updates_agree_with_pytorch(torch, on_target, name, optimizer, make):
    """The error is the sum of p^4 / 4, so its slopes change with the parameters."""
    backend = on_target.backend()
    layers = [Layer(backend.asarray(w), backend.asarray(b)) for w, b in start()]
    theirs = [torch.tensor(part, requires_grad=True) for part in flatten(start())]
    stepper = make(torch, theirs)

    def step(state, layers):
        return optimizer.update([Layer(w**3, b**3) for w, b in layers], state, layers)

    step, state = backend.compile(step), backend.compile(optimizer.init)(layers)
    for _ in range(12):
        layers, state = step(state, layers)
        stepper.zero_grad()
        sum((part**4).sum() / 4 for part in theirs).backward()
        stepper.step()
    for mine, other in zip(flatten(layers), theirs, strict=True):
        on_target.assert_close(mine, other.detach().numpy(), rtol=1e-10)
    assert backend.to_numpy(state.count) == 12


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_float32_and_no_biases(on_target, name):
    backend, optimizer = on_target.backend("float32"), OPTIMIZERS[name]()
    layers = [Layer(backend.asarray(w), None) for w, _ in start()]
    state = backend.compile(optimizer.init)(layers)
    for _ in range(2):
        layers, state = backend.compile(optimizer.update)(layers, state, layers)
    for layer in layers:
        assert layer.bias is None
        assert np.isfinite(on_target.values(layer.weight, "float32")).all()


def test_penalties_descend_the_penalized_error():
    layers, gradient = start(0), start(1)
    optimizer = bp.optimizers.Penalized(bp.optimizers.SGD(0.1), l1=0.3, l2=0.7)
    after, _ = optimizer.update(gradient, optimizer.init(layers), layers)
    for old, slope, new in zip(layers, gradient, after, strict=True):
        np.testing.assert_allclose(new.weight, old.weight - 0.1 * (slope.weight + 0.3 * np.sign(old.weight) + 0.7 * old.weight))
        np.testing.assert_allclose(new.bias, old.bias - 0.1 * slope.bias)


def test_l2_agrees_with_pytorch_s_weight_decay(torch):
    layers = start(bias=False)
    theirs = [torch.tensor(layer.weight, requires_grad=True) for layer in layers]
    stepper = torch.optim.Adam(theirs, lr=0.01, weight_decay=0.5)
    optimizer = bp.optimizers.Penalized(bp.optimizers.Adam(0.01), l2=0.5)
    state = optimizer.init(layers)
    for _ in range(5):
        layers, state = optimizer.update([Layer(w**3, None) for w, _ in layers], state, layers)
        stepper.zero_grad()
        sum((part**4).sum() / 4 for part in theirs).backward()
        stepper.step()
    for mine, other in zip(layers, theirs, strict=True):
        np.testing.assert_allclose(mine.weight, other.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("norm", [0.5, 100.0])
def test_clipping_agrees_with_pytorch(torch, on_target, norm):
    backend, gradient = on_target.backend(), start(1)
    theirs = [torch.tensor(part, requires_grad=True) for part in flatten(gradient)]
    for part in theirs:
        part.grad = part.detach().clone()
    total = torch.nn.utils.clip_grad_norm_(theirs, norm)
    there = [Layer(backend.asarray(w), backend.asarray(b)) for w, b in gradient]
    on_target.assert_close(backend.compile(gradient_norm)(there), total.item())

    optimizer = bp.optimizers.Clipped(bp.optimizers.SGD(1.0), norm=norm)
    layers = [Layer(backend.asarray(np.zeros_like(w)), backend.asarray(np.zeros_like(b))) for w, b in gradient]
    after, _ = backend.compile(lambda g, p: optimizer.update(g, optimizer.init(p), p))(there, layers)
    for mine, other in zip(flatten(after), theirs, strict=True):
        on_target.assert_close(mine, -other.grad.numpy(), rtol=1e-5)  # PyTorch adds 1e-6 to the norm that it divides by


def test_each_network_of_a_population_is_clipped_by_its_own_norm():
    gradient = [Layer(np.stack([np.full((2, 2), 3.0), np.full((2, 2), 0.01)]), None)]
    optimizer = bp.optimizers.Clipped(bp.optimizers.SGD(1.0), norm=1.0)
    zeros = [Layer(np.zeros((2, 2, 2)), None)]
    (after,), _ = optimizer.update(gradient, optimizer.init(zeros), zeros)
    np.testing.assert_allclose(after.weight[0], -0.5)
    np.testing.assert_allclose(after.weight[1], -0.01)


def test_adam_with_epsilon_on_the_uncorrected_root_is_scikit_learns():
    from sklearn.neural_network import _stochastic_optimizers as stochastic

    layers, optimizer = start(), bp.optimizers.Adam(0.01, 0.8, 0.95, 0.02, epsilon_corrected=False)
    theirs = [parameter.copy() for parameter in flatten(layers)]
    reference = stochastic.AdamOptimizer(theirs, 0.01, 0.8, 0.95, 0.02)
    state = optimizer.init(layers)
    for _ in range(10):
        layers, state = optimizer.update([Layer(layer.weight**3, layer.bias**3) for layer in layers], state, layers)
        reference.update_params(theirs, [parameter**3 for parameter in theirs])
    for mine, expected in zip(flatten(layers), theirs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_steered_rate_can_change_with_each_update(on_target, name):
    backend = on_target.backend()
    layers = [Layer(backend.asarray(w), backend.asarray(b)) for w, b in start()]
    rates = [0.01, 0.01, 0.002, 0.05]
    steered = bp.optimizers.Steered(OPTIMIZERS[name](0.01))
    chosen = OPTIMIZERS[name](lambda count: backend.asarray(rates)[int(count)] + 0.0 * count)
    with on_target.current():
        mine, theirs = (layers, steered.init(layers)), (layers, chosen.init(layers))
        for rate in rates:
            (mine_now, state), (theirs_now, _) = mine, theirs
            mine = steered.update(mine_now, state._replace(rate=backend.asarray(rate)), mine_now)
            theirs = chosen.update(theirs_now, theirs[1], theirs_now)
    for ours, expected in zip(mine[0], theirs[0], strict=True):
        on_target.assert_close(ours.weight, backend.to_numpy(expected.weight), rtol=1e-14)
