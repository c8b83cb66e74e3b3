"""Train with checkpoints, in a process that can be killed at any moment and started again. Run by test_checkpoints.py.

    python -m tests.support.killed_training CHECKPOINT RESULT [MOMENT]

If a moment is named, the process kills itself at that moment of its 20th write.
"""

import os
import signal
import sys

import numpy as np

import portable_bp as bp
from portable_bp.storage import atomic_writing

WRITES = 20


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment):
    """Kill the process at a moment of its 20th write: when the file is half written, written, flushed or renamed."""
    count, opened, fsync, replace = 0, open, os.fsync, os.replace

    def open_counting(path, mode):
        nonlocal count
        count += 1
        file = opened(path, mode)
        if count == WRITES and moment == "half":
            write = file.write

            class Half:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def write(self, content):
                    write(content[: len(content) // 2])
                    file.flush()
                    die()

            return Half()
        return file

    def fsync_counting(number):
        if count == WRITES and moment == "written":
            die()
        fsync(number)

    def replace_counting(source, target):
        if count == WRITES and moment == "flushed":
            die()
        replace(source, target)
        if count == WRITES and moment == "renamed":
            die()

    atomic_writing.open = open_counting
    os.fsync, os.replace = fsync_counting, replace_counting


def main(checkpoint, result, moment=None):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 20))
    target = np.tanh(x[:, :5] + x[:, 5:10])
    seed = None if os.path.exists(checkpoint) else 0  # a resumed training draws its batches as the checkpoint says
    made = bp.Network([20, 40, 30, 5], ["relu", "tanh", "identity"], backend="numpy", seed=0)
    weights, biases = zip(*made.layers, strict=True)
    network = bp.Network.from_weights(weights, biases, made.activations, backend="numpy", seed=seed)
    if moment:
        arm(moment)
    print("begun", flush=True)
    network.fit(
        x,
        target,
        optimizer=bp.optimizers.Clipped(bp.optimizers.Adam(bp.schedules.Cosine(0.01, over=300)), 0.5),
        epochs=40,
        batch_size=16,
        dropout=0.1,
        validation_data=(x[:20], target[:20]),
        callbacks=[bp.EarlyStopping(patience=30)],
        **({} if checkpoint == "none" else {"checkpoint": checkpoint, "checkpoint_every": 2, "resume": True}),
    )
    network.notes["history"] = repr(network.history)
    network.save(result)


if __name__ == "__main__":
    main(*sys.argv[1:])
