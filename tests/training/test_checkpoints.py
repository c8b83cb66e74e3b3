"""Checkpoints: training that was killed at any moment resumes and ends with the same bits."""

import concurrent.futures
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors

import portable_bp as bp
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.storage import json_depth, read_arrays, write_arrays
from tests.support.callbacks import Remembering
from tests.support.damaged_files import JUNK
from tests.support.networks import bits, generator_state

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(23, 4))
TARGET = np.tanh(X[:, :2])


def command(*arguments):
    return [sys.executable, "-m", "tests.support.killed_training", *map(str, arguments)]


def ending_of(*arguments):
    return subprocess.run(command(*arguments), stdout=subprocess.DEVNULL).returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The result of the training of tests/support/killed_training.py without checkpoints and without being killed."""
    result = tmp_path_factory.mktemp("undisturbed") / "result.safetensors"
    assert ending_of("none", result) == 0
    return result.read_bytes()


def kill_at_random(folder, generator, times, undisturbed):
    """Kill and resume training a number of times; return how many times it ended by itself."""
    checkpoint, result = folder / "run.safetensors", folder / "result.safetensors"
    killed = ended = 0
    while killed < times or not ended:
        with subprocess.Popen(command(checkpoint, result), stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            if killed < times:
                time.sleep(generator.uniform(0.0, 0.3))
                process.kill()
        killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            ended += 1
            assert result.read_bytes() == undisturbed
            checkpoint.unlink()
    return ended


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process in this way")
def test_fifty_random_kills_change_no_bit(tmp_path, undisturbed):
    folders, generators = (tmp_path / "a", tmp_path / "b"), np.random.default_rng(0).spawn(2)
    for folder in folders:
        folder.mkdir()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert all(pool.map(kill_at_random, folders, generators, (25, 25), (undisturbed, undisturbed)))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process in this way")
@pytest.mark.parametrize("moment", ["half", "written", "flushed", "renamed"])
def test_a_kill_within_a_write_changes_no_bit(tmp_path, undisturbed, moment):
    checkpoint, result = tmp_path / "run.safetensors", tmp_path / "result.safetensors"
    assert ending_of(checkpoint, result, moment) == -signal.SIGKILL
    assert (tmp_path / "run.safetensors.partial").exists() == (moment != "renamed")
    arrays, facts = read_arrays(checkpoint, "checkpoint")
    assert len(arrays["loss"]) > 2 and facts["batches"] in (0, 2, 4, 6)
    assert ending_of(checkpoint, result) == 0
    assert result.read_bytes() == undisturbed
    assert sorted(os.listdir(tmp_path)) == ["result.safetensors", "run.safetensors"]


def begin(flag, seed, dtype="float64"):
    """Return a network that always has the same weights, and the random numbers of a seed."""
    made = bp.Network([4, 6, 2], "tanh", backend="numpy", dtype=dtype, seed=0)
    weights, biases = zip(*made.layers, strict=True)
    return bp.Network.from_weights(weights, biases, made.activations, backend=flag, dtype=dtype, seed=seed)


def trained(on_target, path, epochs, seed, **options):
    network = begin(on_target.flag, seed)
    history = network.fit(X, TARGET, epochs=epochs, checkpoint=path, resume=path is not None, **options)
    return network, history


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "batch_size": 5, "dropout": 0.3, "sample_weight": np.arange(1.0, 24.0)},
        {"optimizer": bp.optimizers.Steered(bp.optimizers.Momentum(0.05)), "loss": "huber"},
    ],
)
def test_resumed_training_equals_uninterrupted_training(on_target, tmp_path, epochs, options):
    """On JAX, code that was compiled for another number of batches may differ in the last bits."""
    whole, history = trained(on_target, None, 2 * epochs, 1, **options)
    trained(on_target, tmp_path / "run.safetensors", epochs, 1, **options)
    halves, their_history = trained(on_target, tmp_path / "run.safetensors", 2 * epochs, 2, **options)
    tolerance = 1e-6 if on_target.name.startswith("jax") else 0.0
    for mine, theirs in zip(halves.layers, whole.layers, strict=True):
        on_target.assert_close(mine.weight, on_target.values(theirs.weight), rtol=tolerance)
        on_target.assert_close(mine.bias, on_target.values(theirs.bias), rtol=tolerance)
    np.testing.assert_allclose(their_history.loss, history.loss, rtol=tolerance)
    assert generator_state(halves) == generator_state(whole)


class Interruption(Exception):
    pass


def interrupt_after(writes, monkeypatch):
    """Make training raise an error right after a number of checkpoints."""
    from portable_bp.training import checkpoints

    count = itertools.count(1)

    def write_counting(*arguments):
        write_arrays(*arguments)
        if next(count) == writes:
            raise Interruption

    monkeypatch.setattr(checkpoints, "write_arrays", write_counting)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    batch_size=st.integers(1, 23),
    every=st.one_of(st.none(), st.integers(1, 9)),
    every_after=st.one_of(st.none(), st.integers(1, 9)),
    epochs=st.integers(1, 5),
    writes=st.integers(1, 12),
    dropout=st.sampled_from([0.0, 0.4]),
    dtype=st.sampled_from(["float32", "float64"]),
    stopping=st.booleans(),
    validated=st.booleans(),
)
def test_training_resumes_from_any_batch(
    tmp_path_factory, optimizer, batch_size, every, every_after, epochs, writes, dropout, dtype, stopping, validated
):
    path = tmp_path_factory.mktemp("runs") / "run.safetensors"

    def fit(seed, **where):
        network = begin("numpy", seed, dtype)
        callbacks = [bp.EarlyStopping(patience=2)] if stopping else []
        validation = (X[:7], TARGET[:7]) if validated else None
        fixed = {"optimizer": optimizer, "batch_size": batch_size, "dropout": dropout, "epochs": epochs}
        network.fit(X, TARGET, callbacks=callbacks, validation_data=validation, learning_rate=0.05, **fixed, **where)
        return network

    whole = fit(3, checkpoint=path.with_name("whole"))
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(writes, patch)
        with contextlib.suppress(Interruption):
            fit(3, checkpoint=path, checkpoint_every=every)
    resumed = fit(4, checkpoint=path, checkpoint_every=every_after, resume=True)
    assert bits(resumed) == bits(whole)
    assert resumed.history == whole.history
    again = fit(5, checkpoint=path, resume=True)  # nothing is left to do, and nothing changes
    assert bits(again) == bits(whole) and again.history == whole.history
    assert generator_state(again) == generator_state(whole)


def test_training_resumes_on_another_backend(on_target, tmp_path):
    options = {"optimizer": "adam", "batch_size": 5, "callbacks": [bp.EarlyStopping(patience=1)], "learning_rate": 0.2}
    whole = begin("numpy", 0)
    whole.fit(X, TARGET, epochs=30, **options)
    assert whole.history.stop_reason
    begun = begin("numpy", 0)
    begun.fit(X, TARGET, epochs=3, checkpoint=tmp_path / "run", **options)
    network, history = trained(on_target, tmp_path / "run", 30, 9, **options)
    assert len(history.loss) == len(whole.history.loss) and history.best_epoch == whole.history.best_epoch
    for mine, theirs in zip(network.layers, whole.layers, strict=True):
        on_target.assert_close(mine.weight, theirs.weight, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_checkpoint_with_the_state_of_an_older_version_resumes(tmp_path, optimizer):
    """It had a count and a list of averages."""
    whole = begin("numpy", 1)
    whole.fit(X, TARGET, optimizer=optimizer, epochs=6)
    begin("numpy", 1).fit(X, TARGET, optimizer=optimizer, epochs=3, checkpoint=tmp_path / "run")
    arrays, facts = read_arrays(tmp_path / "run", "checkpoint")
    count, *averages = facts["state"]
    write_arrays(tmp_path / "run", "checkpoint", arrays, {**facts, "state": [count, averages]})
    resumed = begin("numpy", 2)
    resumed.fit(X, TARGET, optimizer=optimizer, epochs=6, checkpoint=tmp_path / "run", resume=True)
    assert bits(resumed) == bits(whole)


class Counting:
    """A callback with a state: numbers, strings, lists and arrays."""

    def __init__(self):
        self.seen, self.first = [], None

    def __call__(self, training):
        self.seen.append(training.history.loss[-1])
        self.first = training.layers[0].weight if self.first is None else self.first

    def state_dict(self):
        return {"seen": self.seen, "first": self.first, "name": "counting", "nothing": (None, True, {"inside": 1})}

    def load_state_dict(self, state):
        self.seen, self.first = state["seen"], state["first"]
        assert state["name"] == "counting" and state["nothing"] == [None, True, {"inside": 1}]


def test_state_of_a_user_callback_is_restored(on_target, tmp_path):
    whole, before, after = Counting(), Counting(), Counting()
    trained(on_target, None, 4, 0, callbacks=[whole])
    trained(on_target, tmp_path / "run", 2, 0, callbacks=[before, lambda training: None])
    trained(on_target, tmp_path / "run", 4, 1, callbacks=[after, lambda training: None])
    np.testing.assert_allclose(after.seen, whole.seen, rtol=1e-12)
    on_target.assert_close(after.first, on_target.values(whole.first))


def test_state_of_a_user_optimizer_is_restored(tmp_path):
    def init(layers):
        return 0, [layer.weight * 0.0 for layer in layers]

    def update(gradient, state, layers):
        count, speeds = state
        speeds = [0.5 * speed - 0.1 * slope.weight for speed, slope in zip(speeds, gradient, strict=True)]
        moved = [bp.Layer(layer.weight + speed, layer.bias) for layer, speed in zip(layers, speeds, strict=True)]
        return moved, (count + 1, speeds)

    def fit(epochs, path):
        network = bp.Network([4, 2], "tanh", backend="numpy", dtype="float64", seed=0)
        network.fit(X, TARGET, optimizer=(init, update), epochs=epochs, checkpoint=path, resume=path is not None)
        return bits(network)

    fit(3, tmp_path / "run")
    assert fit(6, tmp_path / "run") == fit(6, None)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"sizes": [4, 7, 2]}, r"its sizes is \[4, 6, 2\], and here it is \[4, 7, 2\]"),
        ({"activation": "relu"}, "its activations is"),
        ({"bias": False}, "its bias is True"),
        ({"dtype": "float64"}, "its dtype is float32"),
        ({"loss": "huber"}, "its loss is"),
        ({"optimizer": "adam"}, "its optimizer is"),
        ({"learning_rate": 0.2}, "its optimizer is"),
        ({"batch_size": 6}, "its batch_size is 5"),
        ({"dropout": 0.5}, "its dropout is"),
        ({"x": X[:20], "target": TARGET[:20]}, "its number of samples is 23"),
        ({"sample_weight": np.ones(23)}, "its sample_weight is False"),
        ({"validation_data": (X, TARGET)}, "its number of validation samples is 0"),
        ({"callbacks": [bp.EarlyStopping()]}, "its callbacks with a state is"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(tmp_path, change, difference):
    path = tmp_path / "run.safetensors"

    def fit(**changes):
        made = {"sizes": [4, 6, 2], "activation": "tanh", "bias": True, "dtype": "float32"}
        given = {"x": X, "target": TARGET, "batch_size": 5, "loss": "squared_error", "optimizer": "sgd", "learning_rate": 0.1}
        given |= {name: value for name, value in changes.items() if name not in made}
        network = bp.Network(**{name: changes.get(name, value) for name, value in made.items()}, backend="numpy", seed=0)
        before = bits(network)
        try:
            network.fit(**given, epochs=2, checkpoint=path, resume=True)
        finally:
            assert not changes or bits(network) == before
        return network

    fit()
    content = path.read_bytes()
    with pytest.raises(ValueError, match=f"is the checkpoint of another training: {difference}"):
        fit(**change)
    assert path.read_bytes() == content


def test_tampered_checkpoints_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"

    def fit(where):
        network = bp.Network([4, 6, 2], "tanh", backend="numpy", seed=0)
        network.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[bp.EarlyStopping()], checkpoint=where, resume=True)

    fit(path)
    arrays, facts = read_arrays(path, "checkpoint")
    changed = [
        {**facts, name: junk}
        for name in ("layers", "state", "total", "drawn_before", "batches", "callbacks", "run")
        for junk in JUNK
    ]
    changed += [{**facts, "callbacks": [junk]} for junk in JUNK]
    changed += [{**facts, name: junk} for name in ("best_epoch", "stop_reason") for junk in ([], {}, 1.5)]
    changed += [
        {name: fact for name, fact in facts.items() if name != missing}
        for missing in facts
        if missing not in ("kind", "format_version")
    ]
    for lie in changed:
        write_arrays(tmp_path / "lie", "checkpoint", arrays, lie)
        if lie != facts and type(lie.get("total")) is not float:  # a float may replace an array of one number
            with pytest.raises(ValueError, match="lie is (not a valid checkpoint|the checkpoint of another training)"):
                fit(tmp_path / "lie")
    for name in (name for name in arrays if not name.startswith("callbacks.")):
        for lie in ({**arrays, name: np.zeros((3, 3, 3))}, {other: arrays[other] for other in arrays if other != name}):
            write_arrays(tmp_path / "lie", "checkpoint", lie, facts)
            with pytest.raises(bp.ModelFileError, match="lie is not a valid checkpoint"):
                fit(tmp_path / "lie")


def test_a_state_nested_too_deep_is_refused(tmp_path, monkeypatch):
    def fit(path):
        bp.Network([4, 2], backend="numpy", seed=0).fit(X, TARGET, checkpoint=path, resume=True)

    fit(tmp_path / "run")
    arrays, facts = read_arrays(tmp_path / "run", "checkpoint")
    nested = []
    for _ in range(600):
        nested = [nested]
    for name in ("state", "layers", "total", "finished"):
        with monkeypatch.context() as patch:  # as another program may write it
            patch.setattr(json_depth, "MAX_DEPTH", 10**6)
            write_arrays(tmp_path / "lie", "checkpoint", arrays, {**facts, name: nested})
        with pytest.raises(bp.ModelFileError, match="nested 602 levels deep, more than 100"):
            fit(tmp_path / "lie")
    write_arrays(tmp_path / "lie", "checkpoint", arrays, {**facts, "batches": 2, "finished": facts["layers"]})
    with pytest.raises(bp.ModelFileError, match="it is 2 batches into an epoch of 1"):
        fit(tmp_path / "lie")


def test_callback_states_of_many_types_are_restored(tmp_path):
    states = [None, {"best": np.float64(0.5), "seen": np.arange(3), "is": np.bool_(True)}, {"rows": np.eye(2)}]
    network = bp.Network([4, 2], backend="numpy", seed=0)
    network.fit(X, TARGET, checkpoint=tmp_path / "run", callbacks=[Remembering(state) for state in states])
    after = [Remembering("nothing") for _ in states]
    network.fit(X, TARGET, checkpoint=tmp_path / "run", callbacks=after, resume=True)
    assert after[0].state is None
    for callback, state in zip(after[1:], states[1:], strict=True):
        for name, value in state.items():
            np.testing.assert_array_equal(callback.state[name], value)
            assert callback.state[name].dtype == value.dtype
    with pytest.raises(ValueError, match=r"two arrays would have the name callbacks.0.0.a.b"):
        clash = Remembering({"a.b": np.eye(2), "a": {"b": np.eye(3)}})
        network.fit(X, TARGET, checkpoint=tmp_path / "clash", callbacks=[clash])


def test_learning_rate_replaced_by_a_float_is_restored(tmp_path):
    def slow_down(training):
        training.state = training.state._replace(rate=0.5 * float(training.state.rate))

    def fit(epochs, path):
        network = bp.Network([4, 2], backend="numpy", dtype="float64", seed=0)
        steered = bp.optimizers.Steered(bp.optimizers.SGD(0.1))
        network.fit(X, TARGET, optimizer=steered, epochs=epochs, callbacks=[slow_down], checkpoint=path, resume=True)
        return network

    fit(3, tmp_path / "run")
    halves, whole = fit(6, tmp_path / "run"), fit(6, tmp_path / "whole")
    np.testing.assert_allclose(halves.layers[0].weight, whole.layers[0].weight, rtol=1e-14)


def test_optimizer_state_with_a_dict_is_refused_at_once(tmp_path):
    own = (lambda layers: {"count": 0}, lambda gradient, state, layers: (layers, state))
    with pytest.raises(TypeError, match="the optimizer's state holds a dict"):
        bp.Network([4, 2], backend="numpy").fit(X, TARGET, optimizer=own, checkpoint=tmp_path / "run")


def test_refused_checkpoint_changes_nothing(tmp_path):
    network = bp.Network([4, 2], backend="numpy", seed=0)
    history = network.fit(X, TARGET, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="is the checkpoint of another training"):
        network.fit(X, TARGET, loss="huber", checkpoint=tmp_path / "run", resume=True)
    assert network.history is history and network.loss_function == bp.losses.SquaredError()


def test_relative_path_survives_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    network = bp.Network([4, 2], backend="numpy", seed=0)
    network.fit(X, TARGET, epochs=3, checkpoint="run", callbacks=[lambda training: os.chdir(tmp_path / "elsewhere")])
    assert len(read_arrays(tmp_path / "run", "checkpoint").arrays["loss"]) == 3


def test_other_files_are_refused(tmp_path):
    network = bp.Network([4, 2], backend="numpy", seed=0)
    network.save(tmp_path / "model")
    with pytest.raises(bp.ModelFileError, match="is a model of portable_bp, not a checkpoint"):
        network.fit(X, TARGET, checkpoint=tmp_path / "model", resume=True)
    network.fit(X, TARGET, checkpoint=tmp_path / "run")
    with pytest.raises(bp.ModelFileError, match="is a checkpoint of portable_bp, not a model"):
        bp.load(tmp_path / "run", "numpy")
    content = (tmp_path / "run").read_bytes()
    (tmp_path / "run").write_bytes(content[:-7])
    with pytest.raises(bp.ModelFileError, match="is damaged"):
        network.fit(X, TARGET, checkpoint=tmp_path / "run", resume=True)


def test_existing_checkpoint_is_not_overwritten(tmp_path):
    network, path = bp.Network([4, 2], backend="numpy", seed=0), tmp_path / "run"
    network.fit(X, TARGET, checkpoint=path)
    content, before = path.read_bytes(), bits(network)
    with pytest.raises(FileExistsError, match="run already exists: give resume=True to resume from it, delete it"):
        network.fit(X, TARGET, checkpoint=path)
    assert path.read_bytes() == content and bits(network) == before


@pytest.mark.parametrize("options", [{"resume": True}, {"checkpoint_every": 3}])
def test_options_that_need_a_checkpoint_are_refused_without_one(options):
    with pytest.raises(ValueError, match="need a checkpoint: name its file"):
        bp.Network([4, 2], backend="numpy").fit(X, TARGET, **options)


def test_write_errors_are_raised_before_the_first_step(tmp_path):
    network = bp.Network([4, 2], backend="numpy", seed=0)
    before = bits(network)
    with pytest.raises(FileNotFoundError, match="could not be written"):
        network.fit(X, TARGET, checkpoint=tmp_path / "none" / "run")
    remembers = (lambda layers: {"a", "set"}, lambda gradient, state, layers: (layers, state))
    with pytest.raises(TypeError, match="state is of type set, and a checkpoint can hold only arrays, numbers"):
        network.fit(X, TARGET, optimizer=remembers, checkpoint=tmp_path / "run")
    assert bits(network) == before and os.listdir(tmp_path) == []


def test_full_disk_leaves_the_old_checkpoint_and_the_last_epoch(tmp_path):
    pytest.importorskip("resource")
    program = """
