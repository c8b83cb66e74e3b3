"""Each library's out-of-memory error is recognized, and the requested size is read from its message."""

import numpy as np
import pytest

from portable_bp.backends import Memory, OutOfMemoryError, memory

X, TARGET = np.zeros((3000, 20)), np.zeros((3000, 2))


def raised_by(on_target):
    """Return an error like those that a library raises."""
    name = on_target.backend().name
    if name == "torch":
        return on_target.backend().xp.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.19 GiB of which 12 MiB is free."
        )
    if name == "jax":
        import jax

        return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 20971520 bytes.")
    if name == "cupy":
        import cupy

        return cupy.cuda.memory.OutOfMemoryError(20 * 2**20, 100, 0)
    return MemoryError("Unable to allocate 20.0 MiB for an array with shape (5242880,) and data type float32")


def test_every_library_s_out_of_memory_error_is_recognized(on_target, monkeypatch):
    network, error = on_target.network([20, 5, 2], seed=0), raised_by(on_target)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(type(network.backend), "compile", lambda *_: fail)
    monkeypatch.setattr(type(network.backend), "loop", lambda *_: lambda _: fail)
    monkeypatch.setattr(type(network.backend), "memory", lambda _: Memory(10**6, 10**9))
    network.check_finite = False
    expected = "^the loss of 3,000 .* ran out .* \\(a request for 21 MB failed\\); 1 MB of 1 GB is free, enough for"
    with pytest.raises(OutOfMemoryError, match=expected) as told:
        network.loss(X, TARGET, lambda_loss())
    assert told.value.__cause__ is error
    assert error.__traceback__ is None
    other = RuntimeError("another") if on_target.backend().name != "numpy" else ValueError("another")
    assert not on_target.backend().is_out_of_memory(other)


def lambda_loss():
    """Return a loss with which nothing has been compiled before."""
    return (lambda out, target: (out - target).sum(-1), lambda out, target: 0.0 * out)


@pytest.mark.parametrize(
    ("message", "asked", "words"),
    [
        ("Out of memory allocating 1,234,567 bytes (allocated so far: 100 bytes).", 1_234_567, "1.23 MB"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 12.00 MiB free", 20 * 2**20, "21 MB"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4503599627370496 bytes.", 2**52, "4.5 PB"),
        ("Unable to allocate 8.00 PiB for an array with shape (1,) and data type float64", 2**53, "9.01 PB"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 999 bytes.", 999, "999 bytes"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1.50GiB.", 3 * 2**29, "1.61 GB"),
        (
            "MPS backend out of memory (max allowed: 9.07 GB). Tried to allocate 2.50 GB on private pool.",
            2_500_000_000,
            "2.5 GB",
        ),
        ("out of memory", None, None),
    ],
)
def test_requested_bytes_are_read_from_messages(message, asked, words):
    assert memory.requested_bytes(message) == asked
    assert asked is None or memory.format_bytes(asked) == words
