"""A checkpoint is refused with other data, other initial weights, or other custom pieces."""

import abc
import collections
import dataclasses
import decimal
import enum
import functools
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import Rows, rows
from portable_bp.training.fingerprints import fingerprint_piece
from tests.support.networks import bits

pytest.importorskip("safetensors")
GENERATOR = np.random.default_rng(0)
X, TARGET = GENERATOR.normal(size=(24, 3)), GENERATOR.normal(size=(24, 2))
WEIGHT = GENERATOR.uniform(0.5, 2.0, size=24)
RATE = 0.1
PATHS = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}


def fit(path, on_target=None, x=X, target=TARGET, seed=0, **options):
    network = (
        on_target.network([3, 4, 2], seed=seed)
        if on_target
        else bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=seed)
    )
    before = bits(network)
    try:
        network.fit(x, target, **{"epochs": 2, "batch_size": 5, **options}, checkpoint=path, resume=True)
    except ValueError:
        assert bits(network) == before
        raise
    return network


def test_folds_of_a_cross_validation_do_not_share_a_checkpoint(on_target, tmp_path):
    folds = [np.delete(np.arange(24), np.arange(start, start + 6)) for start in range(0, 24, 6)]
    fit(tmp_path / "run", on_target, X[folds[0]], TARGET[folds[0]])
    content = (tmp_path / "run").read_bytes()
    for fold in folds[1:]:
        with pytest.raises(ValueError, match="run is the checkpoint of another training: its inputs are not those given here"):
            fit(tmp_path / "run", on_target, X[fold], TARGET[fold])
    assert (tmp_path / "run").read_bytes() == content
    fit(tmp_path / "run", on_target, X[folds[0]], TARGET[folds[0]], epochs=3)


def with_next(array, index):
    changed = array.copy()
    changed[index] = np.nextafter(changed[index], 9.0)
    return changed


OTHERS = {
    "inputs": [{"x": with_next(X, (17, 1))}, {"x": X[::-1]}, {"x": X[:, ::-1]}, {"x": -X}],
    "targets": [{"target": with_next(TARGET, (23, 0))}, {"target": TARGET[::-1]}],
    "sample weights": [{"sample_weight": with_next(WEIGHT, 3)}, {"sample_weight": WEIGHT[::-1]}],
    "validation inputs": [{"validation_data": (with_next(X, (0, 0)), TARGET)}],
    "validation targets": [{"validation_data": (X, TARGET[::-1])}],
    "validation sample weights": [{"validation_data": (X, TARGET, WEIGHT)}],
    "initial weights": [{"seed": 1}],
}


@pytest.mark.parametrize(("what", "change"), [(what, change) for what, changes in OTHERS.items() for change in changes])
def test_other_data_and_weights_are_refused(tmp_path, what, change):
    given = {"sample_weight": WEIGHT, "validation_data": (X, TARGET)}
    fit(tmp_path / "run", **given)
    with pytest.raises(ValueError, match=f"the checkpoint of another training: its {what} are not those .*, or name another"):
        fit(tmp_path / "run", **given | change)
    same = {"x": X.copy(order="F"), "target": TARGET.tolist(), "sample_weight": WEIGHT.tolist()}
    fit(tmp_path / "run", **given | same)


@pytest.mark.parametrize("stopping", [None, 2])
def test_network_resumes_from_its_own_checkpoint(tmp_path, stopping):
    """It has the weights that training left, and not its initial ones."""
    options = {"learning_rate": 0.3, "batch_size": 5, "validation_data": (X[:9], TARGET[:9]), "checkpoint": tmp_path / "run"}
    network = bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=0)
    for epochs in (4, 8):
        callbacks = [bp.EarlyStopping(patience=stopping)] if stopping else []
        network.fit(X, TARGET, epochs=epochs, callbacks=callbacks, resume=True, **options)
    callbacks = [bp.EarlyStopping(patience=stopping)] if stopping else []
    whole = bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=0)
    history = whole.fit(X, TARGET, epochs=8, callbacks=callbacks, **options | {"checkpoint": None})
    assert bits(network) == bits(whole) and network.history == history


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_network_resumes_after_an_error_in_a_callback(tmp_path, error):
    """It has the weights of an epoch that is not in the file yet."""

    def stop(training):
        if training.epoch == 3:
            raise error

    def make():
        return bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=0)

    options = {"batch_size": 5, "checkpoint": tmp_path / "run", "resume": True}
    network, whole = make(), make()
    with pytest.raises(error):
        network.fit(X, TARGET, epochs=6, callbacks=[stop], **options)
    network.fit(X, TARGET, epochs=6, callbacks=[print], **options)
    whole.fit(X, TARGET, epochs=6, batch_size=5)
    assert bits(network) == bits(whole)
    network.layers = make().layers[:1] + network.layers[1:]
    with pytest.raises(ValueError, match="its initial weights are not those"):
        network.fit(X, TARGET, epochs=9, callbacks=[print], **options)


