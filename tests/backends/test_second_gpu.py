"""Every array is created on the backend's device, in compiled functions or in asarray, and read by to_numpy alone.

CuPy creates arrays on its current device, not on the device of the operands: on a machine with several GPUs, a sum outside of a
compiled function could be on another GPU. A view, such as ``out[0, :]`` or ``weight.mT``, stays on its device.
"""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import chunks
from portable_bp.estimators import MLPClassifier, MLPRegressor
from tests.support.pretended_cupy import ndarray, pretending
from tests.support.tables import flowers, predict, prices, train

FLAG = "cupy:1"
X = np.random.default_rng(0).normal(size=(40, 3))
TARGET = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
CLASSES = np.arange(40) % 3


@pytest.fixture(autouse=True)
def second_gpu(monkeypatch):
    """The second GPU of a pretended CuPy, whose current device is the first; arrays are read by to_numpy alone."""

    def read(self):
        raise AssertionError("an array is read without asking for it")

    monkeypatch.setattr(ndarray, "get", read)
    with pretending():
        yield


def own(data, dtype=None):
    return bp.select_backend(FLAG, "float64").asarray(data, dtype)


def make(sizes=(3, 5, 2), *arguments, **options):
    return bp.Network(list(sizes), *arguments, backend=FLAG, dtype="float64", seed=0, **options)


def test_the_guard_guards():
    import cupy

    array = own([[1.0, 2.0]])
    assert array[0, :].shape == (2,) and array.mT.shape == (2, 1)
    for outside in (lambda: array + 1.0, lambda: array @ array.mT, lambda: array == array, lambda: cupy.sum(array)):
        with pytest.raises(AssertionError, match="an array of <CUDA Device 1> is computed with on device 0"):
            outside()
    for outside in (lambda: float(array[0, 0, ...]), lambda: bool(array[0, 0, ...])):
        with pytest.raises(AssertionError, match="read without asking"):
            outside()
    assert cupy.cuda.Device().id == 0


@pytest.mark.parametrize("given", [lambda data: data, own], ids=["host", "own"])
@pytest.mark.parametrize("method", ["predict", "hidden", "loss", "gradient", "input_gradient", "trace"])
def test_inspecting_a_network(given, method, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 30)
    network, target = make(), () if method in ("predict", "hidden") else (given(TARGET),)
    getattr(network, method)(given(X), *target)
    getattr(network, method)(given(X[0]), *(each[0, ...] for each in target))
    if method == "trace":
        network.trace(given(X), *target, decimals=4)
    elif target and method != "trace":
        getattr(network, method)(given(X), *target, "huber", sample_weight=given(np.linspace(0.0, 1.0, 40)))


@pytest.mark.parametrize("given", [lambda data, *_: data, own], ids=["host", "own"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "poisson", "quantile"])
def test_losses(given, loss):
    network = make((3, 5, 3), "tanh", "exp" if loss == "poisson" else "identity")
    target = given(CLASSES, "int32") if loss == "cross_entropy" else given(np.eye(3)[CLASSES])
    network.loss(given(X), target, loss)
    network.fit(given(X), target, loss, epochs=2, batch_size=7)