import json, resource, sys
import numpy as np
import portable_bp as bp
path, size = sys.argv[1], None
network = bp.Network([4, 2], backend="numpy", seed=0)
seen = []
def fill(training):
    seen.append([layer.weight.tolist() for layer in training.layers])
    if training.epoch == 3:
        size = len(open(path, "rb").read())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
try:
    network.fit(np.eye(4), np.eye(4)[:, :2], epochs=5, checkpoint=path, callbacks=[fill])
except OSError as error:
    print(json.dumps([str(error), len(seen), [layer.weight.tolist() for layer in network.layers] == seen[2]]))
"""
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    reason, epochs, kept = json.loads(done.stdout)
    assert "run could not be written (File too large); the existing file is unchanged" in reason
    assert epochs == 3 and kept
    assert len(read_arrays(path, "checkpoint").arrays["loss"]) == 2 and os.listdir(tmp_path) == ["run"]


def test_diverged_training_leaves_a_finite_checkpoint(tmp_path):
    def fit(**options):
        network = bp.Network([4, 6, 2], "identity", backend="numpy", seed=0)
        with pytest.raises(bp.DivergenceError) as caught:
            network.fit(X, TARGET, learning_rate=30.0, batch_size=2, epochs=9, **options)
        return str(caught.value), bits(network)

    path = tmp_path / "run"
    plainly = fit()
    assert fit(checkpoint=path, checkpoint_every=1) == plainly
    arrays, facts = read_arrays(path, "checkpoint")
    assert all(np.isfinite(array).all() for array in arrays.values()) and facts["batches"] > 0
    assert fit(checkpoint=path, checkpoint_every=1, resume=True) == plainly


def test_ctrl_c_leaves_the_last_finished_epoch_and_says_so(tmp_path):
    program = """
