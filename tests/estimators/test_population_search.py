"""PopulationSearchCV finds what GridSearchCV and RandomizedSearchCV find, and refuses what it cannot do."""

import warnings

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, RandomizedSearchCV, ShuffleSplit, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from portable_bp.backends import backend_of
from portable_bp.estimators import MLPClassifier, MLPEnsembleClassifier, MLPRegressor, PopulationSearchCV, together
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.together import Job
from tests.support.targets import ON_DEVICES

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*run alone:UserWarning"),
]

IRIS, SPECIES = load_iris(return_X_y=True)
DIGITS, NUMBERS = (part[:300] for part in load_digits(return_X_y=True))
BODIES, PROGRESS = load_diabetes(return_X_y=True)
MODEL = MLPClassifier((5,), max_iter=8, random_state=0)
RATES = {"learning_rate_init": [0.01, 0.1]}


def assert_same_search(mine, theirs):
    results, expected = mine.cv_results_, theirs.cv_results_
    assert list(results) == list(expected) and results["params"] == expected["params"]
    for name, values in expected.items():
        assert type(results[name]) is type(values) and len(results[name]) == len(values)
        if name.endswith("_time"):
            assert np.all(results[name] >= 0.0)
        elif "_test_" in name or "_train_" in name:
            np.testing.assert_allclose(results[name], values, rtol=1e-9, err_msg=name)
        elif name.startswith("param_"):
            assert results[name].dtype == values.dtype and np.all(results[name] == values)
    fitted = {name for name in vars(theirs) if name.endswith("_")}
    assert {name for name in vars(mine) if name.endswith("_")} == fitted
    for name in fitted & {"best_params_", "best_index_", "n_splits_", "multimetric_"}:
        assert getattr(mine, name) == getattr(theirs, name)
    if "best_score_" in fitted:
        np.testing.assert_allclose(mine.best_score_, theirs.best_score_, rtol=1e-9)


def search_both_ways(model, parameters, x, y, n_iter=None, given=None, **options):
    """Return our search and scikit-learn's, both fitted and found to be the same."""
    mine = PopulationSearchCV(model, parameters, n_iter=n_iter, random_state=0, **options).fit(x, y, **given or {})
    if n_iter is None:
        theirs = GridSearchCV(model, parameters, **options)
    else:
        theirs = RandomizedSearchCV(model, parameters, n_iter=n_iter, random_state=0, **options)
    theirs.fit(x, y, **given or {})
    assert_same_search(mine, theirs)
    return mine, theirs


def test_a_grid_over_digits_against_scikit_learns_own_network():
    grid = {"learning_rate_init": [0.001, 0.01], "alpha": [1e-4, 1.0], "hidden_layer_sizes": [(10,), (8, 6)]}
    options = {"max_iter": 10, "random_state": 0}
    mine = PopulationSearchCV(MLPClassifier(**options), grid, cv=5).fit(DIGITS, NUMBERS)
    theirs = GridSearchCV(sklearn.neural_network.MLPClassifier(**options), grid, cv=5).fit(DIGITS, NUMBERS)
    assert_same_search(mine, theirs)
    np.testing.assert_allclose(mine.predict_proba(DIGITS), theirs.predict_proba(DIGITS), rtol=1e-6, atol=1e-12)
    assert mine.score(DIGITS, NUMBERS) == theirs.score(DIGITS, NUMBERS)
    np.testing.assert_array_equal(mine.classes_, theirs.classes_)


def test_a_random_search_with_every_kind_of_parameter():
    distributions = {
        "learning_rate_init": scipy.stats.loguniform(1e-3, 1.0),
        "dropout": [0.0, 0.1, 0.5],
        "random_state": range(5),
        "solver": ["adam", "sgd"],
        "momentum": [0.5, 0.9],
        "beta_1": [0.5, 0.9],
        "beta_2": [0.9, 0.99],
        "epsilon": [1e-8, 1e-3],
        "tol": [1e-4, 0.1],
    }
    alone = {"solver": ["lbfgs"], "alpha": scipy.stats.uniform()}
    mine, _ = search_both_ways(MODEL, [distributions, alone], IRIS, SPECIES, n_iter=15, cv=3, return_train_score=True)
    assert {each["solver"] for each in mine.cv_results_["params"]} == {"adam", "sgd", "lbfgs"}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_regressor(early_stopping):
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=8, random_state=0, early_stopping=early_stopping)
    grid = [{"beta_2": [0.9, 0.99], "batch_size": [20, 50]}, {"loss": ["poisson"], "validation_fraction": [0.2]}]
    search_both_ways(model, grid, BODIES, PROGRESS, cv=4)