SCHEDULE = bp.schedules.WarmUp(bp.schedules.Cosine(0.1, over=9), over=3)
OPTIMIZERS = [
    "sgd",
    "momentum",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    bp.optimizers.Clipped(bp.optimizers.Penalized(bp.optimizers.Adam(SCHEDULE), l2=0.1), norm=1.0),
    bp.optimizers.Steered(bp.optimizers.Momentum(0.1)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: str(optimizer)[:20])
@pytest.mark.parametrize("given", [lambda data: data, own], ids=["host", "own"])
def test_training(given, optimizer, tmp_path):
    network = make((3, 5, 4, 2), ["gelu", "softplus", "identity"])
    network.fit(
        given(X),
        given(TARGET),
        optimizer=optimizer,
        epochs=4,
        batch_size=16,
        dropout=[0.2, 0.0],
        validation_data=(given(X[:9]), given(TARGET[:9]), given(np.ones(9))),
        sample_weight=given(np.linspace(0.5, 1.5, 40)),
        callbacks=[bp.EarlyStopping(patience=1), lambda training: None],
        checkpoint=tmp_path / "run.safetensors",
        checkpoint_every=2,
    )
    network.fit(given(X), given(TARGET), epochs=2)


def test_resuming_from_a_checkpoint(tmp_path):
    def run(epochs, **options):
        path, callbacks = tmp_path / "run.safetensors", [bp.EarlyStopping()]
        return make().fit(X, TARGET, "huber", "adam", None, epochs, 16, callbacks=callbacks, checkpoint=path, **options)

    run(2)
    assert len(run(4, resume=True).loss) == 4


def test_divergence_is_found():
    with pytest.raises(bp.DivergenceError):
        make((3, 5, 2), "identity").fit(1e3 * X, TARGET, learning_rate=1e30, epochs=3, batch_size=16)


def test_importing_and_exporting(tmp_path):
    network = make()
    network.save(tmp_path / "model.safetensors")
    again = bp.load(tmp_path / "model.safetensors", backend=FLAG)
    for made in (again.to(FLAG), again.to("numpy"), again.to(FLAG, dtype="float32")):
        assert made.sizes == (3, 5, 2)
    bp.Network.from_weights([own(np.ones((2, 3)))], [own(np.ones(2))], backend=FLAG, dtype="float64")
    bp.Network.from_weights([own(np.ones((2, 3)))], backend=FLAG, dtype="float32")
    assert len(network.coefs_) == len(network.intercepts_) == len(make(bias=False).intercepts_) == 2
    assert repr(network)
    assert bp.check_gradient(network, own(X), own(TARGET)).max_relative_error < 1e-6


TARGETS = {
    "multiclass": (MLPClassifier, CLASSES),
    "binary": (MLPClassifier, CLASSES % 2),
    "one class": (MLPClassifier, CLASSES * 0),
    "multilabel": (MLPClassifier, np.stack([CLASSES % 2, CLASSES // 2], axis=1)),
    "text": (MLPClassifier, np.asarray(["a", "b", "c"])[CLASSES]),
    "numbers": (MLPRegressor, TARGET[:, 0]),
    "several": (MLPRegressor, TARGET),
}
SETTINGS = [
    {"solver": "adam", "dropout": 0.1},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1},
    {"solver": "sgd", "learning_rate": "invscaling", "early_stopping": True, "callbacks": [bp.EarlyStopping()]},
    {"solver": "lbfgs"},
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings["solver"])
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("where", ["own", "backend"])
def test_estimators(kind, settings, where):
    model, y = TARGETS[kind][0](hidden_layer_sizes=(4,), random_state=0, max_iter=5, **settings), TARGETS[kind][1]
    if settings.get("early_stopping") and kind == "one class":
        pytest.skip("there is nothing to stratify")
    samples, weight = X, np.linspace(0.5, 1.5, 40)
    if where == "own":
        samples, weight = own(X), own(weight)
        y = y if kind == "text" else own(y, "int64" if y.dtype.kind == "i" else None)
    else:
        model.set_params(backend=FLAG)
    if isinstance(model, MLPClassifier):
        model.set_params(class_weight="balanced" if kind != "one class" else None)
    model.fit(samples, y, weight)
    model.predict(samples)
    model.score(samples, y)
    model.score(samples, y, weight)
    if isinstance(model, MLPClassifier):
        model.predict_proba(samples)
        model.predict_log_proba(samples)
    if model.solver != "lbfgs":
        model.fit(samples, y, X_val=samples[:9, :], y_val=y[:9, ...]) if not model.early_stopping else None
        model.set_params(early_stopping=False).partial_fit(samples, y)
    model.set_params(warm_start=True, solver="adam").fit(samples, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "labels", [np.asarray([True, False] * 20), np.asarray([3, 2] * 20, dtype="uint8")], ids=["bool", "uint8"]
)
def test_estimators_convert_their_arguments(labels):
    single = bp.select_backend(FLAG, "float32")
    model = MLPClassifier((4,), random_state=0, max_iter=2, backend=FLAG).fit(X, labels)
    assert set(model.predict(X).tolist()) <= set(labels.tolist())
    model.fit(single.asarray(X), labels)
    model.predict(single.asarray(X))
    model.predict(own(X))
    model.predict(own(np.arange(12).reshape(4, 3), "int64"))


@pytest.mark.parametrize("table", [flowers(), prices()], ids=["classes", "numbers"])
def test_tables(tmp_path, table):
    target = table.columns[-1]
    assert train(tmp_path, table, target, "--backend", FLAG, "--epochs", "3") == 0
    assert predict(tmp_path, table.drop(target), "--backend", FLAG) == 0
