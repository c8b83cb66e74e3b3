"""Model files: written on any backend, read on any other, bit for bit."""

import errno
import json
import os
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.losses import LOSSES
from portable_bp.exchange.describe import MAX_NOTES
from portable_bp.storage import replace_file
from tests.support.networks import bits
from tests.support.targets import TARGETS, usable

USABLE = sorted({TARGETS[name] for name in usable() if name != "cupy-pretended"})  # which is a target of the tests only


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_every_backend_reads_what_every_other_wrote(on_target, dtype, bias, tmp_path):
    network = on_target.network([3, 5, 2], ["tanh", "softmax"], bias=bias, dtype=dtype, seed=0)
    network.fit(np.eye(3), np.eye(3)[:, :2], loss=bp.losses.Huber(0.5), epochs=3)
    network.notes["made"] = 'in "spring" \u2603'
    path = tmp_path / "model.safetensors"
    network.save(path)
    for flag in USABLE:
        loaded = bp.load(path, flag)
        assert bits(loaded) == bits(network)
        assert type(loaded.layers[0].weight) is type(bp.select_backend(flag, dtype).asarray([0.0]))
        assert loaded.backend is bp.select_backend(flag, dtype)
        assert loaded.activations == network.activations and loaded.loss_function == bp.losses.Huber(0.5)
        assert loaded.notes == network.notes
        loaded.save(tmp_path / "again.safetensors")
        assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("values", [[np.nan, -0.0], [np.inf, 5e-324], [1e-45, 3e38]])
def test_numbers_of_every_kind_keep_their_bits(values, tmp_path):
    network = bp.Network.from_weights([[values]], backend="numpy", dtype="float64", check_finite=False)
    network.save(tmp_path / "model.safetensors")
    assert bits(bp.load(tmp_path / "model.safetensors", "numpy")) == bits(network)


def test_arrays_of_any_layout_are_written_as_they_read(tmp_path):
    """safetensors itself writes the memory of a transposed array (its issue 825)."""
    weight = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    network = bp.Network.from_weights([weight], backend="numpy", dtype="float64")
    network.layers = (bp.Layer(weight, None),)
    network.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(bp.load(tmp_path / "model.safetensors", "numpy").layers[0].weight, weight)


ACTIVATIONS_SET_UP = [*(make() for make in ACTIVATIONS.values()), bp.activations.LeakyReLU(0.3), bp.activations.ELU(0.7)]
LOSSES_SET_UP = [None, *(make() for make in LOSSES.values()), bp.losses.Huber(0.3), bp.losses.Quantile(0.9)]


@hypothesis.given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    activations=st.lists(st.sampled_from(ACTIVATIONS_SET_UP), min_size=4, max_size=4),
    loss=st.sampled_from(LOSSES_SET_UP),
    notes=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3),
    bias=st.booleans(),
)
def test_loading_restores_everything_that_saving_wrote(tmp_path_factory, sizes, activations, loss, notes, bias):
    path = tmp_path_factory.mktemp("files") / "model.safetensors"
    network = bp.Network(sizes, activations[: len(sizes) - 1], bias=bias, backend="numpy", seed=0)
    network.loss_function, network.notes = loss, notes
    network.save(path)
    loaded = bp.load(path, "numpy")
    assert (loaded.sizes, loaded.activations, loaded.loss_function, loaded.notes) == (
        network.sizes,
        network.activations,
        loss,
        notes,
    )
    assert bits(loaded) == bits(network)


def test_training_continues_with_the_same_random_numbers(on_target, tmp_path):
    """SGD has no state, so two halves of a training, with saving and loading in between, equal the whole."""
    x = np.random.default_rng(0).normal(size=(20, 3))

    def network():
        return on_target.network([3, 8, 2], seed=1)

    whole, half = network(), network()
    whole.fit(x, x[:, :2], epochs=6, batch_size=6, dropout=0.2)
    half.fit(x, x[:, :2], epochs=3, batch_size=6, dropout=0.2)
    half.save(tmp_path / "model.safetensors")
    loaded = bp.load(tmp_path / "model.safetensors", on_target.flag)
    loaded.fit(x, x[:, :2], epochs=3, batch_size=6, dropout=0.2)
    for mine, theirs in zip(loaded.layers, whole.layers, strict=True):
        on_target.assert_close(mine.weight, on_target.values(theirs.weight), rtol=0.0 if "jax" not in on_target.name else 1e-6)


def square(net):
    return net * net


def square_delta(slope, signal):
    return 2.0 * slope * signal.net