class Halving:
    def __call__(self, training):
        pass

    def finish(self, training):
        training.layers = [bp.Layer(0.5 * weight, bias) for weight, bias in training.layers]


def test_network_resumes_with_weights_changed_by_a_callback(tmp_path):
    network = bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=0)
    for epochs in (2, 4, 6):
        network.fit(X, TARGET, epochs=epochs, callbacks=[Halving()], checkpoint=tmp_path / "run", resume=True)
    whole = fit(tmp_path / "whole", epochs=6, batch_size=24, callbacks=[Halving()])
    assert bits(network) == bits(whole)


def test_inputs_on_demand_are_fingerprinted_too(on_target, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK_SIZE", 5 * 3)

    def on_demand(x):
        return Rows(x.shape, lambda numbers: x[numbers])

    given = {"validation_data": (on_demand(X[:9]), TARGET[:9])}
    fit(tmp_path / "run", on_target, on_demand(X), **given)
    fit(tmp_path / "run", on_target, X, validation_data=(X[:9], TARGET[:9]))
    with pytest.raises(ValueError, match="its inputs are not those given here"):
        fit(tmp_path / "run", on_target, on_demand(X[::-1]), **given)
    with pytest.raises(ValueError, match="its validation inputs are not those given here"):
        fit(tmp_path / "run", on_target, on_demand(X), validation_data=(on_demand(X[1:10]), TARGET[:9]))


def sgd(rate):
    def update(gradient, state, layers):
        pairs = [zip(*pair, strict=True) for pair in zip(layers, gradient, strict=True)]
        return [bp.Layer(*(parameter - rate * slope for parameter, slope in pair)) for pair in pairs], state

    return (lambda layers: (), update)


class Own:
    def __init__(self, rate, kept=()):
        self.rate, self.kept, self.itself = rate, kept, self

    def init(self, layers):
        return ()

    def update(self, gradient, state, layers):
        return sgd(self.rate)[1](gradient, state, layers)


def of_module(gradient, state, layers):
    return sgd(RATE)[1](gradient, state, layers)


def test_another_user_optimizer_is_refused(tmp_path, monkeypatch):
    made = [
        lambda rate: sgd(rate),
        lambda rate: Own(rate),
        lambda rate: Own(0.1, {"rates": [rate]}),
        lambda rate: Own(0.1, np.full(3, rate)),
        lambda rate: bp.optimizers.Penalized(Own(rate), l2=0.1),
        lambda rate: (sgd(0.1)[0], functools.partial(lambda *given, rate: sgd(rate)[1](*given), rate=rate)),
        lambda rate: (sgd(0.1)[0], Own(rate).update),
    ]
    for number, make in enumerate(made):
        fit(tmp_path / str(number), optimizer=make(0.1))
        fit(tmp_path / str(number), optimizer=make(0.1), epochs=3)
        with pytest.raises(ValueError, match="the checkpoint of another training: its optimizer is"):
            fit(tmp_path / str(number), optimizer=make(0.2))
    fit(tmp_path / "module", optimizer=(sgd(0.1)[0], of_module))
    monkeypatch.setitem(globals(), "RATE", 0.2)
    with pytest.raises(ValueError, match="its optimizer is"):
        fit(tmp_path / "module", optimizer=(sgd(0.1)[0], of_module))


def test_another_user_loss_or_activation_is_refused(tmp_path):
    def power(exponent):
        return (
            lambda out, target: ((out - target) ** exponent).sum(-1),
            lambda out, target: exponent * (out - target) ** (exponent - 1),
        )

    fit(tmp_path / "loss", loss=power(2), learning_rate=0.01)
    fit(tmp_path / "loss", loss=power(2), learning_rate=0.01)
    with pytest.raises(ValueError, match="its loss is"):
        fit(tmp_path / "loss", loss=power(4), learning_rate=0.01)

    def scaled(scale):
        return lambda net: scale * net, lambda slope, signal: scale * slope

    def fit_scaled(scale):
        network = bp.Network([3, 4, 2], scaled(scale), backend="numpy", seed=0)
        network.fit(X, TARGET, learning_rate=0.01, checkpoint=tmp_path / "activation", resume=True)

    fit_scaled(0.5)
    fit_scaled(0.5)
    with pytest.raises(ValueError, match="its activations is"):
        fit_scaled(0.25)


def of_class(rate):
    class Piece:
        given = rate

    return Piece


def inheriting(rate):
    class Above:
        def update(self):
            return rate

    class Piece(Above):
        pass

    return Piece()


def with_descriptors(kind):
    def make(rate):
        class Piece:
            part = kind(lambda *given: rate)

        return Piece()

    return make


class Slotted:
    __slots__ = ("empty", "rate")

    def __init__(self, rate):
        self.rate = rate


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    rate: float


def from_module(source):
    """Return a function that makes the function ``update`` of a module with this source, in which RATE is replaced."""

    def make(rate):
        module = {"__name__": "of_a_user", "np": np}
        exec(source.replace("RATE", repr(rate)), module)  # a user's module before and after an edit
        return module["update"]

    return make


APART = {
    "class attribute": lambda rate: of_class(rate)(),
    "class closed over": lambda rate: (lambda piece: lambda: piece)(of_class(rate)),
    "inherited method": inheriting,
    "static method": with_descriptors(staticmethod),
    "class method": with_descriptors(classmethod),
    "property": with_descriptors(property),
    "cached property": with_descriptors(functools.cached_property),
    "slots": Slotted,
    "dataclass with slots": Settled,
    "cached function": lambda rate: functools.lru_cache(lambda: rate),
    "deque": lambda rate: collections.deque([rate]),
    "decimal": decimal.Decimal,
    "number of NumPy": np.float32,
    "number of a module": from_module("rate = RATE\ndef update(): return rate"),
    "number of a module, in an inner function": from_module("rate = RATE\ndef update(): return lambda: rate"),
    "tuple of a module": from_module("rates = (RATE,)\ndef update(): return rates"),
    "dict of a module": from_module("rates = {'first': RATE}\ndef update(): return rates"),
    "array of a module": from_module("rates = np.full(3, RATE)\ndef update(): return rates"),
    "function of a module": from_module("def inner(): return RATE\ndef update(): return inner()"),
    "class of a module": from_module("class Inner: rate = RATE\ndef update(): return Inner().rate"),
    "object of a module": from_module("class Inner: pass\ninner = Inner()\ninner.rate = RATE\ndef update(): return inner"),
}


@pytest.mark.parametrize("make", APART.values(), ids=APART.keys())
def test_pieces_with_different_parts_have_different_fingerprints(make):
    assert fingerprint_piece(make(0.1)) == fingerprint_piece(make(0.1)) != fingerprint_piece(make(0.2))


def test_unused_globals_do_not_change_a_fingerprint():
    attribute = from_module("rate = RATE\ndef update(piece): return piece.rate")
    assert fingerprint_piece(attribute(0.1)) == fingerprint_piece(attribute(0.2))


LOG = logging.getLogger("of a user")


class Color(enum.Enum):
    RED = 1


class Base(abc.ABC):
    names = frozenset({"one", "two", "three"})

    @abc.abstractmethod
    def log(self):
        LOG.info(Color.RED)
        return np.sum, Base, Settled(0.5), self.log


class Piece(Base):
    def log(self):
        return super().log()


def test_fingerprint_is_the_same_in_another_process():
    program = (
        "from portable_bp.training.fingerprints import fingerprint_piece;"
        "from tests.training.test_fingerprints import Own, Piece, of_module, sgd;"
        "print(fingerprint_piece((sgd(0.3), Own({'a', 'b', 'c'}), of_module, Piece())))"
    )
    seeds = ("1", "2")  # of the order of sets
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed, **PATHS}
        ).stdout
        for seed in seeds
    }
    assert len(digests) == 1 and digests != {""}


def test_checkpoint_moves_between_backends(on_target, tmp_path):
    begun = fit(tmp_path / "run", epochs=2, sample_weight=WEIGHT, validation_data=(X, TARGET))
    moved = fit(tmp_path / "run", on_target, epochs=2, sample_weight=WEIGHT, validation_data=(X, TARGET))
    for mine, theirs in zip(moved.layers, begun.layers, strict=True):
        on_target.assert_close(mine.weight, theirs.weight, rtol=0.0)
