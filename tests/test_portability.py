"""The algorithm needs only the array API standard: it runs on an unknown namespace, and on arrays without values."""

import inspect

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS as BY_NAME
from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.losses import LOSSES as LOSS_BY_NAME
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.algorithm.propagation import propagate
from portable_bp.backends.selector import BACKENDS
from tests.support import unheard_of
from tests.support.oracles import ACTIVATIONS, LOSSES, draw_target


def wrap(array):
    return unheard_of.asarray(np.asarray(array))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_propagation_on_an_unknown_namespace(activation, loss):
    """Its arrays have only the standard's methods, and refuse conversion to Python numbers."""
    assert "unheard_of" not in BACKENDS
    generator = np.random.default_rng(0)
    layers = [Layer(generator.normal(size=s) / 2, generator.normal(size=s[0])) for s in ((5, 3), (4, 5))]
    x, target = generator.normal(size=(6, 3)), draw_target(loss, generator, 6, 4)
    names = ["tanh" if activation == "exp" else activation, "exp" if loss == "poisson" else activation]
    chosen, measure = [BY_NAME[name]() for name in names], LOSS_BY_NAME[loss]()
    weight = generator.uniform(size=6)
    expected = propagate(chosen, measure, layers, x, target, weight)
    found = propagate(chosen, measure, [Layer(wrap(w), wrap(b)) for w, b in layers], wrap(x), wrap(target), wrap(weight))
    assert isinstance(found.error, unheard_of.Array)
    np.testing.assert_array_equal(found.error.inside, expected.error)
    for mine, theirs in zip(found.gradient, expected.gradient, strict=True):
        np.testing.assert_array_equal(mine.weight.inside, theirs.weight)
        np.testing.assert_array_equal(mine.bias.inside, theirs.bias)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_optimizers_on_an_unknown_namespace(name):
    generator = np.random.default_rng(0)
    layers, gradient = ([Layer(generator.normal(size=(2, 3)), generator.normal(size=2))] for _ in range(2))
    schedule = bp.schedules.WarmUp(bp.schedules.Cosine(0.1, over=10), over=3)
    optimizer = bp.optimizers.Clipped(bp.optimizers.Penalized(OPTIMIZERS[name](schedule), l1=0.1, l2=0.1), norm=0.5)
    theirs, state = layers, optimizer.init(layers)
    mine, my_gradient = ([Layer(wrap(w), wrap(b)) for w, b in pair] for pair in (layers, gradient))
    my_state = optimizer.init(mine)
    for _ in range(3):
        theirs, state = optimizer.update(gradient, state, theirs)
        mine, my_state = optimizer.update(my_gradient, my_state, mine)
    np.testing.assert_allclose(mine[0].weight.inside, theirs[0].weight, rtol=1e-14)


def test_the_wrapper_has_nothing_beyond_the_standard():
    assert not [name for name, _ in inspect.getmembers(unheard_of.Array) if name in ("T", "astype", "sum", "mean", "reshape")]
    for convert in (float, int, bool):
        with pytest.raises(TypeError):
            convert(wrap([1.0]))


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_step_on_arrays_without_values(torch, loss, optimizer):
    """PyTorch's meta device has shapes and dtypes only, and raises when anything asks for a value."""
    from portable_bp.training.step import Batch, MeanLoss, Pieces, Progress, begin_state, step, summary, zero_error

    backend = bp.select_backend("torch:meta")
    activations = [BY_NAME[name]() for name in [*ACTIVATIONS, "exp"]]
    layers = [Layer(backend.asarray(np.ones((4, 4))), backend.asarray(np.ones(4))) for _ in activations]
    target = draw_target(loss, np.random.default_rng(0), 9, 4)
    data = (
        backend.asarray(np.ones((9, 4))),
        backend.asarray(target, "int32" if target.ndim == 1 else None),
        backend.asarray(np.ones(9)),
    )
    batch = Batch(backend.asarray([0, 3, 5], "int32"), (backend.asarray(np.ones((3, 4))),) * (len(layers) - 1))
    schedule = bp.schedules.WarmUp(bp.schedules.Step(0.1, every=5), over=3)
    chosen = bp.optimizers.Clipped(bp.optimizers.Penalized(OPTIMIZERS[optimizer](schedule), l2=0.1))
    pieces = Pieces(tuple(activations), MeanLoss(LOSS_BY_NAME[loss]()), chosen)
    progress = Progress(list(layers), begin_state(chosen, layers), zero_error(layers))
    for _ in range(2):
        progress = step(pieces, progress, data, batch)
    numbers = summary(progress.layers, progress.total, 9.0, None)
    assert numbers.device.type == "meta" and numbers.shape == (1,)
    for layer in progress.layers:
        assert layer.weight.device.type == layer.bias.device.type == "meta"
        assert layer.weight.dtype == layer.bias.dtype == torch.float32
        assert layer.weight.shape == (4, 4) and layer.bias.shape == (4,)
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(numbers[0])


def test_a_network_on_arrays_without_values(torch):
    network = bp.Network([3, 5, 2], backend="torch:meta", check_finite=False)
    assert network.predict(np.ones((7, 3))).shape == (7, 2)
    assert [part.shape for part in network.gradient(np.ones((7, 3)), np.ones((7, 2)))[0]] == [(5, 3), (5,)]
