"""scikit-learn's callback protocol, which came with 1.9, on both estimators."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

protocol = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.metrics import get_scorer  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import portable_bp as bp  # noqa: E402
from portable_bp.estimators import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*batch_size is:UserWarning"),
]

X, Y = load_iris(return_X_y=True)
NAMES = np.asarray(["setosa", "versicolor", "virginica"])[Y]
WEIGHT = np.linspace(0.1, 1.0, len(X))
SOLVERS = ["sgd", "adam", "lbfgs"]
both = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
SCORE = {MLPClassifier: "neg_log_loss", MLPRegressor: "neg_mean_absolute_error"}


class Recorder:
    """Records the calls of its hooks; stops training, or fails, after the given number of epochs."""

    def __init__(self, stop_after=None, fail_after=None):
        self.calls, self.fitted, self.stop_after, self.fail_after = [], [], stop_after, fail_after

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        self.calls.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.calls.append(("end", context.task_name, context.task_id))
        self.fitted.append(fitted_estimator)
        if context.parent is not None and context.task_id + 1 == self.fail_after:
            raise RuntimeError("a hook fails")
        return context.parent is not None and context.task_id + 1 == self.stop_after


def target(kind):
    return NAMES if kind is MLPClassifier else Y


def model_for(kind, **options):
    return kind(hidden_layer_sizes=(5,), random_state=0, **options)


def scores_of(monitor, name):
    return [row[name] for row in monitor.get_logs().data if len(row["task_id_path"]) == 2]


@both
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_monitored_scores_equal_those_of_shorter_fits(kind, solver, early_stopping, weight):
    options, y, scoring = {"solver": solver, "early_stopping": early_stopping}, target(kind), SCORE[kind]
    monitor = protocol.ScoringMonitor(scoring=scoring)
    watched = model_for(kind, max_iter=4, **options).set_callbacks(monitor).fit(X, y, weight)
    fits = [model_for(kind, max_iter=epochs, **options).fit(X, y, weight) for epochs in range(1, 5)]
    assert scores_of(monitor, scoring) == [get_scorer(scoring)(fit, X, y, sample_weight=weight) for fit in fits]
    np.testing.assert_array_equal(watched.coefs_[0], fits[-1].coefs_[0])
    whole = next(row for row in monitor.get_logs().data if row["task_id_path"] == (0,))
    assert whole[scoring] == scores_of(monitor, scoring)[-1]


@both
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_task_that_begins_ends(kind, solver):
    recorder = Recorder()
    model_for(kind, solver=solver, max_iter=3).set_callbacks(recorder).fit(X, target(kind))
    name = "iteration" if solver == "lbfgs" else "epoch"
    epochs = [(what, name, number) for number in range(3) for what in ("begin", "end")]
    assert recorder.calls == ["setup", ("begin", "fit", 0), *epochs, ("end", "fit", 0), "teardown"]


@both
@pytest.mark.parametrize("options", [{"solver": "lbfgs", "tol": 100.0}, {"tol": 100.0, "n_iter_no_change": 2}], ids=str)
def test_a_fit_that_ends_early(kind, options):
    recorder = Recorder()
    model = model_for(kind, max_iter=50, **options).set_callbacks(recorder).fit(X, target(kind))
    begun, ended = ([call[1:] for call in recorder.calls if call[0] == what] for what in ("begin", "end"))
    assert sorted(begun) == sorted(ended) and model.n_iter_ < 50
    assert sum(fitted is not None for fitted in recorder.fitted) == model.n_iter_ + 1


@both
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_may_stop_the_training(kind, solver):
    model = model_for(kind, solver=solver, max_iter=9).set_callbacks(Recorder(stop_after=2)).fit(X, target(kind))
    expected = model_for(kind, solver=solver, max_iter=2).fit(X, target(kind))
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])


@both
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_that_fails_leaves_the_model_as_it_was(kind, solver):
    recorder = Recorder(fail_after=2)
    model = model_for(kind, solver=solver).fit(X, target(kind))
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match="a hook fails"):
        model.set_callbacks(recorder).fit(X, target(kind))
    assert recorder.calls[-1] == "teardown"
    model.set_callbacks()
    assert vars(model).keys() == before.keys() and model.coefs_[0] is before["coefs_"][0]


def test_callbacks_are_torn_down_after_bad_data():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        MLPRegressor().set_callbacks(recorder).fit(np.full_like(X, np.nan), Y)
    assert recorder.calls[-1] == "teardown"


@both
def test_partial_fits_are_fits_of_one_epoch(kind):
    recorder, classes = Recorder(), {"classes": np.unique(NAMES)} if kind is MLPClassifier else {}
    model = model_for(kind).set_callbacks(recorder)
    for _ in range(2):
        model.partial_fit(X, target(kind), **classes)
    one = ["setup", ("begin", "fit", 0), ("begin", "epoch", 0), ("end", "epoch", 0), ("end", "fit", 0), "teardown"]
    assert recorder.calls == one * 2


@both
def test_estimators_given_to_a_callback_do_not_change(kind):
    recorder = Recorder()
    model = model_for(kind, max_iter=3).set_callbacks(recorder).fit(X, target(kind))
    assert [len(fitted.loss_curve_) for fitted in recorder.fitted] == [1, 2, 3, 3]
    assert not np.array_equal(recorder.fitted[0].coefs_[0], model.coefs_[0])
    np.testing.assert_array_equal(recorder.fitted[2].predict(X), model.predict(X))


@both
def test_set_callbacks_is_separate_from_the_parameter_callbacks(kind):
    epochs, recorder = [], Recorder()
    model = model_for(kind, max_iter=3, callbacks=[lambda training: epochs.append(training.epoch)])
    model.set_callbacks(recorder).fit(X, target(kind))
    assert epochs == [1, 2, 3] and len(recorder.fitted) == 4
    stopping = bp.EarlyStopping(patience=1, min_delta=1e9)
    model = model_for(kind, max_iter=50, callbacks=[stopping]).set_callbacks(Recorder()).fit(X, target(kind))
    assert model.n_iter_ < 50
    with pytest.raises(TypeError, match="callbacks must be instances following the FitCallback protocol"):
        model.set_callbacks(stopping)


@both
def test_column_names_and_labels_are_those_of_fit(kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    monitor = protocol.ScoringMonitor(scoring=SCORE[kind])
    model_for(kind, max_iter=2).set_callbacks(monitor).fit(frame, pandas.Series(target(kind)))
    assert len(scores_of(monitor, SCORE[kind])) == 2


@both
def test_searches_and_pipelines_pass_callbacks_on(kind):
    y, monitor = target(kind), protocol.ScoringMonitor(scoring=SCORE[kind])
    model = model_for(kind, max_iter=3).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, y)
    assert scores_of(monitor, SCORE[kind])[-1] == get_scorer(SCORE[kind])(pipeline, X, y)
    monitor = protocol.ScoringMonitor(scoring=SCORE[kind])
    search = GridSearchCV(model_for(kind, max_iter=3).set_callbacks(monitor), {"alpha": [0.1, 1.0]}, cv=2).fit(X, y)
    epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(epochs) == (2 * 2 + 1) * 3
    refit = max(epochs, key=lambda row: (row["task_id_path"][0], row["task_id"]))
    assert refit[SCORE[kind]] == get_scorer(SCORE[kind])(search.best_estimator_, X, y)


@both
def test_a_progress_bar_is_shown(kind, capsys):
    pytest.importorskip("rich")
    model_for(kind, max_iter=3).set_callbacks(protocol.ProgressBar()).fit(X, target(kind))
    assert f"{kind.__name__} - fit" in (shown := capsys.readouterr().out) and "100%" in shown
    pipeline = make_pipeline(StandardScaler(), model_for(kind, max_iter=3))
    pipeline.set_callbacks(protocol.ProgressBar()).fit(X, target(kind))
    assert f"fit-final-estimator | {kind.__name__}" in capsys.readouterr().out


@both
def test_clones_and_pickles_keep_callbacks(kind):
    recorder = Recorder()
    clone(model_for(kind, max_iter=2).set_callbacks(recorder)).fit(X, target(kind))
    assert len(recorder.fitted) == 3
    model = pickle.load(io.BytesIO(pickle.dumps(model_for(kind, max_iter=2).set_callbacks(Recorder()).fit(X, target(kind)))))
    assert isinstance(model._skl_callbacks[0], Recorder)


def test_on_every_library(on_target):
    backend, recorder = on_target.backend(), Recorder()
    with on_target.current():
        model = model_for(MLPRegressor, max_iter=3, early_stopping=True).set_callbacks(recorder)
        model.fit(backend.asarray(X), backend.asarray(Y))
        outs = [backend.to_numpy(fitted.predict(backend.asarray(X))) for fitted in recorder.fitted]
    for epochs, out in enumerate(outs[:3], start=1):
        expected = model_for(MLPRegressor, max_iter=epochs, early_stopping=True).fit(X, Y).predict(X)
        np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-9)


OLDER = """
import sys
import sklearn.callback, sklearn.metrics, sklearn.model_selection, sklearn.pipeline, sklearn.preprocessing
with_protocol, sys.modules["sklearn.callback"] = sys.modules["sklearn.callback"], None
from portable_bp.estimators import MLPClassifier, MLPRegressor
sys.modules["sklearn.callback"] = with_protocol
for kind in (MLPClassifier, MLPRegressor):
    assert not hasattr(kind, "set_callbacks")
    kind(hidden_layer_sizes=(2,), solver="lbfgs").fit([[0.0], [1.0]], [0, 1]).predict([[0.0]])
"""


def test_an_older_scikit_learn_has_no_set_callbacks():
    done = subprocess.run([sys.executable, "-c", OLDER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@both
def test_the_parameter_callbacks_refers_callbacks_of_the_protocol_to_set_callbacks(kind):
    monitor = protocol.ScoringMonitor(scoring="r2")
    with pytest.raises(TypeError, match="callbacks holds .*ScoringMonitor.*; scikit-learn's callbacks go to .* set_callbacks"):
        model_for(kind, callbacks=[monitor]).fit(X, target(kind))