SCORES = {
    "a name": {"scoring": "neg_log_loss"},
    "several": {"scoring": ["accuracy", "neg_log_loss"], "refit": "neg_log_loss", "return_train_score": True},
    "a function": {"scoring": lambda model, x, y: model.predict_proba(x)[:, 0].mean()},
    "a function of several": {"scoring": lambda model, x, y: {"a": model.score(x, y), "b": 1.0}, "refit": "a"},
    "no refit": {"refit": False},
    "a choice": {"refit": lambda results: 1},
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_and_refits(name):
    mine, theirs = search_both_ways(MODEL, RATES, IRIS, SPECIES, cv=3, **SCORES[name])
    if SCORES[name].get("refit", True):
        np.testing.assert_allclose(mine.best_estimator_.coefs_[0], theirs.best_estimator_.coefs_[0], rtol=1e-9)
    else:
        with pytest.raises(AttributeError, match="has no attribute 'predict'"):
            mine.predict(IRIS)


def test_groups_weights_and_folds_of_different_sizes():
    groups, weight = np.arange(150) % 7, np.linspace(0.0, 2.0, 150)
    search_both_ways(MODEL, RATES, IRIS, SPECIES, cv=GroupKFold(3), given={"groups": groups})
    search_both_ways(MODEL, RATES, IRIS, SPECIES, cv=ShuffleSplit(3, random_state=0), given={"sample_weight": weight})
    search_both_ways(MODEL, RATES, IRIS, SPECIES, cv=4, given={"X_val": IRIS[:50], "y_val": SPECIES[:50]})
    search_both_ways(MODEL, {"class_weight": [None, "balanced", {0: 2.0}]}, IRIS, SPECIES % 2, cv=2)


MANY = {"learning_rate_init": np.geomspace(1e-3, 0.3, 5).tolist(), "alpha": [0.0, 0.1]}
RNG = np.random.default_rng(0)
ODD = {
    "the same batches for all": {},
    "several seeds": {"grid": MANY | {"random_state": [0, 1]}},
    "copies of a random state": {"model": {"random_state": np.random.RandomState(3)}},
    "a numpy integer": {"model": {"random_state": np.int64(3)}},
    "sgd without shuffling": {"model": {"solver": "sgd", "shuffle": False, "batch_size": 32}},
    "batches larger than the samples": {"model": {"batch_size": 1000}},
    "one split": {"model": {"early_stopping": True}},
    "splits of two seeds, some with masks": {
        "model": {"early_stopping": True},
        "grid": {"alpha": [0.0, 0.1, 1.0], "random_state": [0, 1], "dropout": [0.0, 0.5]},
    },
    "members that end": {"model": {"tol": 0.2, "n_iter_no_change": 1, "max_iter": 12}},
    "masks": {"grid": MANY | {"dropout": [0.0, 0.5]}},
    "sparse samples": {"x": scipy.sparse.csr_array(DIGITS)},
    "folds of different sizes": {"cv": ShuffleSplit(2, test_size=0.3, train_size=0.5, random_state=0)},
    "groups": {"cv": GroupKFold(3), "given": {"groups": np.arange(300) // 7}},
    "weights": {"given": {"sample_weight": RNG.integers(0, 3, 300).astype(float)}},
    "weights of classes": {"model": {"class_weight": "balanced"}},
    "validation data": {"given": {"X_val": DIGITS[:50], "y_val": NUMBERS[:50]}, "model": {"early_stopping": True}},
    "several outputs": {"y": (NUMBERS[:, None] % [2, 3, 5] == 0).astype(int)},
    "two classes that are text": {"y": np.where(NUMBERS > 4, "high", "low")},
    "a pipeline": {"steps": True},
}


@pytest.mark.filterwarnings("ignore:batch_size is")
@pytest.mark.parametrize("name", ODD)
def test_searches_whose_members_share_batches(name, monkeypatch):
    monkeypatch.setattr(together, "MIN_SHARING", 4)
    case = ODD[name]
    model = MLPClassifier(**{"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0} | case.get("model", {}))
    grid, given, x = case.get("grid", MANY), case.get("given", {}), case.get("x", DIGITS)
    if "steps" in case:
        model, grid = make_pipeline(StandardScaler(), model), {f"mlpclassifier__{key}": grid[key] for key in grid}
    options = {"cv": case.get("cv", 2), "return_train_score": True}
    search_both_ways(model, grid, x, case.get("y", NUMBERS), given=given, **options)


def test_members_without_a_seed_draw_orders_of_their_own(monkeypatch):
    monkeypatch.setattr(together, "MIN_SHARING", 2)
    model = MLPClassifier((5,), max_iter=3)
    jobs = [Job(clone(model), FitArguments(DIGITS, NUMBERS)) for _ in range(3)]
    assert all(outcome.error is None for outcome in together.fit_together(jobs))
    assert len({job.model.loss_ for job in jobs}) == 3


def test_members_that_share_batches_are_those_fitted_alone(monkeypatch):
    monkeypatch.setattr(together, "MIN_SHARING", 2)
    model = MLPClassifier((5,), max_iter=12, random_state=0, n_iter_no_change=1, tol=0.05)
    given = FitArguments(DIGITS, NUMBERS)
    rates = [0.3, 0.001, 0.01, 0.02]  # the first one ends first, and the others still need its orders
    jobs = [Job(clone(model).set_params(learning_rate_init=rate), given) for rate in rates]
    assert all(outcome.error is None for outcome in together.fit_together(jobs))
    assert len({job.model.n_iter_ for job in jobs}) > 1 and jobs[0].model.n_iter_ < 12
    for rate, (member, _) in zip(rates, jobs, strict=True):
        alone = clone(model).set_params(learning_rate_init=rate).fit(DIGITS, NUMBERS)
        np.testing.assert_allclose(member.loss_curve_, alone.loss_curve_, rtol=1e-12)
        assert (member.n_iter_, member.t_) == (alone.n_iter_, alone.t_)
        for one, other in zip(member.coefs_, alone.coefs_, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_class_that_is_only_in_the_scored_samples():
    split = [(np.flatnonzero(NUMBERS != 3), np.arange(100)), (np.arange(200), np.arange(200, 300))]
    mine, _ = search_both_ways(MODEL, MANY, DIGITS, NUMBERS, cv=split)
    assert mine.cv_results_["split0_test_score"].max() < 1.0


def test_a_score_of_a_subclass():
    class Constant(MLPClassifier):
        def score(self, X, y, sample_weight=None):
            return 0.25

    search = PopulationSearchCV(Constant((5,), max_iter=3), RATES, cv=2).fit(IRIS, SPECIES)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], 0.25)


@pytest.mark.filterwarnings("ignore:Scoring failed:UserWarning", "ignore:One or more of the test scores:UserWarning")
def test_candidates_that_fail():
    grid = {"learning_rate_init": [0.01, -1.0, 1e200], "hidden_layer_sizes": [(5,), (0,)]}
    options = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, "solver": "sgd"}
    for scoring in (None, ["r2", "neg_mean_squared_error"]):
        refit = True if scoring is None else "r2"
        with pytest.warns(FitFailedWarning, match="10 fits failed out of a total of 12"):
            mine, _ = search_both_ways(
                MLPRegressor(**options), grid, IRIS, SPECIES, cv=2, error_score=-7.0, scoring=scoring, refit=refit
            )
        assert mine.best_params_ == {"learning_rate_init": 0.01, "hidden_layer_sizes": (5,)}
    with pytest.raises(ValueError, match="learning_rate_init"):
        PopulationSearchCV(MODEL, {"learning_rate_init": [-1.0]}, error_score="raise").fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="'callbacks' parameter of MLPClassifier must be"):
        PopulationSearchCV(MODEL, {"callbacks": [None]}, error_score="raise").fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        PopulationSearchCV(MODEL, {"learning_rate_init": [-1.0]}).fit(IRIS, SPECIES)


def test_pipelines():
    grid = {"mlp__learning_rate_init": [0.01, 0.1], "mlp__alpha": [0.0, 1.0]}
    pipeline = Pipeline([("scale", StandardScaler()), ("turn", PCA(3)), ("mlp", MODEL)])
    weight = np.linspace(0.0, 1.0, 150)
    mine, theirs = search_both_ways(pipeline, grid, IRIS, SPECIES, cv=3, given={"mlp__sample_weight": weight})
    np.testing.assert_allclose(mine.predict_proba(IRIS), theirs.predict_proba(IRIS), rtol=1e-9)
    search_both_ways(Pipeline([("mlp", MODEL)]), {"mlp__alpha": [0.0, 1.0]}, IRIS, SPECIES, cv=3)
    inside = make_pipeline(StandardScaler(), PopulationSearchCV(MODEL, RATES, cv=2))
    assert cross_val_score(inside, IRIS, SPECIES, cv=2).mean() > 0.5


@ON_DEVICES
def test_networks_of_every_library(on_target):
    """The samples are on the host: to split those on a device, scikit-learn needs array_api_dispatch."""
    backend = on_target.backend()
    model = MLPClassifier((), max_iter=1, random_state=0, early_stopping=True)
    mine = PopulationSearchCV(clone(model).set_params(backend=backend), RATES, cv=2).fit(IRIS, SPECIES)
    theirs = GridSearchCV(model, RATES, cv=2).fit(IRIS, SPECIES)
    np.testing.assert_allclose(mine.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-6)
    assert mine.best_params_ == theirs.best_params_
    assert backend_of(mine.best_estimator_.coefs_[0]).name == backend.name


def test_samples_on_a_device(torch):
    x, y = torch.asarray(IRIS), torch.asarray(SPECIES)
    mine, _ = search_both_ways(MODEL, RATES, x, y, cv=2)
    assert isinstance(mine.best_estimator_.coefs_[0], torch.Tensor) and isinstance(mine.predict(x), torch.Tensor)


def test_what_cannot_be_in_a_population_is_said():
    grid = [{"solver": ["lbfgs"], "alpha": [0.1, 1.0]}, {"callbacks": [(print,)], "max_iter": [1], "verbose": [False]}, {}]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PopulationSearchCV(clone(MODEL).set_params(max_iter=1), grid, cv=2, refit=False).fit(IRIS, SPECIES)
    said = {str(each.message): (each.category, each.filename) for each in caught}
    alone = "fits cannot be members of a population and run alone, because of"
    assert said[f"4 of 8 {alone} solver='lbfgs'."] == (UserWarning, __file__)
    assert said[f"2 of 8 {alone} callbacks."] == (UserWarning, __file__)
    assert (ConvergenceWarning, __file__) in said.values()
    assert sum("adam has not converged" in message for message in said) == 1


def test_it_prints_how_many_fits_there_are(capsys):
    PopulationSearchCV(MODEL, RATES, cv=2, verbose=1).fit(IRIS, SPECIES)
    assert capsys.readouterr().out == "Fitting 2 folds for each of 2 candidates, totalling 4 fits\n"


@pytest.mark.parametrize(
    ("search", "given", "error", "message"),
    [
        (
            PopulationSearchCV(sklearn.neural_network.MLPClassifier(), RATES),
            {},
            TypeError,
            "the estimator is sklearn.neural_network.*MLPClassifier, and should be .* of portable_bp.estimators",
        ),
        (PopulationSearchCV(MLPEnsembleClassifier(), RATES), {}, TypeError, "the estimator is .*MLPEnsembleClassifier"),
        (PopulationSearchCV(make_pipeline(MODEL, PCA()), RATES), {}, TypeError, "the estimator ends with sklearn.*PCA"),
        (
            PopulationSearchCV(make_pipeline(PCA(), MODEL), {"pca__n_components": [1, 2]}),
            {},
            ValueError,
            "'pca__n_components' is to be searched over, but only parameters of the network, which begin with 'mlpc",
        ),
        (PopulationSearchCV(MODEL, {"rate": [1.0]}), {}, ValueError, "Invalid parameter 'rate'"),
        (PopulationSearchCV(MODEL, {"alpha": 0.1}), {}, TypeError, "alpha"),
        (PopulationSearchCV(MODEL, {"alpha": []}), {}, ValueError, "alpha"),
        (PopulationSearchCV(MODEL, {"alpha": scipy.stats.uniform()}), {}, TypeError, "alpha"),
        (PopulationSearchCV(MODEL, RATES, n_iter=0), {}, ValueError, "'n_iter' parameter"),
        (PopulationSearchCV(MODEL, RATES, cv=[]), {}, ValueError, "there is no fold, or no candidate"),
        (PopulationSearchCV(MODEL, RATES, scoring="best"), {}, ValueError, "'scoring' parameter"),
        (PopulationSearchCV(MODEL, RATES, scoring=["accuracy"]), {}, ValueError, "refit"),
        (PopulationSearchCV(MODEL, RATES), {"weight": SPECIES}, TypeError, "fit got 'weight', and takes sample_weight"),
        (PopulationSearchCV(MODEL, RATES), {"sample_weight": np.ones(9)}, ValueError, "All the 10 fits failed"),
    ],
)
@pytest.mark.filterwarnings("ignore:The scoring:UserWarning")
def test_wrong_input(search, given, error, message):
    with pytest.raises(error, match=message):
        search.fit(IRIS, SPECIES, **given)
    assert not hasattr(search, "cv_results_")


def test_wrong_data():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        PopulationSearchCV(MODEL, RATES).fit(IRIS, SPECIES[:-1])
    with pytest.raises(ValueError, match="y"):
        PopulationSearchCV(MODEL, RATES).fit(IRIS)
