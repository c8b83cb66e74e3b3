"""Dropout over several calls: its masks go on, and all else is drawn as scikit-learn draws it."""

import copy
import pickle

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris

from portable_bp.algorithm.dropout import draw_mask
from portable_bp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "sgd"])
STATES = pytest.mark.parametrize("make", [lambda: 3, lambda: np.random.RandomState(3)], ids=["int", "instance"])
CALLS = pytest.mark.parametrize("way_on", ["partial_fit", "warm_start"])
THEIRS = {MLPClassifier: sklearn.neural_network.MLPClassifier, MLPRegressor: sklearn.neural_network.MLPRegressor}
OPTIONS = {"hidden_layer_sizes": (9, 5), "dropout": 0.5, "batch_size": 40, "learning_rate_init": 0.01}


def go_on(model, way_on, calls):
    """Call partial_fit, or fit for one epoch more, so often."""
    classes = {"classes": [0, 1, 2]} if way_on == "partial_fit" and isinstance(model, MLPClassifier) else {}
    for _ in range(calls):
        if way_on == "partial_fit":
            model.partial_fit(X, Y, **classes)
        else:
            model.set_params(warm_start=True, max_iter=1).fit(X, Y)
    return model


def assert_same(mine, theirs, rtol=0.0):
    for ours, given in zip([*mine.coefs_, *mine.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(ours, given, rtol=rtol, atol=1e-3 * rtol * np.max(np.abs(given)))
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=rtol)


@BOTH
@SOLVERS
@STATES
@CALLS
def test_every_call_draws_masks_of_its_own(kind, solver, make, way_on, monkeypatch):
    drawn = []

    def remember(*given):
        drawn.append(draw_mask(*given))
        return drawn[-1]

    monkeypatch.setattr("portable_bp.training.batches.draw_mask", remember)
    go_on(kind(solver=solver, random_state=make(), **OPTIONS), way_on, 4)
    assert len(drawn) == 4 * 4 * 2
    masks = {mask.tobytes() for mask in drawn}
    assert len(masks) == len(drawn)
    assert abs(np.mean([np.mean(mask) for mask in drawn]) - 1.0) < 0.05


@BOTH
@SOLVERS
@STATES
def test_partial_fits_are_the_epochs_of_one_fit_where_nothing_is_shuffled(kind, solver, make):
    options = OPTIONS | {"solver": solver, "shuffle": False}
    one = kind(random_state=make(), max_iter=5, n_iter_no_change=np.inf, **options).fit(X, Y)
    assert_same(go_on(kind(random_state=make(), **options), "partial_fit", 5), one, 1e-9)


@BOTH
@SOLVERS
@STATES
@CALLS
def test_dropout_that_drops_nothing_changes_none_of_scikit_learns_numbers(kind, solver, make, way_on):
    """So small a rate drops nothing: what is drawn for it must not be missing elsewhere."""
    options = OPTIONS | {"solver": solver}
    del options["dropout"]
    mine, theirs = kind(dropout=1e-300, random_state=make(), **options), THEIRS[kind](random_state=make(), **options)
    for model in (mine, theirs):
        classes = {"classes": [0, 1, 2]} if kind is MLPClassifier and way_on == "partial_fit" else {}
        for _ in range(3):
            if way_on == "partial_fit":
                model.partial_fit(X, Y, **classes)
            else:
                model.set_params(warm_start=True, max_iter=2).fit(X, Y)
    assert_same(mine, theirs, 1e-9)


@BOTH
@STATES
@CALLS
def test_the_same_calls_give_the_same_model(kind, make, way_on):
    first, second = (go_on(kind(random_state=make(), **OPTIONS), way_on, 4) for _ in range(2))
    assert_same(first, second)


@BOTH
def test_a_fit_starts_again(kind):
    model = kind(random_state=3, max_iter=3, **OPTIONS).fit(X, Y)
    before = model.coefs_
    go_on(model, "partial_fit", 2)
    again = model.fit(X, Y)
    assert_same(again, kind(random_state=3, max_iter=3, **OPTIONS).fit(X, Y))
    np.testing.assert_array_equal(again.coefs_[0], before[0])


@BOTH
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_a_copy_goes_on_where_the_model_was_and_a_clone_starts_afresh(kind, copied):
    model = go_on(kind(random_state=3, **OPTIONS), "partial_fit", 2)
    other, fresh = copied(model), clone(model)
    assert_same(go_on(other, "partial_fit", 2), go_on(model, "partial_fit", 2))
    assert_same(model, go_on(kind(random_state=3, **OPTIONS), "partial_fit", 4))
    assert_same(go_on(fresh, "partial_fit", 4), model)


@BOTH
def test_a_call_that_failed_has_drawn_nothing(kind):
    model = go_on(kind(solver="sgd", random_state=3, **OPTIONS), "partial_fit", 2)
    expected = go_on(copy.deepcopy(model), "partial_fit", 1)
    with pytest.raises(ValueError, match="non-finite"):
        model.partial_fit(1e300 * X, Y)
    assert_same(go_on(model, "partial_fit", 1), expected)


@BOTH
def test_dropout_may_pause(kind):
    """Masks go on after calls that needed none."""
    model = go_on(kind(random_state=3, **OPTIONS), "partial_fit", 1)
    state = model._mask_generator.bit_generator.state
    go_on(model.set_params(dropout=0.0), "partial_fit", 2)
    assert model._mask_generator.bit_generator.state == state
    go_on(model.set_params(dropout=0.5), "partial_fit", 1)
    assert model._mask_generator.bit_generator.state != state


@BOTH
def test_without_a_random_state_numpys_own_is_followed(kind):
    models = []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        models.append(go_on(kind(**OPTIONS), "partial_fit", 3))
    assert_same(models[0], models[1])
    assert (models[0].coefs_[0] != models[2].coefs_[0]).all()


def test_three_hundred_partial_fits_do_not_learn_by_heart():
    generator = np.random.default_rng(0)
    samples, new = generator.normal(size=(200, 10)), generator.normal(size=(2000, 10))
    y, y_new = (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] for x in (samples, new))
    options = {"hidden_layer_sizes": (64, 64), "dropout": 0.5, "learning_rate_init": 0.005, "alpha": 0.0, "random_state": 0}
    model = MLPRegressor(**options)
    for _ in range(300):
        model.partial_fit(samples, y)
    one = MLPRegressor(max_iter=300, n_iter_no_change=np.inf, **options).fit(samples, y)
    assert model.loss_ > 0.5 * one.loss_
    assert model.score(new, y_new) > one.score(new, y_new) - 0.1 > 0.5
