"""Checkpoints: the whole state of a training in a file, from which it resumes as if it had never been interrupted."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.fields import COUNT, check_number
from portable_bp.backends import Backend
from portable_bp.backends.selector import dtype_name
from portable_bp.common.generators import GENERATORS, pack_generators, set_state, unpack_generators
from portable_bp.common.trees import leaves, map_leaves
from portable_bp.storage import ModelFileError, put_together, read_arrays, take_apart, write_arrays
from portable_bp.training.fingerprints import fingerprint_layers
from portable_bp.training.history import Training
from portable_bp.training.step import Progress


class Epoch(NamedTuple):
    """An epoch in progress.

    Attributes
    ----------
    progress : Progress
        The progress after the batches that were learned from.
    generator_state : dict, list of dict or None
        The state of the generator, or of those of all members, before the epoch's first draw; None if training
        may diverge, since no epoch is repeated then.
    batches : int
        How many batches were learned from.
    """

    progress: Progress
    generator_state: Any
    batches: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """Where and when a training is saved, and what must be the same when it resumes.

    Parameters
    ----------
    path : path
        The file.
    backend : Backend
        Where the arrays of the training are.
    run : dict
        The settings that must be the same, as JSON values: sizes, optimizer, batch size, and so on.
    data : dict of str to str or None
        Fingerprints of the data that must be the same, by the names that messages give them.
    left : dict of str to str
        Maps the fingerprint of the weights that the network's last training with a checkpoint left to that of its initial
        weights. It is updated as a training ends, so that the network can resume from its own checkpoint.
    every : int, optional
        Also save within an epoch, after every this many batches. The default saves after every epoch only.
    resume : bool
        Whether to resume from the file, if it exists.
    """

    path: str | os.PathLike[str]
    backend: Backend
    run: Mapping[str, Any]
    data: Mapping[str, str | None]
    left: dict[str, str]
    every: int | None = None
    resume: bool = False


class Saver:
    """Saves a training to its checkpoint, and restores it from there."""

    def __init__(self, checkpoint: Checkpoint, training: Training, callbacks: Sequence[Any], generator: Any) -> None:
        self.checkpoint, self.training, self.callbacks, self.generator = checkpoint, training, callbacks, generator
        self.backend = checkpoint.backend
        self.dtype = np.dtype(dtype_name(self.backend.dtype))
        self.initial = fingerprint_layers(self.backend, training.layers)

    def begin(self, epoch: Epoch) -> Epoch:
        """Return the epoch to resume, or the first one, which is written now, so that a write error shows before training."""
        if self.checkpoint.resume and os.path.exists(self.checkpoint.path):
            return self._read(epoch)
        self.write(epoch)
        return epoch

    def leave(self) -> None:
        """Remember the weights that the training leaves; after an error or a callback, they may differ from the file's."""
        left = self.checkpoint.left
        left.clear()
        with contextlib.suppress(Exception):  # the error that ended the training must not be hidden by another
            left[fingerprint_layers(self.backend, self.training.layers)] = self.initial

    def write_if_due(self, epoch: Epoch) -> None:
        """Write the training within an epoch, after every ``checkpoint.every`` batches."""
        if self.checkpoint.every is not None and epoch.batches % self.checkpoint.every == 0:
            self.write(epoch)

    def write(self, epoch: Epoch) -> None:
        """Write the training, with the epoch that is in progress or comes next.

        If it cannot be written, an existing file is left as it is.
        """
        arrays, ends = self.training.history.stored()
        tree = {
            **epoch.progress._asdict(),
            "finished": self.training.layers if epoch.batches else None,
            "callbacks": [[callback.state_dict()] if hasattr(callback, "state_dict") else None for callback in self.callbacks],
        }
        if any(isinstance(leaf, dict) for leaf in leaves(epoch.progress.state)):
            raise TypeError("the optimizer's state holds a dict, which a checkpoint cannot store: use tuples or lists.")
        facts = take_apart(tree, self._fetch, arrays)
        learned = (array for name, array in arrays.items() if name.startswith(("layers.", "total")))
        if epoch.batches and not all(np.isfinite(array).all() for array in learned):
            return  # the existing file has the last finite weights, and the end of the epoch raises the error
        facts |= {"run": self.checkpoint.run, "data": self.checkpoint.data, "initial": self.initial}
        facts |= {"batches": epoch.batches, **ends}
        if isinstance(epoch.generator_state, list):
            arrays[GENERATORS] = pack_generators(epoch.generator_state)
        else:
            facts["drawn_before"] = epoch.generator_state
        write_arrays(self.checkpoint.path, "checkpoint", arrays, facts)

    def _read(self, begun: Epoch) -> Epoch:
        """Restore the training as it was when the file was written, and return the epoch that was in progress or came next.

        The file's arrays must have the shapes and dtypes of the arrays of ``begun``.
        """
        arrays, facts = read_arrays(self.checkpoint.path, "checkpoint")
        with self._naming_the_file():
            _check_facts(facts)
        self._refuse_other_settings(facts)
        self._refuse_other_data(facts)
        with self._naming_the_file():
            sent = {name: self._send(array) for name, array in arrays.items()}
            drawn_before = unpack_generators(arrays[GENERATORS]) if GENERATORS in arrays else facts["drawn_before"]
            set_state(copy.deepcopy(self.generator), drawn_before)  # raises an error if it is not a state
            epoch = self._restore_epoch(begun, facts, sent, drawn_before)
            finished = put_together(facts["finished"], sent)
            layers = self._fill(epoch.progress.layers, finished if epoch.batches else epoch.progress.layers)
            history = self.training.history.restored(arrays, facts)
            states = [None if state is None else put_together(state, sent) for state in facts["callbacks"]]
            known = {facts["initial"], *self._weights_left(layers, states)}
        self._refuse_other_weights(known)
        with self._naming_the_file():
            for callback, state in zip(self.callbacks, states, strict=True):
                if state is not None:
                    callback.load_state_dict(*state)
        set_state(self.generator, epoch.generator_state)
        self.initial = facts["initial"]
        training = self.training
        training.layers, training.state, training.history = layers, epoch.progress.state, history
        return epoch

    def _restore_epoch(self, begun: Epoch, facts: Mapping[str, Any], sent: Mapping[str, Array], drawn_before: Any) -> Epoch:
        batches = math.ceil(self.checkpoint.run["number of samples"] / self.checkpoint.run["batch_size"])
        if facts["batches"] > batches:
            raise ValueError(f"it is {facts['batches']} batches into an epoch of {batches}")
        progress = self._fill(begun.progress, [put_together(facts[name], sent) for name in Progress._fields])
        return Epoch(progress, drawn_before, facts["batches"])

    @contextlib.contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelFileError(
                f"{os.fspath(self.checkpoint.path)} is not a valid checkpoint ({str(error)[:300]}): name another file, or "
                "delete it to start anew."
            ) from error  # it may come from a callback's load_state_dict

    def _refuse_other_settings(self, facts: Mapping[str, Any]) -> None:
        stateful = "callbacks with a state"
        mine = {**self.checkpoint.run, stateful: [hasattr(callback, "state_dict") for callback in self.callbacks]}
        theirs = {**facts["run"], stateful: [state is not None for state in facts["callbacks"]]}
        for name in mine:
            if mine[name] != theirs.get(name):
                raise self._another(
                    f"{name} is {str(theirs.get(name))[:200]}, and here it is {mine[name]}; train with the same settings"
                )

    def _refuse_other_data(self, facts: Mapping[str, Any]) -> None:
        for name, fingerprint in self.checkpoint.data.items():
            if fingerprint != facts["data"].get(name):
                raise self._another(f"{name} are not those given here; train on the same data, in the same order")

    def _refuse_other_weights(self, known: set[str]) -> None:
        """Refuse a network that has neither the initial weights of the training nor weights that it may have left."""
        if known.isdisjoint({self.initial, self.checkpoint.left.get(self.initial)}):
            raise self._another("initial weights are not those of this network; make the network as before, with the same seed")

    def _weights_left(self, layers: Sequence[Any], states: Sequence[Any]) -> Iterator[str]:
        """Yield fingerprints of the weights that a training may have left: its last ones, and those that callbacks keep."""
        dicts = [state[0] for state in states if state is not None and isinstance(state[0], dict)]
        kept = [part for found in dicts for part in found.values()]
        for part in [layers, *kept]:
            if isinstance(part, list) and list(map(_form, leaves(part))) == list(map(_form, leaves(layers))):
                yield fingerprint_layers(self.backend, [Layer(*layer) for layer in part])

    def _another(self, what: str) -> ValueError:
        return ValueError(
            f"{os.fspath(self.checkpoint.path)} is the checkpoint of another training: its {what}, or name another path."
        )

    def _fetch(self, array: Array) -> np.ndarray:
        if isinstance(array, np.ndarray | np.generic):
            return np.asarray(array)
        fetched = np.asarray(self.backend.to_numpy(array))
        if fetched.dtype not in (np.int32, self.dtype):
            raise TypeError(
                f"a checkpoint stores arrays of {self.dtype} and int32, and the training holds one of {fetched.dtype}: "
                "convert it to one of these."
            )
        return fetched

    def _send(self, array: np.ndarray) -> Array:
        # A copy, since the arrays of a file may be unaligned, which can change the last bits of sums.
        if array.dtype not in (np.int32, self.dtype):
            return array.copy()  # NumPy's, of a callback
        return self.backend.asarray(array.copy(), "int32" if array.dtype == np.int32 else None)

    def _fill(self, like: Any, kept: Any) -> Any:
        """Return a tree with the arrays of another one, which must have the same shapes and dtypes in the same order."""
        found, wanted = leaves(kept), leaves(like)
        # A callback may have replaced a learning rate, an array of one number for each network, by a float.
        found = [
            self.backend.asarray(np.full(array.shape, leaf)) if type(leaf) is float and getattr(array, "ndim", 2) < 2 else leaf
            for leaf, array in zip(found, wanted, strict=True)
        ]
        if list(map(_form, found)) != list(map(_form, wanted)):
            raise ValueError(f"it has arrays of {list(map(_form, found))}, not of {list(map(_form, wanted))}")
        taken = iter(found)
        return map_leaves(lambda _: next(taken), like)


