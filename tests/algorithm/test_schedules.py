"""Learning rate schedules agree with PyTorch's, also in a compiled step."""

import math

import numpy as np
import pytest

import portable_bp as bp


def pytorch_rates(torch, make, updates):
    parameter = torch.zeros(1, requires_grad=True)
    stepper = torch.optim.SGD([parameter], lr=0.5)
    scheduler, rates = make(torch.optim.lr_scheduler, stepper), []
    for _ in range(updates):
        rates.append(scheduler.get_last_lr()[0])
        stepper.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (bp.schedules.Constant(0.5), lambda of, s: of.ConstantLR(s, factor=1.0)),
        (bp.schedules.Step(0.5, every=4), lambda of, s: of.StepLR(s, step_size=4)),
        (bp.schedules.Exponential(0.5, factor=0.9), lambda of, s: of.ExponentialLR(s, gamma=0.9)),
        (bp.schedules.Cosine(0.5, over=20, final=0.1), lambda of, s: of.CosineAnnealingLR(s, T_max=20, eta_min=0.1)),
        (bp.schedules.WarmUp(0.5, over=5), lambda of, s: of.LinearLR(s, start_factor=0.2, total_iters=4)),
    ],
)
def test_rates_agree_with_pytorch(torch, on_target, schedule, make):
    backend = on_target.backend()
    run = backend.compile(schedule)
    found = [float(backend.to_numpy(run(backend.asarray(count)))) for count in range(20)]
    np.testing.assert_allclose(found, pytorch_rates(torch, make, 20), rtol=1e-9)


def test_cosine_stays_at_its_end():
    assert bp.schedules.Cosine(0.5, over=10, final=0.1)(np.asarray(25.0)) == pytest.approx(0.1)


def test_warm_up_wraps_any_schedule():
    schedule = bp.schedules.WarmUp(bp.schedules.Exponential(1.0, factor=0.5, over=10), over=4)
    assert schedule(np.asarray(1.0)) == pytest.approx(0.5 * math.pow(0.5, 0.1))
    assert schedule(np.asarray(20.0)) == pytest.approx(0.25)


def test_a_schedule_is_followed_by_a_compiled_step(on_target):
    """The rate of the second epoch differs from the first one's: the count is an array, not a constant of the trace."""
    network = on_target.network([1, 1], "identity", bias=False, initializer="zeros")
    schedule = bp.schedules.Step(1.0, every=1, factor=0.5)
    network.fit([[1.0]], [[1.0]], optimizer="sgd", learning_rate=schedule, epochs=2)
    on_target.assert_close(network.layers[0].weight, [[1.0]])  # 0 + 1.0 * 1, after which the error is zero
    network = on_target.network([1, 1], "identity", bias=False, initializer="zeros")
    network.fit([[0.5]], [[1.0]], optimizer="sgd", learning_rate=schedule, epochs=2)
    on_target.assert_close(network.layers[0].weight, [[0.5 + 0.5 * 0.75 * 0.5]])


@pytest.mark.parametrize("every", [41, 49, 98, 103, 161])
def test_step_changes_on_the_update_that_it_names(on_target, every):
    """A compiler that replaces division by multiplication with a reciprocal gets slightly less than a whole number."""
    for dtype in ("float32", "float64"):
        backend = on_target.backend(dtype)
        run = backend.compile(bp.schedules.Step(1.0, every=every, factor=0.5))
        for count, rate in ((every - 1, 1.0), (every, 0.5), (3 * every, 0.125)):
            assert float(backend.to_numpy(run(backend.asarray(count)))) == pytest.approx(rate, rel=1e-6)