def test_custom_activations_are_passed_to_load(tmp_path):
    path, own = tmp_path / "model.safetensors", (square, square_delta)
    network = bp.Network([2, 3, 1], own, "identity", backend="numpy", seed=0)
    network.save(path)
    with pytest.raises(
        bp.ModelFileError, match=r"custom activations \(.*\.square/.*\.square_delta\).*: .*give them to bp.load as activation"
    ):
        bp.load(path, "numpy")
    for given in ({"activation": own}, {"activation": own, "output_activation": "identity"}, {"activation": [own, "identity"]}):
        np.testing.assert_array_equal(bp.load(path, "numpy", **given).predict(np.eye(2)), network.predict(np.eye(2)))


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    """A limit on the size of files acts like a disk that becomes full during a write."""
    program = """
import errno, json, resource, sys
import portable_bp as bp
path = sys.argv[1]
bp.Network([2, 3], backend="numpy", seed=0).save(path)
before = open(path, "rb").read()
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    bp.Network([200, 300], backend="numpy").save(path)
except OSError as error:
    print(json.dumps([error.errno, str(error), open(path, "rb").read() == before]))
"""
    pytest.importorskip("resource")
    path = tmp_path / "model.safetensors"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    number, message, whole = json.loads(done.stdout)
    assert number == errno.EFBIG and whole
    assert f"{path} could not be written (File too large); the existing file is unchanged" in message
    assert os.listdir(tmp_path) == [path.name]


def test_notes_are_text(tmp_path):
    network = bp.Network([2, 3], backend="numpy", seed=0)
    for notes in ({"a": 1}, {1: "a"}, {"a": np.zeros(2)}, ["a"]):
        network.notes = notes
        with pytest.raises(TypeError, match="notes is .*, and should be a dict of text to text"):
            network.save(tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    replace_file(tmp_path / "file", b"old")
    os.chmod(tmp_path / "file", 0o600)
    replace_file(tmp_path / "file", b"new")
    assert os.stat(tmp_path / "file").st_mode & 0o777 == 0o600


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(number):
        raise KeyboardInterrupt

    replace_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("folder", ["none", "file"])
def test_the_error_names_a_folder_that_cannot_be_written_to(tmp_path, folder):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="model.safetensors could not be written .*nothing was left behind"):
        bp.Network([2, 3], backend="numpy").save(tmp_path / folder / "model.safetensors")


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"


@hypothesis.settings(max_examples=20)
@hypothesis.given(st.dictionaries(st.text(st.characters(), max_size=5), st.text(st.characters(), max_size=9), max_size=3))
def test_long_notes_are_restored(tmp_path_factory, notes):
    """Lone surrogates too, which JSON can write."""
    path = tmp_path_factory.mktemp("files") / "model.safetensors"
    network = bp.Network([2, 3], backend="numpy", seed=0)
    network.notes = notes | {"long": "\U0001f98a" * (MAX_NOTES // 14), "empty": ""}
    network.save(path)
    loaded = bp.load(path, "numpy")
    assert loaded.notes == network.notes and bits(loaded) == bits(network)
    loaded.save(path.with_name("again.safetensors"))
    assert path.with_name("again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("character", ["a", '"', "\\", "\0", "\u00e9", "\U0001f98a"])
@pytest.mark.parametrize("count", [1, 1000])
def test_notes_of_any_length_and_number_fit(tmp_path, character, count):
    """Lengths just within and just beyond what fits into the header, after JSON has escaped the text."""
    network = bp.Network([2, 3], backend="numpy", seed=0)
    a_character = len(json.dumps(json.dumps(character)[1:-1])) - 2
    length = (MAX_NOTES // count - 20) // a_character
    for more, keys in ((0, 2), (20, 2 + count)):
        network.notes = {f"{number:05}": character * (length + more) for number in range(count)}
        network.save(tmp_path / "model.safetensors")
        assert bp.load(tmp_path / "model.safetensors", "numpy").notes == network.notes
        with safetensors.safe_open(tmp_path / "model.safetensors", "numpy") as file:
            assert len(list(file.keys())) == keys


def test_a_file_with_long_notes_has_a_version_that_older_readers_refuse(tmp_path):
    def version(network):
        network.save(tmp_path / "model.safetensors")
        with safetensors.safe_open(tmp_path / "model.safetensors", "numpy") as file:
            return json.loads(file.metadata()["portable_bp"])["format_version"], sorted(file.keys())

    network = bp.Network([2, 3], backend="numpy", seed=0)
    network.notes["short"] = "a" * 1000
    assert version(network) == (1, ["0.bias", "0.weight"])
    network.notes["long"] = "a" * 2**22
    assert version(network) == (2, ["0.bias", "0.weight", "notes.0", "notes.1"])
