"""Load 10,000 damaged, inconsistent and oversized model files, in a process that watches what loading them does.

Run by test_strangers.py. Prints, as JSON, how many were refused, what else happened, and how much memory it took.
"""

import json
import os
import signal
import sys
import time

import numpy as np

import portable_bp as bp
from portable_bp.exchange.describe import describe_network, name_arrays
from portable_bp.storage import write_arrays
from tests.support.networks import generator_state, parameters

FORBIDDEN = (
    "exec",
    "compile",
    "import",
    "os.system",
    "os.exec",
    "os.spawn",
    "os.fork",
    "subprocess",
    "socket",
    "ctypes",
    "pickle",
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
JUNK = [
    None, True, False, -1, 0, 3, 2.5, 1e308, float("nan"), float("inf"), 10**300, 10**400, "", "float16", "x" * 10**5,
    [], {}, [[]], [None], [0, 1], [2, 4, 3], [2, 4, 3, 2, 2], [2, 10**12, 3, 2], [2, 4, "3", 2], [2, 4.0, 3, 2], ["tanh"] * 3,
    [{}, {}, {}], [{"name": "tanh"}], [{"name": "__import__"}] * 3, [{"name": "os.system"}] * 3, [{"name": ["tanh"]}] * 3,
    [{"name": "elu", "alpha": "1"}] * 3, [{"name": "elu", "alpha": 1e999}] * 3, [{"name": "elu", "beta": 1.0}] * 3,
    [{"name": "elu", "alpha": 10**400}] * 3, {"name": "huber", "threshold": 10**400},
    [{"name": "tanh", "__class__": 1}] * 3, {"name": "tanh"}, {"name": "huber", "threshold": -1.0}, {"a": {"b": {}}}, {"a": 1},
    {"bit_generator": "PCG64"}, {"bit_generator": "MT19937", "state": {"key": [], "pos": 0}}, list(range(10**4)),
    {"bit_generator": "PCG64", "state": {"state": "1", "inc": 1}, "has_uint32": 0, "uinteger": 0},
    {"bit_generator": "PCG64", "state": {"state": -1, "inc": 10**99}, "has_uint32": 0, "uinteger": 0},
]  # fmt: skip


def damaged(content, generator):
    """Return a file with one of many kinds of damage."""
    bytes_of = bytearray(content)
    length = len(content)
    header = int.from_bytes(content[:8], "little")
    place = int(generator.integers(length))
    near = int(generator.integers(8 + header))  # most damage that matters is in the header
    some = int(generator.integers(1, 65))
    kind = generator.integers(10)
    if kind == 0:
        return content[:place]
    if kind == 1:
        for at in generator.integers(length, size=generator.integers(1, 9)):
            bytes_of[at] ^= 1 << generator.integers(8)
    elif kind == 2:
        bytes_of[near] ^= 1 << generator.integers(8)
    elif kind == 3:
        bytes_of[near : near + some] = generator.bytes(some)
    elif kind == 4:
        del bytes_of[place : place + some]
    elif kind == 5:
        bytes_of[near:near] = generator.bytes(some)
    elif kind == 6:
        bytes_of[near:near] = bytes_of[place : place + some]
    elif kind == 7:
        bytes_of[:8] = (int(generator.integers(2**62)) >> int(generator.integers(62))).to_bytes(8, "little")
    elif kind == 8:  # another digit in a shape or an offset
        digits = [at for at in range(8, 8 + header) if 48 <= content[at] <= 57]
        bytes_of[digits[generator.integers(len(digits))]] = 48 + generator.integers(10)
    else:
        bytes_of += generator.bytes(some)
    return bytes(bytes_of)


def oversized():
    """Yield files whose headers are too long, too deep or have too many entries."""
    for size in (2**20, 4 * 2**20):
        for text in (b"[" * size, b'{"a":' * (size // 5), b" " * size, b"9" * size):
            yield len(text).to_bytes(8, "little") + text
    empty = b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % number for number in range(60_000))
    for metadata in (b"", b'"__metadata__":{"portable_bp":"' + b"[" * 2**19 + b'"},'):
        text = b"{" + metadata + empty + b"}"
        yield len(text).to_bytes(8, "little") + text
    for shape in (b"1000000,1000000", b"18446744073709551615,2", b"1,0," * 100 + b"1"):
        text = b'{"0.weight":{"dtype":"F32","shape":[' + shape + b'],"data_offsets":[0,0]}}'
        yield len(text).to_bytes(8, "little") + text
    yield from (b"", b"\0" * 7, b"\0" * 8, b"\xff" * 8, b"\x80\x04cos\nsystem\n(S'true'\ntR.")


def main(folder, count):
    import resource  # which Windows does not have

    path = os.path.join(folder, "model.safetensors")
    network = bp.Network([2, 4, 3, 2], ["tanh", "elu", "sigmoid"], backend="numpy", seed=0)
    network.notes["said"] = "by us"
    network.save(path)
    with open(path, "rb") as file:
        content = file.read()
    sound = parameters(bp.load(path, "numpy"))
    layers = network.layers
    facts = describe_network(layers, "float32", network.activations, None)
    facts |= {"notes": network.notes, "generator": generator_state(network)}
    generator = np.random.default_rng(0)
    seen = {"refused": 0, "same": 0, "wrong": [], "did": [], "longest": 0.0}
    watching = False

    def watch(event, arguments):
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if watching and (writes or event.startswith(FORBIDDEN)):
            seen["did"].append(f"{event} {arguments}"[:200])

    sys.addaudithook(watch)

    def load(what):
        nonlocal watching
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        began, watching = time.perf_counter(), True
        try:
            loaded = bp.load(path, "numpy")
        except bp.ModelFileError as error:
            watching = False
            seen["refused"] += 1
            if path not in str(error) or len(str(error)) > 500:
                seen["wrong"].append(f"{what}: says {error}"[:300])
        except BaseException as error:
            watching = False
            seen["wrong"].append(f"{what}: {type(error).__name__} {error}"[:300])
        else:
            watching = False
            same = all(map(np.array_equal, parameters(loaded), sound)) and loaded.notes == network.notes
            seen["same"] += same
            if not same or loaded.activations != network.activations:
                seen["wrong"].append(f"{what}: taken")
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        seen["longest"] = max(seen["longest"], time.perf_counter() - began)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        mutated = damaged(content, generator)
        if mutated != content:
            with open(path, "wb") as file:
                file.write(mutated)
            load(f"damage {number}")
    refused = seen["refused"]
    for mutated in oversized():
        with open(path, "wb") as file:
            file.write(mutated)
        load("oversized")
    with open(path, "wb") as file:  # a header of two gigabytes, in a sparse file
        file.write((2**31).to_bytes(8, "little"))
        file.truncate(8 + 2**31)
    load("a header of gigabytes")
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    array = {"dtype": "F32", "shape": [2**15, 2**14], "data_offsets": [0, 2**31]}
    text = json.dumps({"__metadata__": header["__metadata__"], "0.weight": array}).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2**31)
    load("an array of gigabytes")
    # Wrong facts with a right checksum.
    for name in (*facts, "population"):
        for junk in JUNK:
            texts = isinstance(junk, dict) and all(isinstance(value, str) for value in junk.values())
            if junk != facts.get(name) and not (name == "loss" and junk is None) and not (name == "notes" and texts):
                write_arrays(path, "model", name_arrays(layers), {**facts, name: junk})
                load(f"{name} = {junk!r:.60}")
    seen["lies and sizes refused"] = seen["refused"] - refused
    unit = 1 if sys.platform == "darwin" else 1024
    seen["memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
