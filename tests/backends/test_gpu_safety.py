"""What goes wrong on a GPU, or on a pretended one: too little memory, interrupts, and threads that train at the same time."""

import functools
import gc
import itertools
import re
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends.graph.printers import block
from portable_bp.backends.graph.printers.calls import Executable
from tests.support import pretended_cupy
from tests.support.cuda_on_cpu import need_compiler
from tests.support.networks import bits, parameters
from tests.support.pretended_cupy import pretending
from tests.support.targets import usable

GENERATOR = np.random.default_rng(0)
X, TARGET = GENERATOR.normal(size=(3000, 20)), GENERATOR.random((3000, 2))


WHERE = ["cupy-pretended", *usable(["cupy"])]


@pytest.fixture(params=itertools.product(WHERE, ["one block", "many blocks"]), ids=", ".join)
def cupy(request, monkeypatch):
    """CuPy, pretended or real, which trains by one kernel for many steps or by CUDA graphs."""
    where, how = request.param
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0" if how == "many blocks" else "1")
    if where == "cupy":
        yield pytest.importorskip("cupy")
        return
    if how == "one block":
        need_compiler()
    with pretending():
        import cupy

        yield cupy


def make(seed=0, width=30):
    return bp.Network([20, width, 2], "tanh", backend="cupy", seed=seed)


@pytest.fixture
def memory(cupy, monkeypatch):
    """Return the memory of a pretended GPU, which counts every array for as long as something refers to it."""
    if cupy.ndarray is not pretended_cupy.ndarray:
        pytest.skip("a real GPU has more memory than a test should fill")
    memory, held = {"capacity": 2**40, "used": 0}, {}
    begin = pretended_cupy.ndarray.__init__

    def release(key):
        memory["used"] -= held.pop(key)

    def counted(self, host, device=None):
        owner = host
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if id(owner) not in held:
            if memory["used"] + owner.nbytes > memory["capacity"]:
                raise cupy.cuda.memory.OutOfMemoryError(owner.nbytes, memory["used"])
            held[id(owner)] = owner.nbytes
            memory["used"] += owner.nbytes
            weakref.finalize(owner, release, id(owner)).atexit = False
        begin(self, host, device)

    monkeypatch.setattr(pretended_cupy.ndarray, "__init__", counted)
    info = property(lambda _: (memory["capacity"] - memory["used"], memory["capacity"]))
    monkeypatch.setattr(pretended_cupy.Device, "mem_info", info)
    monkeypatch.setattr(pretended_cupy.MemoryPool, "free_bytes", lambda _: 0)
    return memory


@pytest.fixture
def switching():
    """Let Python's threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def run_together(tasks):
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_batch_size_that_an_error_advises_fits(cupy, memory):
    network = make()
    layers = network.layers
    memory["capacity"] = memory["used"] + 900_000
    with pytest.raises(MemoryError, match="^training on batches of 3,000 samples ran out of memory on cupy:0") as told:
        network.fit(X, TARGET, epochs=3)
    size = int(re.search(r"is free, enough for [\d,]+: give batch_size=(\d+)\.$", str(told.value))[1])
    assert network.layers == layers and size >= 32
    del told
    gc.collect()
    network.fit(X, TARGET, epochs=3, batch_size=size)


def test_ctrl_c_between_launches_leaves_the_last_complete_epoch(cupy, monkeypatch):
    network, seen, launches = make(), [], []

    def interrupted(run):
        def launch(self, *given):
            launches.append(len(seen))
            if launches.count(3) == 2:
                raise KeyboardInterrupt
            return run(self, *given)

        return launch

    fit = {"epochs": 6, "batch_size": 500, "optimizer": "adam", "callbacks": [lambda training: seen.append(training.layers)]}
    with monkeypatch.context() as patch:
        patch.setattr("portable_bp.training.batches.MAX_BATCHES", 2)  # several launches an epoch
        for kind, name in ((Executable, "run_steps"), (block.BlockExecutable, "run")):
            patch.setattr(kind, name, interrupted(vars(kind)[name]))
        with pytest.raises(KeyboardInterrupt):
            network.fit(X[:2600], TARGET[:2600], **fit, seed=1)
    assert len(seen) == 3 and len(network.history.loss) == 3
    for kept, epoch in zip(network.layers, seen[-1], strict=True):
        np.testing.assert_array_equal(kept.weight.get(), epoch.weight.get())
    # What was prepared is not left half-done: a new training gives what it gives otherwise.
    again, expected = make(seed=5), make(seed=5)
    again.fit(X[:2600], TARGET[:2600], **fit, seed=1)
    pretended_cupy.clear_caches()
    expected.fit(X[:2600], TARGET[:2600], **fit, seed=1)
    assert bits(again) == bits(expected)


def test_threads_that_train_at_the_same_time_do_what_they_do_one_after_the_other(cupy, switching, monkeypatch):
    begin_capture = pretended_cupy.Stream.begin_capture
    monkeypatch.setattr(pretended_cupy.Stream, "begin_capture", lambda self: (begin_capture(self), time.sleep(0.005)))

    def train(seed, width):
        network = make(seed, width)
        network.fit(X[:100], TARGET[:100], optimizer="adam", epochs=30, batch_size=32, seed=seed)
        return parameters(network)

    cases = [(0, 30), (1, 30), (2, 7), (0, 30)]
    expected, found = [train(*case) for case in cases], {}
    run_together(
        [functools.partial(lambda number: found.update({number: train(*cases[number])}), n) for n in range(len(cases))]
    )
    for number, theirs in enumerate(expected):
        for one, other in zip(found[number], theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_threads_of_different_precisions_do_not_disturb_each_other(switching):
    with pretending():
        backends = [bp.select_backend("cupy", precision=precision) for precision in (None, "tf32")]
        networks = [bp.Network([20, 30, 2], backend=backend, seed=0) for backend in backends]
        expected, wrong = [network.predict(X[:50]).get() for network in networks], []
        assert not np.array_equal(*expected)

        def predict(which):
            for _ in range(200):
                wrong.append(not np.array_equal(networks[which].predict(X[:50]).get(), expected[which]))

        run_together([functools.partial(predict, which) for which in (0, 1, 0, 1)])
        assert len(wrong) == 800 and not any(wrong)
        assert set(pretended_cupy.compute_types.values()) == {0}, "other code on CuPy has its precision"
