"""Files of unknown origin are refused with a reason, within a second and 100 MB, and nothing in them is run."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import portable_bp as bp
from portable_bp.exchange.describe import describe_network, name_arrays
from portable_bp.storage import write_arrays
from tests.support.networks import generator_state

pytest.importorskip("resource", reason="this system does not report how much memory a process used")


def test_ten_thousand_damaged_files_are_refused(tmp_path):
    count = 10_000
    command = [sys.executable, "-m", "tests.support.damaged_files", str(tmp_path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["wrong"] == [] and seen["did"] == []
    assert seen["refused"] + seen["same"] >= count and seen["same"] <= count // 1000
    assert seen["lies and sizes refused"] > 300
    assert seen["memory"] < 100e6


def facts_and_arrays():
    network = bp.Network([2, 4, 3, 2], "tanh", backend="numpy", seed=0)
    layers = network.layers
    facts = describe_network(layers, "float32", network.activations, None)
    return facts | {"notes": {}, "generator": generator_state(network)}, name_arrays(layers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts, arrays: facts.update(sizes=[2, 4, 4, 2]), "holds .* and its header says"),
        (lambda facts, arrays: facts.update(dtype="float64"), "its header says"),
        (lambda facts, arrays: arrays.pop("2.bias"), "holds nothing as 2.bias"),
        (lambda facts, arrays: arrays.update(extra=np.zeros(3)), "as extra, and its header says nothing"),
        (lambda facts, arrays: arrays.update({"0.weight": arrays["0.weight"].T}), "as 0.weight"),
        (lambda facts, arrays: facts.update(activations=[{"name": "eval"}] * 3), "'eval'} is not a known activation"),
        (lambda facts, arrays: facts.update(loss={"name": "huber", "threshold": -1}), "threshold of Huber is -1"),
        (lambda facts, arrays: facts.update(format_version=5), "format version 5, .* install a newer one"),
        (lambda facts, arrays: facts.update(kind="picture"), "is a picture of portable_bp, not a model"),
        (
            lambda facts, arrays: facts.update(generator={"bit_generator": "PCG65"}),
            "state of random numbers is not one that NumPy accepts",
        ),
    ],
)
def test_the_error_gives_the_reason(tmp_path, change, message):
    facts, arrays = facts_and_arrays()
    change(facts, arrays)
    path = tmp_path / "model.safetensors"
    write_arrays(path, "model", arrays, facts)
    with pytest.raises(bp.ModelFileError, match=message) as caught:
        bp.load(path, "numpy")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("notes", "arrays", "message"),
    [
        ({"a": 3}, {}, "holds nothing as notes.0, and its header says"),
        ({"a": -1}, {"notes.0": np.zeros(3, "uint8")}, "as notes.0, and its header says"),
        ({"a": 3}, {"notes.0": np.zeros(3, "int8")}, "as notes.0, and its header says"),
        ({"a": 3}, {"notes.0": np.zeros((3, 1), "uint8")}, "as notes.0, and its header says"),
        ({"a": 3, "b": "b"}, {"notes.0": np.zeros(3, "uint8"), "notes.1": np.zeros(3, "uint8")}, "its header says nothing"),
        ({"a": True}, {"notes.0": np.zeros(1, "uint8")}, "its notes are"),
        ({"a": 3.0}, {"notes.0": np.zeros(3, "uint8")}, "its notes are"),
        ({"a": 10**400}, {"notes.0": np.zeros(3, "uint8")}, "as notes.0, and its header says"),
        ({"a": 3}, {"notes.0": np.full(3, 255, "uint8")}, "its notes are not text"),
    ],
    ids=str,
)
def test_invalid_notes_are_refused(tmp_path, notes, arrays, message):
    facts, parameters = facts_and_arrays()
    path = tmp_path / "model.safetensors"
    write_arrays(path, "model", parameters | arrays, facts | {"notes": notes}, version=2)
    with pytest.raises(bp.ModelFileError, match=message) as caught:
        bp.load(path, "numpy")
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600


def test_files_of_other_programs_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"0.weight": np.zeros((2, 2), "float32")}, path)
    with pytest.raises(bp.ModelFileError, match="not written by portable_bp"):
        bp.load(path, "numpy")
    path.write_bytes(b"weights")
    with pytest.raises(bp.ModelFileError, match=re.escape("too short")):
        bp.load(path, "numpy")
    with pytest.raises(FileNotFoundError):
        bp.load(tmp_path / "none.safetensors", "numpy")
