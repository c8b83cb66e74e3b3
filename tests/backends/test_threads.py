"""Products of many members, which NumPy computes in several threads."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends.graph.printers import numpy as printer
from portable_bp.backends.graph.printers.threads import run_in_threads, usable_threads


@pytest.fixture(params=["2", "3", "7"])
def threads(request, monkeypatch):
    """Several threads for all products of populations, however small."""
    monkeypatch.setenv("OMP_NUM_THREADS", request.param)
    monkeypatch.setattr(printer, "MIN_IN_THREADS", 1)
    return int(request.param)


@pytest.mark.parametrize("members", [2, 3, 5, 16])
@pytest.mark.parametrize("shared", ["none", "first", "second", "broadcast"])
def test_products_in_threads_have_the_same_bits(threads, members, shared):
    generator = np.random.default_rng(members)
    first, second = generator.normal(size=(members, 4, 3)), generator.normal(size=(members, 5, 3)).swapaxes(1, 2)
    first = {"first": first[0], "broadcast": first[:1]}.get(shared, first)
    second = second[0] if shared == "second" else second
    out = np.full((members, 4, 5), np.nan)
    function, arguments = printer._products_in_threads(first, second, out)
    assert len(arguments[0]) == min(threads, members)
    function(*arguments)
    np.testing.assert_array_equal(out, first @ second)


def test_large_or_few_products_stay_in_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def is_divided(*shape):
        arrays = (np.broadcast_to(np.float32(0.0), shape) for shape in (shape, shape, shape))
        return printer._products_in_threads(*arrays) is not None

    assert is_divided(1000, 32, 32)
    assert not is_divided(10, 32, 32)  # threads would take longer to start
    assert not is_divided(1000, 128, 128)  # BLAS divides each
    assert not is_divided(1, 64, 64) and not is_divided(64, 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert not is_divided(1000, 32, 32)


def test_a_population_does_not_depend_on_threads(threads, monkeypatch):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")
    x = np.random.default_rng(0).normal(size=(24, 6))

    def train():
        network = bp.Network([6, 5, 2], "tanh", population=9, seed=0, backend="numpy")
        network.fit(x, x[:, :2], epochs=30, batch_size=8, learning_rate=np.geomspace(0.01, 1.0, 9), dropout=0.2)
        return network.layers

    in_threads = train()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for one, other in zip(in_threads, train(), strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_threads_ignore_infinity_as_steps_do(recwarn):
    large = np.full((2, 2), 1e308)
    out = np.empty((2, 2, 2))
    with np.errstate(all="ignore"):
        run_in_threads([lambda number=number: np.matmul(large, large, out[number]) for number in (0, 1)])
    assert np.isinf(out).all() and not recwarn.list


def test_usable_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert usable_threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert usable_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert usable_threads() >= 1
