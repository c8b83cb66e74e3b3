"""Settings of optimizers, losses and activations are checked when they are created, and refused with a reason."""

import math
import re

import numpy as np
import pytest

import portable_bp as bp
from portable_bp import activations, losses, optimizers, schedules
from portable_bp.algorithm.fields import check_members, of_members


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizers.SGD(-1.0), "learning_rate of SGD is -1.0, and should be a number above 0, or a schedule."),
        (lambda: optimizers.SGD(math.nan), "learning_rate of SGD is nan"),
        (lambda: optimizers.SGD("0.1"), "learning_rate of SGD is '0.1'"),
        (lambda: optimizers.SGD(schedules.Cosine), "learning_rate of SGD is <class"),
        (lambda: optimizers.Momentum(momentum=2.0), "momentum of Momentum is 2.0, and should be a number from 0 to 1."),
        (lambda: optimizers.Nesterov(momentum=-0.1), "momentum of Nesterov is -0.1"),
        (lambda: optimizers.RMSProp(decay=1.0), "decay of RMSProp is 1.0"),
        (lambda: optimizers.Adam(beta_1=1.0), "beta_1 of Adam is 1.0"),
        (lambda: optimizers.Adam(beta_2=True), "beta_2 of Adam is True"),
        (lambda: optimizers.AdamW(weight_decay=-1), "weight_decay of AdamW is -1, and should be a number from 0 up."),
        (lambda: optimizers.AdamW(epsilon=0), "epsilon of AdamW is 0"),
        (lambda: optimizers.Penalized(optimizers.SGD(), l1=-1), "l1 of Penalized is -1"),
        (lambda: optimizers.Clipped(optimizers.SGD(), norm=0), "norm of Clipped is 0"),
        (lambda: schedules.Constant(-0.1), "rate of Constant is -0.1"),
        (lambda: schedules.Step(0.1, every=0), "every of Step is 0, and should be a whole number from 1 up."),
        (lambda: schedules.Exponential(0.1, factor=0.0), "factor of Exponential is 0.0"),
        (lambda: schedules.Cosine(0.1, over=1.5), "over of Cosine is 1.5"),
        (lambda: schedules.WarmUp(0.0, over=3), "schedule of WarmUp is 0.0"),
        (lambda: losses.Huber(-1.0), "threshold of Huber is -1.0"),
        (lambda: losses.Quantile(5.0), "quantile of Quantile is 5.0, and should be a number between 0 and 1."),
        (lambda: activations.ELU(math.inf), "alpha of ELU is inf, and should be a finite number."),
        (lambda: activations.LeakyReLU(None), "negative_slope of LeakyReLU is None"),
        (lambda: losses.Huber(abs), "threshold of Huber is <built-in function abs>"),
        (lambda: optimizers.Adam(beta_1=max), "beta_1 of Adam is <built-in function max>"),
        (lambda: bp.EarlyStopping(patience="3"), "patience of EarlyStopping is '3'"),
        (lambda: bp.EarlyStopping(min_delta=-1), "min_delta of EarlyStopping is -1"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("outer", [optimizers.Penalized, optimizers.Clipped])
@pytest.mark.parametrize("inner", ["sgd", optimizers.SGD, None])
def test_only_optimizers_can_be_wrapped(outer, inner):
    with pytest.raises(TypeError, match=f"{outer.__name__} was given .*, and wraps an optimizer: give it one, such as SGD"):
        outer(inner)


def test_settings_are_python_s_own_numbers():
    assert type(optimizers.Adam(np.float64(0.1), beta_1=np.float32(0.5)).learning_rate) is float
    assert optimizers.Adam(np.float64(0.1)) == optimizers.Adam(0.1)


def test_a_pair_of_functions_is_not_taken_for_the_numbers_of_two_members():
    pair = optimizers.Clipped(optimizers.Optimizer(optimizers.SGD().init, optimizers.SGD().update))
    for members in (None, 2, 3):
        check_members(pair, members)
    assert of_members(pair, [1]) is pair
    rates = optimizers.Clipped(optimizers.SGD((0.1, 0.2, 0.3)))
    assert of_members(rates, [2, 0]) == optimizers.Clipped(optimizers.SGD((0.3, 0.1)))
    with pytest.raises(ValueError, match="learning_rate of SGD holds 3 numbers, and the population has 2 members"):
        check_members(rates, 2)