import sys
import numpy as np
import portable_bp as bp
x = np.random.default_rng(0).normal(size=(200, 4))
network = bp.Network([4, 300, 2], backend="numpy", seed=0)
seen = []
def tell(training):
    seen.append(training.layers)
    print(training.epoch, flush=True)
try:
    network.fit(x, x[:, :2], learning_rate=0.01, epochs=100_000, batch_size=8, callbacks=[tell], checkpoint=sys.argv[1])
except KeyboardInterrupt as error:
    same = [mine is theirs for mine, theirs in zip(network.layers, seen[-1])]
    print("result", len(seen), all(same), len(network.history.loss), error)
"""
    process = subprocess.Popen([sys.executable, "-c", program, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip() == "5":
            process.send_signal(signal.SIGINT)
            break
    *_, line = process.communicate()[0].splitlines()
    _, epochs, same, losses, message = line.split(maxsplit=4)
    assert same == "True" and epochs == losses and int(epochs) >= 5
    assert (
        f"training was interrupted; the network is as it was after {epochs} of 100000 epochs; resume=True continues" in message
    )


def test_progress_bar_starts_at_the_checkpoint(tmp_path, capsys):
    for epochs in (1, 2):
        network = bp.Network([4, 2], backend="numpy", seed=0)
        network.fit(X, TARGET, epochs=epochs, batch_size=5, checkpoint=tmp_path / "run", resume=True, progress=True)
    assert "10/10" in capsys.readouterr().err


def test_metadata_are_readable_json(tmp_path):
    network = bp.Network([4, 2], backend="numpy", seed=0)
    network.fit(X, TARGET, checkpoint=tmp_path / "run")
    with safetensors.safe_open(tmp_path / "run", "numpy") as file:
        facts = json.loads(file.metadata()["portable_bp"])
    assert facts["run"]["sizes"] == [4, 2] and facts["run"]["optimizer"] == {"name": "sgd", "learning_rate": 0.1}