class Unsaved:
    """The saver of a training without a checkpoint."""

    def begin(self, epoch: Epoch) -> Epoch:
        """Return the first epoch."""
        return epoch

    def write_if_due(self, epoch: Epoch) -> None:
        """Write nothing."""

    def write(self, epoch: Epoch) -> None:
        """Write nothing."""

    def leave(self) -> None:
        """Remember nothing."""


def _check_facts(facts: Mapping[str, Any]) -> None:
    holds = {
        "run": isinstance(facts["run"], dict),
        "data": isinstance(facts.get("data"), dict),
        "initial": isinstance(facts.get("initial"), str),
        "callbacks": isinstance(facts["callbacks"], list),
        "batches": type(facts["batches"]) is int and facts["batches"] >= 0,
    }
    for name, held in holds.items():
        if not held:
            raise ValueError(f"its {name} is {str(facts.get(name))[:40]!r}")


def _form(array: Any) -> tuple[Any, ...]:
    return (tuple(array.shape), str(array.dtype)) if hasattr(array, "shape") else (type(array),)


def check_checkpoint(
    checkpoint: str | os.PathLike[str] | None, checkpoint_every: int | None, resume: bool
) -> tuple[str | None, int | None]:
    """Return the absolute path of a checkpoint and the number of batches between writes, if the three fit together."""
    every = None if checkpoint_every is None else check_number(checkpoint_every, "checkpoint_every", COUNT)
    if checkpoint is None:
        if resume or every:
            raise ValueError(
                "resume and checkpoint_every need a checkpoint: name its file, as in checkpoint='run.safetensors'."
            )
        return None, None
    path = os.path.abspath(checkpoint)
    if os.path.exists(path) and not resume:
        raise FileExistsError(
            f"{path} already exists: give resume=True to resume from it, delete it, or name another file as checkpoint."
        )
    return path, every
