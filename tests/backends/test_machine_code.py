"""Steps that Numba compiles do what called steps do, and the machine code is kept and found again."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import cache
from portable_bp.backends.graph.printers import calls, machine_code, source
from portable_bp.backends.graph.printers import numba as printer
from tests.support.networks import bits, parameters

pytest.importorskip("numba", reason="Numba, which compiles steps, is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of compiled steps that the tests of this file share."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def compiling(folder, monkeypatch):
    """Compile every step that is recorded, and keep the machine code in the folder."""
    monkeypatch.setenv("PORTABLE_BP_CACHE", str(folder))
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "1")
    forget()
    yield
    forget()


def forget():
    """Forget what this process prepared."""
    cache.clear()
    machine_code._find.cache_clear()


@pytest.fixture
def kinds(monkeypatch):
    """Return the kinds of executables that run."""
    found = []
    run = calls.Executable.run

    def noted(self, *given):
        found.append(type(self))
        return run(self, *given)

    monkeypatch.setattr(calls.Executable, "run", noted)
    return found


def train(sizes, dtype="float32", classes=False, samples=50, **fit):
    network = bp.Network(sizes, "tanh", backend="numpy", dtype=dtype, seed=3)
    generator = np.random.default_rng(5)
    x = generator.normal(size=(samples, sizes[0]))
    target = generator.integers(0, sizes[-1], samples) if classes else generator.random((samples, sizes[-1]))
    network.fit(x, target, epochs=3, batch_size=8, **({"loss": "cross_entropy"} if classes else {}), **fit)
    return network


@pytest.fixture
def sources(monkeypatch):
    """Return the sources that are compiled."""
    found = []
    compiled = printer.compiled

    def noted(text):
        found.append(text)
        return compiled(text)

    monkeypatch.setattr(printer, "compiled", noted)
    return found


def test_a_loop_reads_and_writes_an_array_at_one_index(sources):
    """A compiler does not see that two strides are equal, and would not vectorize the loop."""
    train([5, 300, 3], classes=True, optimizer="adam")
    text = sources[0]
    loops = [text[start.end() :] for start in re.finditer(r"\n +for i\d+ in range\(\w+\):(?=\n +v0)", text)]
    overwriting = 0
    for loop in loops:
        lines = re.match(r"(?:\n +(?:v\d+|p\d+\[.*\]) = .*)+", loop)[0]
        places = set(re.findall(r"(p\d+)\[(.*?)\](?! *=\n)", lines))
        written = set(re.findall(r"(p\d+)\[.*\] = ", lines))
        assert all(len({index for name, index in places if name == each}) == 1 for each in written)
        overwriting += any(re.search(rf"= {each}\[", lines) for each in written)
    assert overwriting > 2


def test_large_products_are_calls_where_no_blas_is_found(kinds, monkeypatch):
    """As loops they would take many times longer."""
    mine = train([5, 300, 3], "float64", samples=48)
    kinds.clear()
    forget()
    monkeypatch.setattr(source, "product_address", lambda dtype: 0)
    called = train([5, 300, 3], "float64", samples=48)
    np.testing.assert_allclose(parameters(called)[0], parameters(mine)[0], rtol=1e-11, atol=1e-14)
    assert set(kinds) == {calls.Executable}
    kinds.clear()
    train([5, 7, 3])
    assert set(kinds) == {printer.CompiledExecutable}


def test_the_last_batch_of_an_epoch_is_compiled_too(kinds, monkeypatch):
    """It is smaller than the others; alone it would not be worth loading the code."""
    monkeypatch.delenv("PORTABLE_BP_COMPILE")
    network, x = bp.Network([4, 3, 2], "tanh", backend="numpy", seed=3), np.ones((50, 4))
    network.fit(x, x[:, :2], epochs=300, batch_size=8)
    assert set(kinds) == {printer.CompiledExecutable}
    assert len(kinds) >= 600


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[5, 7, 3], [5, 300, 3]], ids=["loops", "BLAS"])
def test_compiled_steps_do_what_calls_do(sizes, dtype, kinds, monkeypatch):
    """The larger products of the second network go to the BLAS of NumPy, where it is found."""
    fit = {"classes": True, "optimizer": "adam", "dropout": 0.3, "sample_weight": np.linspace(0.5, 1.5, 50)}
    mine = train(sizes, dtype, **fit)
    assert set(kinds) == {printer.CompiledExecutable}
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")
    kinds.clear()
    expected = train(sizes, dtype, **fit)
    assert set(kinds) == {calls.Executable}
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    for one, other in zip(parameters(mine), parameters(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(mine.history.loss, expected.history.loss, rtol=tolerance)


def test_networks_of_other_sizes_share_the_machine_code(folder, kinds):
    train([4, 3, 2])
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for sizes in ([9, 8, 7], [64, 128, 10]):
        train(sizes, learning_rate=0.0123)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert set(kinds) == {printer.CompiledExecutable}


def test_the_same_training_gives_the_same_bits_whether_compiled_now_or_before():
    first = bits(train([4, 3, 2]))
    forget()
    assert bits(train([4, 3, 2])) == first


def test_a_damaged_file_is_made_anew(folder, kinds):
    expected = bits(train([4, 3, 2]))
    for damage in (b"", b"\0" * 100, b"garbage"):
        for path in folder.iterdir():
            path.write_bytes(damage)
        forget()
        assert bits(train([4, 3, 2])) == expected
    assert set(kinds) == {printer.CompiledExecutable}
    assert any(path.stat().st_size > 1000 for path in folder.iterdir())


def test_a_folder_that_cannot_be_written_costs_only_time(folder, tmp_path, monkeypatch, kinds):
    expected = bits(train([4, 3, 2]))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PORTABLE_BP_CACHE", str(tmp_path / "file" / "below"))
    forget()
    assert bits(train([4, 3, 2])) == expected
    assert set(kinds) == {printer.CompiledExecutable}


SCRIPT = """
import sys
import numpy as np
import portable_bp as bp
network = bp.Network([4, 3, 2], "tanh", backend="numpy", seed=3)
network.fit(np.eye(4), np.ones((4, 2)), epochs=3, batch_size=2)
print("numba" in sys.modules, network.layers[0].weight.tobytes().hex())
"""


def run_processes(count, environment):
    environment = os.environ | {"PORTABLE_BP_COMPILE": "1"} | environment
    processes = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [process.communicate()[0].split() for process in processes]


def test_processes_share_machine_code_and_later_ones_do_not_import_numba(tmp_path):
    environment = {"PORTABLE_BP_CACHE": str(tmp_path)}
    together = run_processes(2, environment)
    (later,) = run_processes(1, environment)
    assert later[0] == "False"
    assert {weights for _, weights in (*together, later)} == {later[1]}
    assert all(path.suffix == ".o" for path in tmp_path.iterdir()), "nothing half-written is left"


def test_what_cannot_be_compiled_is_replayed_as_calls(kinds):
    pair = (lambda net: np.cumsum(net, axis=-1), lambda slope, signal: slope)
    network = bp.Network([3, 4, 2], activation=[pair, "identity"], backend="numpy", seed=0)
    network.fit(np.eye(3), np.ones((3, 2)), epochs=5)
    assert set(kinds) == {calls.Executable}
