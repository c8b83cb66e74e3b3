"""Hidden libraries look as if they were not installed, also in the processes that tests start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hidden import sitecustomize

LOOK = """
import importlib, importlib.metadata, importlib.util, json, sys
def absent(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        return error.name == name and importlib.util.find_spec(name) is None
    return False
def unknown(name):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False
import numpy, pytest
print(absent("tqdm"), absent("sklearn"), absent("jax"), unknown("tqdm"), unknown("scikit-learn"), unknown("numpy"))
"""
USE = """
import numpy as np
import portable_bp as bp
bp.available_backends()
network = bp.Network([2, 3, 1], backend="auto", seed=0)
history = network.fit(np.eye(2), [[0.0], [1.0]], optimizer="adam", epochs=20, validation_data=(np.eye(2), np.ones((2, 1))))
assert history.loss[-1] < history.loss[0]
network.trace([1, 0], [0]), bp.check_gradient(network, np.eye(2), np.ones((2, 1)))
for call in (
    lambda: network.save("model.safetensors"),
    lambda: network.to_onnx("model.onnx"),
    lambda: network.to_torch(),
    lambda: network.fit(np.eye(2), np.ones((2, 1)), progress=True),
    lambda: __import__("portable_bp.estimators"),
):
    try:
        call()
    except ImportError as error:
        assert "is needed here and is not installed: pip install 'portable-bp[" in str(error), error
    else:
        raise AssertionError
"""


def run(program, hidden, folder):
    paths = [Path(sitecustomize.__file__).parent, Path(__file__).parents[1]]
    environment = os.environ | {"PORTABLE_BP_WITHOUT": hidden, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


def test_hidden_libraries_cannot_be_imported(tmp_path):
    pytest.importorskip("tqdm")
    done = run(LOOK, "tqdm,scipy", tmp_path)
    assert (done.stdout.split(), done.stderr) == (["True"] * 5 + ["False"], "")


def test_numpy_alone_is_enough_and_the_rest_says_what_to_install(tmp_path):
    done = run(USE, ",".join(sitecustomize.OPTIONAL), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())
